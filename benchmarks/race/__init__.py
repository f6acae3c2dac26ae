"""The race: every way to serve the same work, each in a separate locked environment, in turn in one run."""
