"""Find blocking calls in source, in code that runs on an event loop, without importing any of it: ``daf check``."""
