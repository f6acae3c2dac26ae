"""URLs of the bookshop, its admin, its documentation and its health.

Its errors are problems for programs, and pages for browsers.
"""

from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.urls import include, path

from daf_views.health import livez, readyz
from daf_views.metrics import metrics_overview
from daf_views.tasks.overview import tasks_overview

urlpatterns = [
    path("livez", livez),
    path("readyz", readyz),
    path("staff/metrics/", metrics_overview, name="metrics"),
    path("staff/tasks/", tasks_overview, name="tasks"),
    path("api/", include("daf_views.openapi.urls")),
    path("admin/", admin.site.urls),
    # A server of ASGI serves no files. In production a proxy, or a CDN, serves what `collectstatic` collects.
    path("static/<path:path>", serve, {"insecure": True}),
    path("", include("shop.urls")),
]

handler400 = "daf_views.errors.handler400"
handler403 = "daf_views.errors.handler403"
handler404 = "daf_views.errors.handler404"
handler500 = "daf_views.errors.handler500"
