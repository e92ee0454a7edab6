"""cuDNN's fused kernels as an engine: convolution, bias, addition and ReLU in one, through PyTorch."""
