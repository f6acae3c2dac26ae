"""What DAF must know of a database."""
