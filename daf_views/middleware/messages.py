"""Messages, kept for the next request, without a thread unless their session has to be loaded."""

from django.contrib.messages.middleware import MessageMiddleware as _MessageMiddleware
from django.contrib.messages.storage.base import BaseStorage
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.messages.storage.session import SessionStorage
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from daf_orm import database_sync_to_async
from daf_views._django.requests import message_storage_of
from daf_views.http.session import session_is_loaded
from daf_views.middleware.base import InlineMixin


class MessageMiddleware(InlineMixin, _MessageMiddleware):
    """Stores messages on the event loop wherever that is certain not to load a session."""

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        self.process_request(request)
        response = await self.get_response(request)
        if _may_block(request):
            return await database_sync_to_async(self.process_response)(request, response)
        return self.process_response(request, response)


def _may_block(request: HttpRequest) -> bool:
    storage: BaseStorage | None = message_storage_of(request)
    if storage is None:
        return False
    if type(storage) not in (CookieStorage, FallbackStorage, SessionStorage):  # a project's own storage
        return True
    if type(storage) is CookieStorage or not (storage.used or storage.added_new):
        return False
    return not session_is_loaded(request.session)
