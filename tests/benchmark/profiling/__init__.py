"""Tests of resnetx.benchmark.profiling."""
