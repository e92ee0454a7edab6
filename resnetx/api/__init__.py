"""resnetx from Python: the commands' work as functions, which return results instead of printing them."""
