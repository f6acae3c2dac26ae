"""Explain a blocking call: its operation, its source expression, and its replacement."""
