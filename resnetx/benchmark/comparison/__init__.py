"""Two benchmarks compared row by row."""
