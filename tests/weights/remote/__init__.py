"""Tests of weights/remote."""
