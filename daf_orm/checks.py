"""System checks: settings that would make async ORM code unsafe, slow, or fail at its first query."""

from __future__ import annotations

import inspect
import os
import platform
import sysconfig
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning
from django.db import connections
from django.db.utils import Error as DatabaseError
from django.utils.module_loading import import_string

from daf_orm._leases.past_django import sends_unseen_statements
from daf_orm._pool.process_pool import effective_max_size, memory_aliases
from daf_orm.databases import database_of
from daf_orm.detection import io
from daf_orm.settings import Settings, get_settings, problems

if TYPE_CHECKING:
    from collections.abc import Iterator


@register("daf_orm")
def check_settings(**_: Any) -> list[CheckMessage]:
    """``daf_orm.E001``: an unknown key, a wrong type or an impossible size in ``DAF_ORM``."""
    return [Error(problem, id="daf_orm.E001") for problem in problems(getattr(django_settings, "DAF_ORM", {}))]


@register("daf_orm")
def check_blocking_io(**_: Any) -> list[CheckMessage]:
    """``daf_orm.E002``: ``BLOCKING_IO`` is set, and blockbuster is not installed."""
    settings = _valid_settings()
    if settings is None or not settings.BLOCKING_IO or io.is_available():
        return []
    return [Error(f"DAF_ORM['BLOCKING_IO'] is True. {io.MISSING}", id="daf_orm.E002")]


@register("daf_orm")
def check_configure(**_: Any) -> list[CheckMessage]:
    """``daf_orm.E003``: ``CONFIGURE`` cannot be imported or called, or no database could take its settings."""
    settings = _valid_settings()
    if settings is None or settings.CONFIGURE is None:
        return []
    where, hint = f"DAF_ORM['CONFIGURE'] is {settings.CONFIGURE!r}", "The function takes no arguments, returns a dict."
    try:
        function = import_string(settings.CONFIGURE)
        inspect.signature(function).bind()
    except ImportError as error:
        return [Error(f"{where}, which cannot be imported: {error}", hint=hint, id="daf_orm.E003")]
    except (TypeError, ValueError):
        return [Error(f"{where}, which cannot be called without arguments.", hint=hint, id="daf_orm.E003")]
    if any(database_of(connections[alias]).takes_settings for alias in connections):
        return []
    return [Error(f"{where}, but no database in DATABASES is PostgreSQL: it has no effect.", id="daf_orm.E003")]


@register("daf_orm")
def check_server_pooled(**_: Any) -> list[CheckMessage]:
    """``daf_orm.E004``: a backend sets something on its session, which a proxy replaces in each transaction."""
    settings = _valid_settings()
    if settings is None or not settings.SERVER_POOLED:
        return []
    return [
        Error(
            f"DAF_ORM['SERVER_POOLED'] is True, and the backend of database {alias!r} "
            f"({connections[alias].settings_dict['ENGINE']}) sets a search path or a role on its session: the next "
            "transaction would run in another one.",
            hint="Let the alias bypass the proxy, or use a proxy in session mode and remove SERVER_POOLED.",
            id="daf_orm.E004",
        )
        for alias in connections
        if sends_unseen_statements(connections[alias])
    ]


@register("daf_orm")
def check_native_engine(**_: Any) -> list[CheckMessage]:
    """``daf_orm.W006``: the native engine is set, but calls run on threads, or it was not tested on this Python."""
    engines = {alias: connections[alias] for alias in connections}
    native = {alias for alias, wrapper in engines.items() if getattr(wrapper, "runs_on_event_loop", False)}
    if not native:
        return []
    problems = [
        f"database {alias!r} has the engine {wrapper.settings_dict['ENGINE']}: so all calls run on threads"
        for alias, wrapper in engines.items()
        if alias not in native
    ]
    problems += [
        f"database {alias!r} has OPTIONS['pool'], whose connections are psycopg's: so all calls run on threads"
        for alias in native
        if engines[alias].settings_dict["OPTIONS"].get("pool")
    ]
    if platform.python_implementation() != "CPython":
        problems.append(f"it is not tested on {platform.python_implementation()}")
    elif sysconfig.get_config_var("Py_GIL_DISABLED"):
        problems.append("it is not tested on a free-threaded Python")
    return [
        CheckWarning(
            f"ENGINE 'daf_orm.backends.postgresql' is set, and {problem}.",
            hint="Use it for every database, without OPTIONS['pool'], or 'django.db.backends.postgresql' for all.",
            id="daf_orm.W006",
        )
        for problem in problems
    ]


@register("daf_orm")
def check_async_unsafe(**_: Any) -> list[CheckMessage]:
    """``daf_orm.W001``: Django's own guard against blocking queries is off."""
    value = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    if not value:
        return []
    message = f"DJANGO_ALLOW_ASYNC_UNSAFE is set to {value!r}: queries on the event loop block every user unnoticed."
    hint = "Unset it. Django only checks that it is set: 'false' and '0' allow async-unsafe code too."
    return [CheckWarning(message, hint=hint, id="daf_orm.W001")]


