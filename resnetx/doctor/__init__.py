"""What works on this machine, each provider really tried, and how to fix the rest."""
