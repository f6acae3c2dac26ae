"""The document and a page to read it on, served offline: ``path("api/", include("daf_views.openapi.urls"))``.

Both are public, as the API itself is: decorate or mount them otherwise if they should not be.
The page is Swagger UI from ``drf-spectacular-sidecar`` (``pip install "django-daf[openapi]"``), of which two files are
served and no others. No script or style is in the page, so it goes with a strict Content-Security-Policy.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import Http404, HttpResponse
from django.http.request import HttpHeaders
from django.middleware.csrf import get_token
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.cache import cache_control, never_cache

from daf_orm import database_sync_to_async
from daf_views.openapi.document import as_json
from daf_views.settings import get_settings
from daf_views.views.atomic import OptedOut

if TYPE_CHECKING:
    from django.http import HttpRequest

_SIDECAR = "drf_spectacular_sidecar"
_SWAGGER = (_SIDECAR, "static/drf_spectacular_sidecar/swagger-ui-dist")
_OWN = (__package__, "assets")
ASSETS = {
    "swagger-ui.css": (_SWAGGER, "text/css; charset=utf-8"),
    "swagger-ui-bundle.js": (_SWAGGER, "text/javascript; charset=utf-8"),
    "page.css": (_OWN, "text/css; charset=utf-8"),
    "start.js": (_OWN, "text/javascript; charset=utf-8"),
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="swagger-ui.css">
<link rel="stylesheet" href="page.css">
</head>
<body>
<div id="docs" data-document="{document}" data-csrf-token="{token}" data-csrf-header="{header}"></div>
<script src="swagger-ui-bundle.js"></script>
<script src="start.js"></script>
</body>
</html>
"""


async def openapi_json(request: HttpRequest) -> HttpResponse:
    """Answer with the document of the site's URLconf."""
    urlconf = getattr(request, "urlconf", None)
    # In a thread: it is made once, and looks at every view.
    body = await sync_to_async(as_json, thread_sensitive=False)(urlconf, prefix=request.META.get("SCRIPT_NAME", ""))
    return HttpResponse(body, content_type="application/json")


@never_cache
async def openapi_docs(request: HttpRequest) -> HttpResponse:
    """Answer with the page. It holds a CSRF token, which it sends with the requests that are tried out."""
    if find_spec(_SIDECAR) is None:
        raise ImproperlyConfigured('The page of the API needs its assets: pip install "django-daf[openapi]".')
    token = database_sync_to_async(get_token) if settings.CSRF_USE_SESSIONS else _get_token
    title = get_settings().OPENAPI.get("title", "API")
    document = reverse("daf_openapi:document")
    header = HttpHeaders.parse_header_name(settings.CSRF_HEADER_NAME)
    page = format_html(_PAGE, title=title, document=document, token=await token(request), header=header)
    return HttpResponse(page)


async def _get_token(request: HttpRequest) -> str:
    return get_token(request)


@cache_control(max_age=3600)
async def openapi_asset(request: HttpRequest, name: str) -> HttpResponse:  # noqa: ARG001 - a view's
    """Answer with a file of the page."""
    if name not in ASSETS:
        raise Http404
    (package, folder), content_type = ASSETS[name]
    if find_spec(package) is None:
        raise Http404
    body: Any = await sync_to_async(files(package).joinpath(folder, name).read_bytes, thread_sensitive=False)()
    return HttpResponse(body, content_type=content_type)


for _view in (openapi_json, openapi_docs, openapi_asset):
    OptedOut.put_on(_view)  # they change nothing, whatever ATOMIC_REQUESTS says
