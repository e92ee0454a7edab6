"""Files from elsewhere: the addresses of weights, and what fetches them over HTTP or from a Hugging Face hub."""
