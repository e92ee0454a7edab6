"""Tests of the inputs of models."""
