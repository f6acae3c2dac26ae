"""``/livez`` and ``/readyz``: this process runs, and it takes requests.

``path("livez", livez)``, ``path("readyz", readyz)``. Neither takes a slot of ``MAX_IN_FLIGHT``. Source of the names:
the Kubernetes API server's health endpoints.
"""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache

from daf_views._core.drain import current_drain
from daf_views.views.atomic import OptedOut


@never_cache
async def livez(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """Answer 200 as long as the event loop runs."""
    return _plain("ok", 200)


@never_cache
async def readyz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """Answer 200; 503 once the server drains."""
    return _plain("draining", 503) if current_drain().requested else _plain("ok", 200)


def _plain(text: str, status: int) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")


for _view in (livez, readyz):
    _view.needs_place = False  # type: ignore[attr-defined] # daf_views.asgi asks when all are taken
    OptedOut.put_on(_view)  # there is nothing to be atomic, whatever ATOMIC_REQUESTS says
