"""Tests of the float64 evaluator."""
