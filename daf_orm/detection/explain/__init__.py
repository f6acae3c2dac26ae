"""Name a blocking call: its operation, its source expression, and what to write instead."""
