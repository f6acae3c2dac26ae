"""Packages from the field, as their users use them, with DAF in play."""
