"""Tests of benchmark/loadgen."""
