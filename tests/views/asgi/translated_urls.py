"""Patterns behind the prefix of a language."""

from django.conf.urls.i18n import i18n_patterns
from django.urls import path

from tests.views.asgi import test_routes

urlpatterns = i18n_patterns(path("plain/", test_routes.view))
