"""Numbers about a running thing: parity first."""
