"""Whether what is enqueued has a transaction to wait for."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.db import connections

from daf_orm import transaction


def in_sync_atomic_block(using: str) -> bool:
    """Whether synchronous code is inside an atomic block, one of Django's or of the event loop that called it."""
    known = connections.all(initialized_only=True)  # to ask for one would make it, in this thread
    return any(each.in_atomic_block for each in known if each.alias == using)


async def in_any_atomic_block(using: str) -> bool:
    """Whether code on an event loop is inside an atomic block, or called from synchronous code that is."""
    return transaction.in_atomic_block(using) or await sync_to_async(in_sync_atomic_block)(using)
