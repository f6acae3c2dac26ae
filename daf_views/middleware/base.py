"""Run a middleware's hooks on the event loop: the base of every thread-free middleware.

Django's ``MiddlewareMixin`` sends ``process_request`` and ``process_response`` through ``sync_to_async``, and the
handler does so with ``process_view``. Each is a thread hop: 13 to 15 of them per request with Django's default
middleware (ticket 37177), for work of microseconds.
"""

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin


class InlineMixin(MiddlewareMixin):
    """A base to put before a ``MiddlewareMixin`` class that never blocks; one that might block overrides more.

    An ``aprocess_view`` method takes the place of ``process_view`` on async requests. On synchronous ones nothing
    differs from the middleware itself.
    """

    get_response: Any

    def __init__(self, get_response: Any) -> None:
        super().__init__(get_response)
        if self.async_mode and hasattr(self, "aprocess_view"):
            # On the instance: the handler looks there for a coroutine function.
            self.process_view = self.aprocess_view

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        # MiddlewareMixin.__call__() comes here on an async request.
        response = self.process_request(request) if hasattr(self, "process_request") else None
        response = response or await self.get_response(request)
        if hasattr(self, "process_response"):
            response = self.process_response(request, response)
        return response  # type: ignore[no-any-return] # hooks are looked up as Django does
