"""At the line: inspection of images, latency, long runs, pictures."""
