"""Tests of weights/readers."""
