from typing import Any

app: Any
"""Celery's, which has no types."""
