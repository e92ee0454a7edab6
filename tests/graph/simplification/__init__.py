"""Tests of graph/simplification."""
