"""The search for the fastest correct way to run a file on this machine."""
