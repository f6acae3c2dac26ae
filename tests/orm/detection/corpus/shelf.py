"""The rows that the shapes work on, fetched anew for each: nothing of them is cached."""

from __future__ import annotations

import datetime as dt
import os
from typing import NamedTuple
from unittest import mock

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.messages.storage.session import SessionStorage
from django.contrib.sessions.backends import cache, db
from django.contrib.sessions.models import Session
from django.contrib.sites.models import Site
from django.core.cache import caches
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpRequest
from django.test import RequestFactory

from daf_orm.detection import record_blocking
from tests.project.library.models import Author, Book, Counter, Profile, Publisher, Review, Tag


class Shelf(NamedTuple):
    """One row of each."""

    author: Author
    book: Book
    tag: Tag
    review: Review
    user: User
    request: HttpRequest
    """As a view gets it: with a session and a user that are not loaded yet."""
    cached_session: str
    """Key of a session in the database cache that holds ``basket``."""


def fill() -> Shelf:
    """Make the rows; synchronous."""
    author = Author.objects.create(name="a0")
    Profile.objects.create(author=author)
    tag = Tag.objects.create(name="t0")
    publisher = Publisher.objects.create(name="p0")
    for number in range(2):
        book = Book.objects.create(
            title=f"b{number}",
            author=author,
            publisher=publisher,
            stock=3,
            published=dt.date(2024, 1, 1 + number),
        )
        book.tags.add(tag)
        Review.objects.create(subject=book, rating=4)
    Counter.objects.create(name="c0")
    user = User.objects.create_user("u0", password="secret")
    User.objects.create_user("u9")
    user.user_permissions.add(Permission.objects.get(codename="add_author"))
    return fetch(user)


def empty() -> None:
    """Delete what :func:`fill` has made, and what shapes have added."""
    for model in (Review, Book, Profile, Author, Tag, Publisher, Counter, User, Group, Session):
        model.objects.all().delete()


def fetch(user: User) -> Shelf:
    """Fetch the rows anew, and empty Django's caches."""
    session, cached = db.SessionStore(), CacheStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    for store in (session, cached):
        store["basket"] = [1]
        store.save()
    shelf = Shelf(
        author=Author.objects.get(name="a0"),
        book=Book.objects.get(title="b0"),
        tag=Tag.objects.get(name="t0"),
        review=Review.objects.earliest("pk"),
        user=User.objects.get(pk=user.pk),
        request=request_of(session.session_key),
        cached_session=cached.session_key,
    )
    ContentType.objects.clear_cache()
    Site.objects.clear_cache()
    return shelf


def request_of(session_key: str | None) -> HttpRequest:
    request = RequestFactory().get("/")
    request.session = db.SessionStore(session_key)
    AuthenticationMiddleware(lambda _: None).process_request(request)
    request._messages = SessionStorage(request)
    return request


def discard_connections() -> None:
    """Close this thread's connections, also those to in-memory SQLite, which Django never closes."""
    for wrapper in connections.all(initialized_only=True):
        discard(wrapper)


def discard(wrapper: BaseDatabaseWrapper) -> None:
    if wrapper.connection is not None:
        wrapper.connection.close()
        wrapper.connection = None


def close_here() -> None:
    """Close, on the event loop, what this context has opened there: no other context would find it."""
    allowed = mock.patch.dict(os.environ, {"DJANGO_ALLOW_ASYNC_UNSAFE": "1"})  # for measurements of stock Django
    with record_blocking(), allowed:
        connections.close_all()


class CacheStore(cache.SessionStore):
    """A cache session, on the database cache."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._cache = caches["database"]
