"""Remote weights: parsing their addresses, and fetching them over HTTP or from a Hugging Face hub."""
