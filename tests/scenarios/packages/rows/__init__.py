"""The rows that each tenant has in its own schema."""
