"""Benchmarks: one process per case, interleaved rounds, and verification of what was timed."""
