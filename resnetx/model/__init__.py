"""The networks in PyTorch, their configuration and their layer names in other frameworks."""
