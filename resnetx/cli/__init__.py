"""The command line: one thin file a command, on top of everything else."""
