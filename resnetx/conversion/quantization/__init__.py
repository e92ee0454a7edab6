"""`resnetx quantize`: a float32 file to INT8, calibrated, measured beside the float network, and held to a limit."""
