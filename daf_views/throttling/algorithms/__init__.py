"""The algorithms that count hits and compare them with a rate."""
