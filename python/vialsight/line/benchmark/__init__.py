"""What inspection costs beside its latency: start, memory, throughput, peers, layers, the peak."""
