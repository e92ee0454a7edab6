"""Tests of resnetx.weights.pickles."""
