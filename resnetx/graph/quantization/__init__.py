"""INT8 graphs: which layers are quantized for which runtime, and how."""
