"""The operators that the evaluator knows, each as a function on torch tensors."""
