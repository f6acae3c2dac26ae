"""Synchronous Django views, for WSGI."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from django.http import JsonResponse
from django.urls import path

from benchmarks.catalog.work import Sync
from benchmarks.race.works import UPSTREAM_SECONDS

if TYPE_CHECKING:
    from django.http import HttpRequest


def hello(_request: HttpRequest) -> JsonResponse:
    """Answer at once."""
    return JsonResponse({"message": "hello"})


def one(_request: HttpRequest, pk: int) -> JsonResponse:
    """Answer with a book."""
    return JsonResponse(Sync.one(pk))


def many(_request: HttpRequest) -> JsonResponse:
    """Answer with books and their authors."""
    return JsonResponse(Sync.many(), safe=False)


def gathered(_request: HttpRequest, pk: int) -> JsonResponse:
    """Answer with five books, one query after the other."""
    return JsonResponse(Sync.gathered(pk), safe=False)


def change(_request: HttpRequest, pk: int) -> JsonResponse:
    """Change a book and answer with it."""
    return JsonResponse(Sync.change(pk))


def account(request: HttpRequest) -> JsonResponse:
    """Answer with the name of the user of the session."""
    return JsonResponse({"user": request.user.get_username()})


def slow(_request: HttpRequest, pk: int) -> JsonResponse:
    """Query, wait for something else, query."""
    before = Sync.one(pk)
    time.sleep(UPSTREAM_SECONDS)
    return JsonResponse([before, Sync.one(pk)], safe=False)


urlpatterns = [
    path("hello", hello),
    path("one/<int:pk>", one),
    path("many", many),
    path("gathered/<int:pk>", gathered),
    path("change/<int:pk>", change),
    path("account", account),
    path("slow/<int:pk>", slow),
]
