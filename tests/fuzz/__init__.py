"""Hostile and damaged input for every command: seeded cases, run with a hard limit, judged by one rule."""
