"""Error handlers for a URLconf: ``handler404 = "daf_views.errors.handler404"``, and so on.

Django calls them, synchronously, for what reaches its own handler; clients get problems, browsers Django's pages. They
are not called with DEBUG; ``async_error_middleware`` answers with problems there too.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from daf_views.errors.problems import respond
from daf_views.exceptions import APIError

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse


def _handler(status: int) -> Callable[..., HttpResponse]:
    def handler(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
        # Django calls the one for 500 after it has sent got_request_exception.
        return respond(request, _meant(status, exception), is_signalled=status == 500)  # noqa: PLR2004

    handler.__name__ = handler.__qualname__ = f"handler{status}"
    handler.__doc__ = f"Answer with status {status}, or with the one that an APIError has."
    handler.answers_with_problems = True  # type: ignore[attr-defined] # the pages for browsers look for it
    return handler


def _meant(status: int, exception: Exception | None) -> Exception:
    """Return the exception: Django does not pass it to ``handler500``, but calls that while it is handled."""
    current: Any = exception if exception is not None else sys.exc_info()[1]
    return current if isinstance(current, Exception) else APIError(status=status)


handler400 = _handler(400)
handler403 = _handler(403)
handler404 = _handler(404)
handler500 = _handler(500)
