"""The I/O tier: calls that block an event loop without a database."""

from daf_orm.detection.io.guard import MISSING, activate, deactivate, is_active, is_available

__all__ = ["MISSING", "activate", "deactivate", "is_active", "is_available"]
