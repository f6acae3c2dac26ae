"""Errors as HTML, for browsers: Django's own technical pages with DEBUG, its handlers and templates without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import get_resolver, get_urlconf
from django.utils.html import format_html
from django.views import debug, defaults

if TYPE_CHECKING:
    from daf_views.exceptions import APIError

_DEFAULTS: dict[int, Any] = {
    400: defaults.bad_request,
    403: defaults.permission_denied,
    404: defaults.page_not_found,
    500: defaults.server_error,
}
_JSON = ("application/problem+json", "application/json")
_PAGE = (
    '<!doctype html>\n<html lang="en">\n<head><title>{}</title></head>\n<body><h1>{}</h1><p>{}</p></body>\n</html>\n'
)


def prefers_html(request: HttpRequest) -> bool:
    """Return True if the client prefers HTML to JSON, by the weights of its Accept header (RFC 9110 §12.5.1).

    A client without a preference gets JSON.
    """
    try:
        return request.get_preferred_type([*_JSON, "text/html"]) == "text/html"
    except ValueError:  # a header that cannot be parsed
        return False


def names_json(request: HttpRequest) -> bool:
    """Return True if the client's Accept header names JSON, or a kind of it, and prefers that to HTML."""
    accepted = [str(each).partition(";")[0].strip() for each in request.accepted_types]
    return any(each in _JSON or each.endswith("+json") for each in accepted) and not prefers_html(request)


def has_own_handler(status: int) -> bool:
    """Return True if the project's URLconf defines an error handler for a status."""
    handler = get_resolver(get_urlconf()).resolve_error_handler(status)
    return handler is not _DEFAULTS[status] and not getattr(handler, "answers_with_problems", False)


def may_query(error: APIError) -> bool:
    """Return True if the page is rendered by Django's or the project's code, which may use the database."""
    return error.status in _DEFAULTS


def render(request: HttpRequest, exc: Exception, error: APIError) -> HttpResponse:
    """Return the page that Django would show. May query: call it where that is allowed."""
    if settings.DEBUG and isinstance(exc, Http404):
        return debug.technical_404_response(request, exc)
    if settings.DEBUG and error.status == 500 and exc is not error:  # noqa: PLR2004 - Internal Server Error
        return debug.technical_500_response(request, type(exc), exc, exc.__traceback__)
    if not may_query(error):
        return plain(error)
    return by_handler(request, exc, _handler(error.status), error.status)


def by_handler(request: HttpRequest, exc: Exception | None, handler: Any, status: int) -> HttpResponse:
    """Call an error handler as Django does: the one for 500 is not told what happened."""
    response: Any = handler(request) if status == 500 else handler(request, exception=exc)  # noqa: PLR2004
    if not getattr(response, "is_rendered", True):  # a TemplateResponse
        response = response.render()
    return response  # type: ignore[no-any-return] # the project's handler


def plain(error: APIError) -> HttpResponse:
    """Return a page that needs no template."""
    body = format_html(_PAGE, error.title, error.title, error.detail or "")
    return HttpResponse(body, status=error.status, headers=error.headers)


def _handler(status: int) -> Any:
    handler = get_resolver(get_urlconf()).resolve_error_handler(status)
    # Ours would come back here.
    return _DEFAULTS[status] if getattr(handler, "answers_with_problems", False) else handler
