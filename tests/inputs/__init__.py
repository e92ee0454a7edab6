"""Inputs of verifications and benchmarks."""
