"""Facts of the host: processor, threads, GPUs, contention and energy."""
