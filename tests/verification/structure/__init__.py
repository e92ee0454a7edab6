"""Tests of the direct comparison of weights and structure."""
