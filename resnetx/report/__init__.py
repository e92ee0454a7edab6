"""Numbers made visible: pure functions from a result to text."""
