"""Providers, and the runners that execute models on them."""
