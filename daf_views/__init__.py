"""Async views, API views, throttling and background tasks on top of ``daf_orm``."""
