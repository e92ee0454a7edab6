"""Where the time of one inference goes, layer by layer."""
