"""Compares two benchmarks row by row."""
