"""Tests of benchmark/comparison."""
