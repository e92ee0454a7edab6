"""Exports and simplifies models, and verifies the results."""
