"""Compression, without a thread where it is quick."""

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware as _GZipMiddleware

from daf_views.middleware.base import InlineMixin

MAX_INLINE_BODY = 64 * 1024
"""Bytes that are compressed on the event loop: a millisecond or two. Compressing more would hold up other requests."""


class GZipMiddleware(InlineMixin, _GZipMiddleware):
    """Compresses a small body on the event loop, a large one in a thread, a stream chunk by chunk as Django does."""

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        response = await self.get_response(request)
        if _is_large(request, response):
            return await sync_to_async(self.process_response, thread_sensitive=False)(request, response)
        return self.process_response(request, response)


def _is_large(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Return True if a body that will perhaps be compressed is too large to do that on the event loop."""
    if not isinstance(response, HttpResponse) or "gzip" not in request.META.get("HTTP_ACCEPT_ENCODING", ""):
        return False
    return not response.has_header("Content-Encoding") and len(response.content) > MAX_INLINE_BODY
