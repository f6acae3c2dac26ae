"""The two ends of a request: ``request_started``, ``request_finished``, and what is closed in between.

Django sends both signals through a worker thread, because its own receivers close connections that belong to that
thread. Under daf_orm no thread keeps any: each call gives its connection back clean. So where only Django listens,
the work of its receivers is done here, without a hop. Other receivers are run as Django runs them.
"""

from __future__ import annotations

import asyncio
import functools
from contextlib import suppress
from io import BytesIO, IOBase
from itertools import chain
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.cache import caches, close_caches
from django.core.cache.backends.base import BaseCache
from django.core.files.base import File
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.core.handlers.base import reset_urlconf
from django.core.signals import request_finished, request_started, setting_changed
from django.db import close_old_connections, reset_queries
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from daf_orm import PoolClosed, PoolTimeout, TooManyRequests
from daf_views._django.handlers import live_receivers
from daf_views._django.requests import files_of, stream_of
from daf_views._django.responses import closers_of
from daf_views.http.request import UnreceivedBody

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from django.core.handlers.asgi import ASGIRequest
    from django.dispatch import Signal

    Closer = Callable[[], object]

_OVERLOAD = (PoolTimeout, TooManyRequests, PoolClosed)
_DJANGO_IDS = frozenset(map(id, (reset_queries, close_old_connections, close_caches, reset_urlconf)))
_heard: dict[Signal, list[Any]] = {}
"""The receivers of a signal when all were Django's."""


def start_request(sender: type, scope: Any) -> Coroutine[Any, Any, object] | None:
    """Return the coroutine that announces the start of a request, or None if there is no receiver."""
    if _only_django_listens(request_started):
        return None
    sync_receivers, async_receivers = _foreign_receivers(request_started, sender)
    if sync_receivers:
        return request_started.asend(sender=sender, scope=scope)
    return _call_all(async_receivers, signal=request_started, sender=sender, scope=scope)


def end_request(
    request: ASGIRequest | None, response: HttpResponseBase | None, body: Any, sender: type
) -> Coroutine[Any, Any, None] | None:
    """Close a request at any stage: do the work of ``response.close()``, and send ``request_finished``.

    Where nothing of that may block, it is done at once and None returned. Otherwise the coroutine returned must run to
    its end, whatever is cancelled meanwhile.
    """
    stream = body if request is None else stream_of(request)  # it may have come since
    own = [] if response is None else closers_of(response)
    if response is not None and (type(response).close is not HttpResponseBase.close or "close" in vars(response)):
        return _end_by_replaced_close(response, stream)
    if (
        len(own) > (request is not None)  # more than the request's, which the handler has put there
        or not isinstance(stream, BytesIO | UnreceivedBody)
        or _has_files_on_disk(request)
        or not _only_django_listens(request_finished)
        or _has_cache_to_close()
    ):
        closers = own or ([] if request is None else [request.close])
        return _end([*closers, stream.close], response, sender)
    if request is not None:
        request.close()
    stream.close()  # Django 5.2 leaves it open
    if response is not None:
        own.clear()
        response.closed = True
    return None  # the URLconf was set in the request's own context, and ends with it


async def _end_by_replaced_close(response: HttpResponseBase, stream: Any) -> None:
    """Call a ``close()`` that has been replaced: it sends the signal, if anything does."""
    await _hop(response.close)
    await sync_to_async(stream.close, thread_sensitive=False)()


async def _end(closers: list[Closer], response: HttpResponseBase | None, sender: type) -> None:
    close = functools.partial(_close_all, closers, response)
    if all(_closes_a_file(closer) for closer in closers):
        await sync_to_async(close, thread_sensitive=False)()  # closing a file must not wait for a connection
    else:
        await _hop(close)
    sync_receivers, async_receivers = _foreign_receivers(request_finished, sender)
    try:
        if sync_receivers or _has_cache_to_close():
            await request_finished.asend(sender=sender)
        else:
            await _call_all(async_receivers, signal=request_finished, sender=sender)
    except _OVERLOAD:  # synchronous receivers are called before the others: none has been
        await sync_to_async(request_finished.send, thread_sensitive=False)(sender=sender)


async def _call_all(receivers: list[Any], **arguments: Any) -> None:
    await asyncio.gather(*(receiver(**arguments) for receiver in receivers))


async def _hop(func: Closer) -> None:
    """Call it as Django does; without a connection if there is none for that: open resources must be closed."""
    try:
        await sync_to_async(func)()
    except _OVERLOAD:
        await sync_to_async(func, thread_sensitive=False)()


def _closes_a_file(closer: Closer) -> bool:
    return isinstance(getattr(closer, "__self__", None), IOBase | File | HttpRequest | UnreceivedBody)


def _close_all(closers: list[Closer], response: HttpResponseBase | None) -> None:
    for closer in closers:
        with suppress(Exception):  # as in HttpResponseBase.close
            closer()
    if response is not None:
        closers_of(response).clear()
        response.closed = True


def _only_django_listens(signal: Signal) -> bool:
    if signal.receivers == _heard.get(signal):  # twice for each request
        return True
    # Each entry begins with the identities of receiver and sender. Django's functions live as long as the process.
    receivers = [*signal.receivers]  # another thread may connect one meanwhile
    if not all(entry[0][0] in _DJANGO_IDS for entry in receivers):
        return False
    _heard[signal] = receivers
    return True


def _foreign_receivers(signal: Signal, sender: type) -> tuple[list[Any], list[Any]]:
    """Return the receivers that are not Django's own: the synchronous and the asynchronous ones."""
    sync_receivers, async_receivers = live_receivers(signal, sender)
    return [receiver for receiver in sync_receivers if id(receiver) not in _DJANGO_IDS], async_receivers


def _has_cache_to_close() -> bool:
    return _closes_caches() and any(caches.all(initialized_only=True))


@functools.cache
def _closes_caches() -> bool:
    """Return True if a cache of the settings has anything to close, as memcached's clients have."""
    backends = [import_string(cache["BACKEND"]) for cache in settings.CACHES.values()]
    return any(backend.close is not BaseCache.close for backend in backends)


def _forget(*, setting: str, **_: object) -> None:
    if setting == "CACHES":
        _closes_caches.cache_clear()


setting_changed.connect(_forget, dispatch_uid="daf_views.asgi.request_cycle")


def _has_files_on_disk(request: ASGIRequest | None) -> bool:
    files = files_of(request)
    if files is None:
        return False
    return any(isinstance(file, TemporaryUploadedFile) for file in chain.from_iterable(v for _, v in files.lists()))
