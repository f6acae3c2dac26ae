"""URLs of the shop: for programs, and for people."""

from django.urls import include, path

urlpatterns = [
    path("", include("shop.api.urls")),
    path("", include("shop.pages.urls")),
]
