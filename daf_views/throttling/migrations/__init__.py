"""Migrations of the database backend."""
