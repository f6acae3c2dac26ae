"""Conditional GET, without a thread where it is quick."""

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.http import ConditionalGetMiddleware as _ConditionalGetMiddleware

from daf_views.middleware.base import InlineMixin

MAX_INLINE_BODY = 512 * 1024
"""Bytes whose ETag is computed on the event loop: MD5 takes about a millisecond for them."""


class ConditionalGetMiddleware(InlineMixin, _ConditionalGetMiddleware):
    """Compares and makes ETags on the event loop. A thread is for large bodies, and for the log of a 412."""

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        response = await self.get_response(request)
        if request.method == "GET" and (_is_large(response) or _may_be_refused(request)):
            return await sync_to_async(self.process_response, thread_sensitive=False)(request, response)
        return self.process_response(request, response)


def _is_large(response: HttpResponseBase) -> bool:
    """Return True if making an ETag would take too long for the event loop."""
    if not isinstance(response, HttpResponse) or response.has_header("ETag"):
        return False
    return len(response.content) > MAX_INLINE_BODY


def _may_be_refused(request: HttpRequest) -> bool:
    """Return True if the response may be 412, which Django logs; its handler keeps logging off the event loop, too."""
    return "HTTP_IF_MATCH" in request.META or "HTTP_IF_UNMODIFIED_SINCE" in request.META
