"""Follow values through the source: the values of names, the functions called, and the thread they run on."""
