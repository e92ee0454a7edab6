"""Tests of `resnetx tune`."""
