"""Formats in which findings are written."""
