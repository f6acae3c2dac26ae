"""What needs neither a database nor the pool."""
