"""Migrations of the worker's table."""
