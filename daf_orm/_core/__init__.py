"""Modules that need neither a database nor the pool."""
