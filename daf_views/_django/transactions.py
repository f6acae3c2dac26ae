"""Find the transaction, if any, that an enqueued task or a published message has to wait for."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.db import connections

from daf_orm import transaction
from daf_views._django.executors import has_sync_caller


def in_sync_atomic_block(using: str) -> bool:
    """Return True if synchronous code is in an atomic block: Django's own, or that of the event loop that called it."""
    known = connections.all(initialized_only=True)  # reading one would make it, in this thread
    return any(each.in_atomic_block for each in known if each.alias == using)


async def in_any_atomic_block(using: str) -> bool:
    """Return True if code on an event loop is in an atomic block, or called from synchronous code that is."""
    if transaction.in_atomic_block(using):
        return True
    return has_sync_caller() and await sync_to_async(in_sync_atomic_block)(using)
