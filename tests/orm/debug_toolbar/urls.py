"""The URLconf of the tests, which can be imported once the toolbar is installed."""

from debug_toolbar.toolbar import debug_toolbar_urls
from django.urls import path

from tests.orm.debug_toolbar import views

urlpatterns = [
    path("load/<int:leases>", views.load),
    path("block/<int:times>", views.block),
    path("pin", views.pin),
    path("wait", views.wait),
    path("warm", views.warm),
    *debug_toolbar_urls(),
]
