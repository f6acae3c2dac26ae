"""URLs of the bookshop, its documentation, its health, and its errors: problems for programs, pages for browsers."""

from django.urls import include, path

from daf_views.health import livez, readyz
from daf_views.tasks.overview import tasks_overview

urlpatterns = [
    path("livez", livez),
    path("readyz", readyz),
    path("staff/tasks/", tasks_overview),
    path("api/", include("daf_views.openapi.urls")),
    path("", include("shop.urls")),
]

handler400 = "daf_views.errors.handler400"
handler403 = "daf_views.errors.handler403"
handler404 = "daf_views.errors.handler404"
handler500 = "daf_views.errors.handler500"
