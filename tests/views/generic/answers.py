"""Asks a view without a handler around it."""

from django.test import AsyncRequestFactory

from daf_orm import database_sync_to_async

request_factory = AsyncRequestFactory()


async def ask(view, method="GET", data=None, query=None, *, options=None, **kwargs):
    """Return the response, not rendered yet. ``kwargs`` are those of the URL, ``options`` those of ``as_view()``."""
    if method == "POST":
        request = request_factory.post("/", data or {})
    else:
        request = request_factory.generic(method, "/", query_params=query)
    return await view.as_view(**options or {})(request, **kwargs)


async def rendered(response):
    """Return the text, rendered in a thread, as a handler does."""
    return (await database_sync_to_async(response.render)()).text
