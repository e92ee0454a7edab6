"""Tests of graph/reading."""
