"""Export and simplify, each composed of the other packages and verified."""
