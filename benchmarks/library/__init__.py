"""The Django application that every contestant queries."""
