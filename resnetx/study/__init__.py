"""The residual study: the claims of the classic account of residual networks, each checked on networks trained here."""
