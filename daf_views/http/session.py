"""Load a session without blocking the event loop."""

from functools import cache
from typing import Any

from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.file import SessionStore as FileStore

from daf_orm import database_sync_to_async
from daf_views._django.sessions import is_loaded


async def load_session(session: SessionBase) -> None:
    """Load the session, after which its synchronous methods may be used on the event loop: they do no I/O."""
    if session_is_loaded(session):
        return
    if has_async_twins(type(session)):
        await session.aget(_ANY_KEY)
    else:
        await database_sync_to_async(session.get)(_ANY_KEY)


_ANY_KEY = "_session_expiry"


def session_is_loaded(session: SessionBase) -> bool:
    """Return True if the session can be read without I/O: it has been, or it is a new one."""
    return session.session_key is None or is_loaded(session)


@cache
def has_async_twins(store: type[SessionBase]) -> bool:
    """Return True if the store's async methods do the same as its synchronous ones, and do not block.

    False where a subclass of a Django store overrides ``save()`` or ``create_model_instance()`` alone, as Django's
    documentation shows: its ``asave()`` would still be Django's. False for the file store, which has no async methods.
    """
    if issubclass(store, FileStore):
        return False
    methods = [name for name in dir(store) if hasattr(store, f"a{name}")]
    return all(_depth(store, f"a{name}") <= _depth(store, name) for name in methods)


def _depth(store: type[Any], name: str) -> int:
    """Return the number of classes between the store and the one that defines the name."""
    return next(depth for depth, owner in enumerate(store.__mro__) if name in vars(owner))
