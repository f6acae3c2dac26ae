"""URLs of the measured requests."""

from django.urls import path

from benchmarks.library.views import answer

urlpatterns = [path("<query>/<int:times>/", answer)]
