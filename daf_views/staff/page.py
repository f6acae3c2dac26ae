"""``staff_page``: a view that only staff may see, as a page or as JSON, and that serves its own stylesheet.

A page has no script and no inline style. It links ``?format=css`` at the same path, so that it needs no static files,
and goes with a Content-Security-Policy of ``style-src 'self'``.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import sync_to_async
from django.contrib.auth.views import redirect_to_login
from django.http import HttpResponse
from django.template import Context, Engine
from django.utils import timezone
from django.utils.cache import add_never_cache_headers, patch_vary_headers

from daf_views.auth import identity
from daf_views.auth.identity import user_of
from daf_views.errors.html import prefers_html
from daf_views.errors.problems import response_for
from daf_views.exceptions import ForbiddenError, NotAuthenticatedError
from daf_views.http.json import encode
from daf_views.views.atomic import OptedOut

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from django.http import HttpRequest
    from django.template import Template

    Answer = Callable[[HttpRequest], Awaitable[Mapping[str, Any]]]
    View = Callable[[HttpRequest], Coroutine[Any, Any, HttpResponse]]

_HERE: Final = Path(__file__).parent
_STYLESHEET: Final = (_HERE.parent / "static" / "daf_views" / "daf.css").read_bytes()


def staff_page(template: Callable[[], Template]) -> Callable[[Answer], View]:
    """Make a view of a function that returns the page's data: HTML for browsers, JSON for others and ``?format=json``.

    ``template`` gets the data as its context, and ``now``. Members of staff see it; others are sent to log in, or get
    a 401 or 403. No response is cached but the stylesheet.
    """

    def decorate(answer: Answer) -> View:
        @functools.wraps(answer)
        async def view(request: HttpRequest) -> HttpResponse:
            if request.GET.get("format") == "css":
                return HttpResponse(
                    _STYLESHEET, content_type="text/css; charset=utf-8", headers={"Cache-Control": "max-age=3600"}
                )
            response = await _refusal(request) or await _respond(request, template, await answer(request))
            patch_vary_headers(response, ["Accept", "Cookie"])
            add_never_cache_headers(response)
            return response

        OptedOut.put_on(view)  # it changes nothing, whatever ATOMIC_REQUESTS says
        return view

    return decorate


def page_template(file: Path) -> Template:
    """Return a page's template, which extends ``base.html``. It reads files: call it off the event loop."""
    # A separate engine: those in TEMPLATES may not be Django's, or not look here.
    return Engine(dirs=[str(_HERE)]).from_string(file.read_text(encoding="utf-8"))


async def is_staff(request: HttpRequest) -> bool:
    """Return True if a request is an active member of staff's. Raises ImproperlyConfigured if requests have no user."""
    user = await user_of(request)
    return identity.is_staff(user)


async def _refusal(request: HttpRequest) -> HttpResponse | None:
    if await is_staff(request):
        return None
    if (await user_of(request)).is_authenticated:
        return await response_for(request, ForbiddenError("This page is for staff."))
    if _wants_html(request):
        return redirect_to_login(request.get_full_path())
    return await response_for(request, NotAuthenticatedError(challenge="Session"))


def _wants_html(request: HttpRequest) -> bool:
    return request.GET.get("format") != "json" and prefers_html(request)


async def _respond(request: HttpRequest, template: Callable[[], Template], data: Mapping[str, Any]) -> HttpResponse:
    if not _wants_html(request):
        return HttpResponse(encode(data), content_type="application/json")
    context = Context({**data, "now": timezone.now()})
    return HttpResponse(await sync_to_async(lambda: template().render(context), thread_sensitive=False)())
