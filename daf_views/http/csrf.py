"""Cross-site request forgery: detect an unsafe request that another site may have made a browser send.

Two checks, one before the body is received, one after. The first asks the browser: an ``Origin`` must be this host, or
one of ``CSRF_TRUSTED_ORIGINS``; without one, ``Sec-Fetch-Site`` must not say that another site is behind it (Fetch
Metadata, W3C). Programs send neither. That suffices without the session cookie, also where browsers
send other proof automatically: a JWT in a cookie, a client certificate, a login at a proxy. With the session cookie
Django's whole check follows, token and all.

A request with an ``Authorization`` that browsers do not send automatically is from a program, and exempt from both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.middleware.csrf import REASON_BAD_ORIGIN

from daf_orm import database_sync_to_async
from daf_views._django.csrf import CsrfSteps
from daf_views._django.requests import is_exempt_from_csrf
from daf_views.exceptions import CSRFError
from daf_views.http.methods import SAFE

if TYPE_CHECKING:
    from django.http import HttpRequest

_SENT_BY_BROWSERS = frozenset({"", "basic", "digest", "negotiate", "ntlm"})
_NOT_ANOTHER_SITE = frozenset({"same-origin", "none"})  # none: the user, by a bookmark or the address bar


def needs_check(request: HttpRequest) -> bool:
    """Return True if the request is unsafe, and may be a browser's."""
    if request.method in SAFE or is_exempt_from_csrf(request):
        return False
    scheme = request.META.get("HTTP_AUTHORIZATION", "").strip().partition(" ")[0]
    return scheme.lower() in _SENT_BY_BROWSERS


def check_origin(request: HttpRequest) -> None:
    """Raise CSRFError if another site is behind the request, as far as its headers tell. Reads no body."""
    origin = request.META.get("HTTP_ORIGIN")
    if origin is not None:
        if not _Check(_no_view).is_known_origin(request):
            raise CSRFError(REASON_BAD_ORIGIN % origin)
        return
    site = request.META.get("HTTP_SEC_FETCH_SITE", "none")
    if site not in _NOT_ANOTHER_SITE and not _has_session(request):
        raise CSRFError(f"Sec-Fetch-Site is {site}.")


async def check_token(request: HttpRequest) -> None:
    """Check as Django's middleware does, if there is a session cookie. A form's token is in the body, so it is there.

    Raises CSRFError.
    """
    if not _has_session(request):
        return
    check = _Check(_no_view).process_view
    if settings.CSRF_USE_SESSIONS:  # loads the session
        await database_sync_to_async(check)(request, _no_view, (), {})
    else:
        check(request, _no_view, (), {})


def _has_session(request: HttpRequest) -> bool:
    return settings.SESSION_COOKIE_NAME in request.COOKIES


def _no_view(request: HttpRequest) -> Any:
    """Stand for a view that is not exempt."""


class _Check(CsrfSteps):
    """Django's check, which raises where Django's middleware responds."""

    def reject(self, request: HttpRequest, reason: str) -> Any:  # noqa: ARG002
        """Raise the reason."""
        raise CSRFError(reason)
