"""The kinds of findings. docs/guides/check.md has a section for each."""

from __future__ import annotations

from typing import Final, NamedTuple

SYNTAX_ERROR: Final = "DAF000"


class Code(NamedTuple):
    """One kind of finding."""

    code: str
    title: str


def _table(*rows: tuple[str, str]) -> dict[str, Code]:
    return {code: Code(code, title) for code, title in rows}


CODES = _table(
    (SYNTAX_ERROR, "syntax error: the file could not be read"),
    ("DAF001", "a queryset is iterated synchronously"),
    ("DAF002", "a queryset is evaluated for its truth or its length"),
    ("DAF003", "an item of a queryset is fetched"),
    ("DAF004", "a queryset is evaluated to be shown, copied or pickled"),
    ("DAF010", "a queryset or manager method runs its query"),
    ("DAF011", "a related manager writes"),
    ("DAF012", "a Django shortcut queries"),
    ("DAF013", "a paginator queries"),
    ("DAF020", "a foreign key or one-to-one relation is loaded lazily"),
    ("DAF021", "a generic foreign key is loaded lazily"),
    ("DAF022", "a deferred field is loaded lazily"),
    ("DAF030", "an instance is saved, deleted or refreshed"),
    ("DAF031", "an instance is validated against the database"),
    ("DAF032", "a neighbour of an instance is fetched"),
    ("DAF040", "a form queries"),
    ("DAF041", "a serializer queries"),
    ("DAF042", "a template renders a value that is not loaded"),
    ("DAF043", "a generic view's method queries"),
    ("DAF050", "a session is read or written"),
    ("DAF051", "request.user is loaded lazily"),
    ("DAF052", "an authentication function queries"),
    ("DAF053", "a content type, site or message is looked up"),
    ("DAF060", "a connection or cursor is used"),
    ("DAF061", "django.db.transaction.atomic in async code"),
    ("DAF062", "a transaction is handled by Django's synchronous functions"),
    ("DAF063", "a management command, migration or introspection runs"),
    ("DAF070", "a coroutine is used as a value: it is not awaited"),
    ("DAF071", "atomic blocks are gathered inside an atomic block"),
    ("DAF072", "the ORM runs in to_thread or an executor, which keeps its connection"),
    ("DAF073", "an async generator yields inside a transaction"),
    ("DAF074", "a synchronous handler on an async view"),
    ("DAF075", "threading.local in code that runs on an event loop"),
    ("DAF080", "time.sleep blocks the event loop"),
    ("DAF081", "a synchronous HTTP client blocks the event loop"),
    ("DAF082", "a file is opened on the event loop"),
    ("DAF083", "a thread or process is waited for on the event loop"),
    ("DAF084", "a password is hashed on the event loop"),
)
