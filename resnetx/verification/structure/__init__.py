"""Compares a file's weights and structure with the network's own, without running either on an image."""
