"""Facts about the host: processor, threads, GPUs, contention and energy."""
