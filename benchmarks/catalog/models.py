"""Two models and a relation: plain Django, with the manager of each contestant."""

from __future__ import annotations

import importlib

from django.conf import settings
from django.db import models

ASYNC_BACKEND = settings.BENCHMARK_SPELLING == "async_backend"
if settings.BENCHMARK_SPELLING == "daf":
    _manager = importlib.import_module("daf_orm").AsyncManager
elif ASYNC_BACKEND:
    _manager = importlib.import_module("django_async_backend.db.models.manager").AsyncManager
else:
    _manager = models.Manager


class Author(models.Model):
    """An author."""

    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Book(models.Model):
    """A book."""

    title = models.CharField(max_length=200)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    price = models.IntegerField(default=0)
    created = models.DateTimeField(auto_now_add=True)

    objects = models.Manager() if ASYNC_BACKEND else _manager()
    if ASYNC_BACKEND:
        async_objects = _manager()

    def __str__(self) -> str:
        return self.title
