"""Tests on a real GPU; skipped with the reason where there is none."""
