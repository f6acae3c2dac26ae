"""Database backends of Django's that can wait on the event loop."""
