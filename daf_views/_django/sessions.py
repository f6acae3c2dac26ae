"""Private names of sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase


def is_loaded(session: SessionBase) -> bool:
    """Return True if the session has been read from its store."""
    return hasattr(session, "_session_cache")
