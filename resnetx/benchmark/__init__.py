"""Benchmarks: several processes per case, interleaved rounds, and verification of what was timed."""
