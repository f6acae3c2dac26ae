"""Flat pages in place of a 404, in one thread hop; any other response costs none."""

from django.contrib.flatpages.middleware import FlatpageFallbackMiddleware as _FlatpageFallbackMiddleware
from django.http import HttpRequest, HttpResponseNotFound
from django.http.response import HttpResponseBase

from daf_orm import database_sync_to_async
from daf_views.middleware.base import InlineMixin


class FlatpageFallbackMiddleware(InlineMixin, _FlatpageFallbackMiddleware):
    """Looks for a flat page, and renders it, only for a 404."""

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        response = await self.get_response(request)
        if response.status_code != HttpResponseNotFound.status_code:
            return response  # type: ignore[no-any-return]
        return await database_sync_to_async(self.process_response)(request, response)
