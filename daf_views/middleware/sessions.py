"""Sessions, loaded and saved through their async methods: only database sessions that have changed use a thread."""

import time
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware as _SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.http import http_date

from daf_orm import database_sync_to_async
from daf_views.http.session import has_async_twins
from daf_views.middleware.base import InlineMixin

_FIRST_UNSAVED_STATUS = 500  # Django keeps no changes of a request that failed


class SessionMiddleware(InlineMixin, _SessionMiddleware):
    """No hop unless the session has changed. A database session is then saved in one, a signed cookie in none."""

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        self.process_request(request)
        return await self._aprocess_response(request, await self.get_response(request))  # type: ignore[no-any-return]

    async def _aprocess_response(self, request: HttpRequest, response: Any) -> Any:
        session: SessionBase | None = getattr(request, "session", None)
        if session is None or not _is_to_be_saved(session):
            return self.process_response(request, response)  # it saves nothing, so it cannot block
        if not has_async_twins(type(session)):
            return await database_sync_to_async(self.process_response)(request, response)
        if response.status_code < _FIRST_UNSAVED_STATUS:
            await _save(session, response)
        elif session.accessed:
            patch_vary_headers(response, ("Cookie",))
        return response


def _is_to_be_saved(session: SessionBase) -> bool:
    return (session.modified or settings.SESSION_SAVE_EVERY_REQUEST) and not session.is_empty()


async def _save(session: SessionBase, response: HttpResponseBase) -> None:
    """Save the session and set its cookie, as ``SessionMiddleware.process_response()`` does."""
    max_age, expires = None, None
    if not await session.aget_expire_at_browser_close():
        max_age = await session.aget_expiry_age()
        expires = http_date(time.time() + max_age)
    try:
        await session.asave()
    except UpdateError as error:
        raise SessionInterrupted(
            "The request's session was deleted before the request completed. The user may have logged out in a "
            "concurrent request, for example."
        ) from error
    response.set_cookie(
        settings.SESSION_COOKIE_NAME,
        session.session_key or "",
        max_age=max_age,
        expires=expires,
        domain=settings.SESSION_COOKIE_DOMAIN,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE or None,  # type: ignore[arg-type] # Django's own call
        httponly=settings.SESSION_COOKIE_HTTPONLY or None,  # type: ignore[arg-type] # Django's own call
        samesite=settings.SESSION_COOKIE_SAMESITE,
    )
    patch_vary_headers(response, ("Cookie",))
