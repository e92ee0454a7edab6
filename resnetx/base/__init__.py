"""Utilities for all packages: files, isolated child processes, printable text, validation, option values."""
