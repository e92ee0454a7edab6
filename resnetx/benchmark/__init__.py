"""A benchmark: what it will run, a process for each case, rounds in turns, and what was timed is verified."""
