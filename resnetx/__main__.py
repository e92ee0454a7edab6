"""`python -m resnetx` is the `resnetx` program."""

from resnetx.cli.main import main

main()
