"""``openapi.json``, and below ``docs/`` the page that shows it."""

from django.urls import path

from daf_views.openapi.views import openapi_asset, openapi_docs, openapi_json

app_name = "daf_openapi"
urlpatterns = [
    path("openapi.json", openapi_json, name="document"),
    path("docs/", openapi_docs, name="docs"),
    path("docs/<str:name>", openapi_asset, name="asset"),
]