@register("daf_orm")
def check_memory_database(**_: Any) -> list[CheckMessage]:
    """``daf_orm.W002``: ``MAX_SIZE`` is larger than the one connection of in-memory SQLite."""
    settings = _valid_settings()
    if settings is None or (settings.MAX_SIZE or 1) == 1 or not (aliases := memory_aliases()):
        return []
    message = (
        f"DAF_ORM['MAX_SIZE'] is {settings.MAX_SIZE}, but {', '.join(map(repr, aliases))} is in-memory SQLite, which "
        "has one connection only: every lease waits for the one before it."
    )
    return [CheckWarning(message, hint="Use an SQLite file, or leave MAX_SIZE out.", id="daf_orm.W002")]


@register("daf_orm")
def check_django_pool(**_: Any) -> list[CheckMessage]:
    """``daf_orm.W003``: Django's own pool is smaller than DAF's, so leases wait for it in their threads."""
    settings = _valid_settings()
    if settings is None:
        return []
    wanted = effective_max_size(settings)
    return [
        CheckWarning(
            f"OPTIONS['pool'] of database {alias!r} holds {size} connections at most, DAF_ORM['MAX_SIZE'] is {wanted}: "
            "leases would block a worker thread each until Django's pool has one.",
            hint="Leave OPTIONS['pool'] out, since daf_orm keeps connections itself, or raise its max_size.",
            id="daf_orm.W003",
        )
        for alias, size in _django_pools()
        if size < wanted
    ]


@register(Tags.database, "daf_orm", deploy=True)
def check_max_connections(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """``daf_orm.W004``: all processes together could open more connections than a server accepts."""
    settings = _valid_settings()
    if settings is None:
        return []
    processes = _processes()
    wanted = effective_max_size(settings) * processes
    return [
        CheckWarning(
            f"DAF_ORM['MAX_SIZE'] times {processes} processes may open {wanted} connections to {alias!r}, whose server "
            f"has {limit} for clients.",
            hint="Lower MAX_SIZE or the number of processes (WEB_CONCURRENCY), or raise max_connections.",
            id="daf_orm.W004",
        )
        for alias in databases or []
        if (limit := _client_connections(alias)) is not None and limit < wanted
    ]


@register("daf_orm")
def check_packages(**_: Any) -> list[CheckMessage]:
    """``daf_orm.W005``: a package keeps state of async code in a thread, and queries run in other threads."""
    has_one_thread = getattr(django_settings, "DAF_VIEWS", {}).get("THREAD_PER_REQUEST") is True
    if has_one_thread or not apps.is_installed("pghistory"):
        return []
    if any("pghistory" in str(middleware) for middleware in django_settings.MIDDLEWARE):  # around the whole request
        return []
    return [
        CheckWarning(
            "django-pghistory keeps its context in a threading.local: after `async with pghistory.context()` the "
            "queries of other threads raise AttributeError.",
            hint="Use its HistoryMiddleware, enter the context in a synchronous function, or set DAF_VIEWS = "
            '{"THREAD_PER_REQUEST": True} on DAF\'s handler, which implies POOL_MODE = "session".',
            id="daf_orm.W005",
        )
    ]


@register("daf_orm")
def check_cachalot(**_: Any) -> list[CheckMessage]:
    """``daf_orm.E005``: django-cachalot caches an alias whose calls share the event loop's thread."""
    if not apps.is_installed("cachalot"):
        return []
    engines = getattr(django_settings, "CACHALOT_ADDITIONAL_SUPPORTED_DATABASES", ())
    aliases = getattr(django_settings, "CACHALOT_DATABASES", ())  # or the name of a rule
    return [
        Error(
            f"django-cachalot caches {alias!r}, whose engine runs calls on the event loop. It keeps the changes of "
            "open transactions in a threading.local, so requests would be answered with rows that others roll back.",
            hint="Use 'django.db.backends.postgresql', or remove the engine from those that django-cachalot caches.",
            id="daf_orm.E005",
        )
        for alias in connections
        if getattr(wrapper := connections[alias], "runs_on_event_loop", False)
        and (wrapper.settings_dict["ENGINE"] in engines or (not isinstance(aliases, str) and alias in aliases))
    ]


def _valid_settings() -> Settings | None:
    """Return the settings; None if they are wrong, which E001 reports."""
    return None if problems(getattr(django_settings, "DAF_ORM", {})) else get_settings()


def _django_pools() -> Iterator[tuple[str, int]]:
    for alias in connections:
        pool = connections[alias].settings_dict["OPTIONS"].get("pool")
        if pool:
            options = pool if isinstance(pool, dict) else {}
            # psycopg_pool: max_size defaults to min_size, which defaults to 4.
            yield alias, options.get("max_size") or options.get("min_size", 4)


def _processes() -> int:
    """Return the number of server processes: ``WEB_CONCURRENCY``, which uvicorn, gunicorn and platforms use."""
    value = os.environ.get("WEB_CONCURRENCY", "1")
    return int(value) if value.isdecimal() else 1


def _client_connections(alias: str) -> int | None:
    wrapper = connections[alias]
    try:
        return database_of(wrapper).client_connections(wrapper)
    except DatabaseError:
        return None  # the database cannot be asked; Django's own checks say so
