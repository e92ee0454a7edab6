"""OpenVINO's own runtime: its device, properties, kernels and sessions."""
