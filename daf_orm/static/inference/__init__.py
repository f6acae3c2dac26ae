"""Follow values through the source: what a name holds, what is called, and on which thread."""
