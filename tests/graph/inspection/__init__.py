"""Tests of graph/inspection."""
