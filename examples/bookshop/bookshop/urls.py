"""URLs of the bookshop; errors that never reach a view are JSON too."""

from django.urls import include, path

urlpatterns = [path("", include("shop.urls"))]

handler400 = "shop.errors.bad_request"
handler404 = "shop.errors.page_not_found"
handler500 = "shop.errors.server_error"
