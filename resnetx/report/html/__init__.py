"""The benchmark as one self-contained HTML page."""
