"""Migrations of the database store."""
