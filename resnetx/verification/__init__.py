"""References, parity checks, layer comparison and golden bundles."""
