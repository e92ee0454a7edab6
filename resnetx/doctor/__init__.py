"""Tests which providers work on this machine, and suggests fixes for the others."""
