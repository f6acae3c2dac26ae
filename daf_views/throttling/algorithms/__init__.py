"""The algorithms that decide whether a hit is within its rate."""
