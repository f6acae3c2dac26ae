"""System checks: what in the settings costs async requests threads, or makes async views fail.

They run wherever ``"daf_views"`` is installed: whoever installs it serves async requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction
from django.apps import apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.urls import URLPattern, get_resolver
from django.utils.deprecation import MiddlewareMixin
from django.utils.module_loading import import_string

from daf_views._django.handlers import non_atomic_aliases
from daf_views.idempotency import IdempotencyKey
from daf_views.middleware.base import InlineMixin
from daf_views.middleware.thread_free import TWINS
from daf_views.settings import get_settings, problems
from daf_views.throttling.backends import make_backend
from daf_views.throttling.middleware import path_throttles, throttle_middleware
from daf_views.throttling.throttle import AsyncThrottle

if TYPE_CHECKING:
    from collections.abc import Iterator

_THROTTLING = "daf_views.throttling.throttle_middleware"
_NAMED_VIEWS = 3  # enough to know where to look


@register("daf_views")
def check_settings(**_: Any) -> list[CheckMessage]:
    """``daf_views.E001``: an unknown key or a wrong value in ``DAF_VIEWS``."""
    return [Error(problem, id="daf_views.E001") for problem in problems(getattr(django_settings, "DAF_VIEWS", {}))]


@register("daf_views")
def check_apps(**_: Any) -> list[CheckMessage]:
    """``daf_views.E002``: ``daf_orm`` is not installed, so nothing adapts Django's async methods."""
    if apps.is_installed("daf_orm"):
        return []
    message = '"daf_views" is in INSTALLED_APPS without "daf_orm", on which it stands.'
    return [Error(message, hint='Add "daf_orm" to INSTALLED_APPS.', id="daf_views.E002")]


@register("daf_views")
def check_lifespan(**_: Any) -> list[CheckMessage]:
    """``daf_views.E003``: a startup hook that cannot be imported, so that no server would start."""
    if problems(raw := getattr(django_settings, "DAF_VIEWS", {})):
        return []
    return [
        Error(f"DAF_VIEWS['LIFESPAN'] names {path!r}, which cannot be imported: {error}.", id="daf_views.E003")
        for path in raw.get("LIFESPAN", ())
        if (error := _import_error(path)) is not None
    ]


@register("daf_views")
def check_middleware(**_: Any) -> list[CheckMessage]:
    """``daf_views.W001``: middleware that costs async requests a thread hop."""
    return [
        CheckWarning(f"{path} costs every async request a thread hop: {reason}.", hint=remedy, id="daf_views.W001")
        for path in django_settings.MIDDLEWARE
        for reason, remedy in _hop(path)
    ]


@register("daf_views")
def check_atomic_requests(**_: Any) -> list[CheckMessage]:
    """``daf_views.W002``: async views that Django will refuse to call because of ``ATOMIC_REQUESTS``."""
    aliases = [alias for alias, database in connections.settings.items() if database.get("ATOMIC_REQUESTS")]
    if not aliases or not getattr(django_settings, "ROOT_URLCONF", None):
        return []
    views = [pattern for pattern in _patterns(get_resolver()) if _is_refused(pattern.callback, aliases)]
    if not views:
        return []
    return [
        CheckWarning(
            f"ATOMIC_REQUESTS is on for {', '.join(map(repr, aliases))}, and Django raises RuntimeError for every "
            f"request to an async view: {_some([pattern.lookup_str for pattern in views])}.",
            hint=(
                "Derive the view from daf_views.AsyncView with `atomic = True`; or decorate it with "
                "@django.db.transaction.non_atomic_requests and use `async with daf_orm.transaction.atomic():` in it."
            ),
            id="daf_views.W002",
        )
    ]


@register("daf_views")
def check_throttles(**_: Any) -> list[CheckMessage]:
    """``daf_views.E004`` and ``E005``: throttles that could not count, or that each process would count by itself."""
    if problems(getattr(django_settings, "DAF_VIEWS", {})):
        return []
    settings = get_settings()
    try:
        path_throttles(settings.THROTTLED_PATHS)
        throttled = [*settings.THROTTLED_PATHS, *dict.fromkeys(_throttled_views())]
        backend = make_backend() if throttled or settings.THROTTLE_BACKEND != "memory" else None
    except ImproperlyConfigured as error:
        return [Error(str(error), id="daf_views.E004")]
    if settings.THROTTLED_PATHS and not any(_is_throttling(path) for path in django_settings.MIDDLEWARE):
        message = "DAF_VIEWS['THROTTLED_PATHS'] is set, and no middleware reads it."
        return [Error(message, hint=f"Add {_THROTTLING!r} to MIDDLEWARE.", id="daf_views.E004")]
    if backend is None or not throttled or backend.is_shared or django_settings.DEBUG or settings.THROTTLE_PER_PROCESS:
        return []
    return [
        Error(
            f"Throttles count in the memory of each process: with N processes, a client may do N times what a rate "
            f"says, and after each restart again. Throttled: {_some(throttled)}.",
            hint=(
                'Set DAF_VIEWS["THROTTLE_BACKEND"] to "redis", "database" or "cache"; or, if it is meant, '
                'DAF_VIEWS["THROTTLE_PER_PROCESS"] to True.'
            ),
            id="daf_views.E005",
        )
    ]


@register("daf_views")
def check_tasks(**_: Any) -> list[CheckMessage]:
    """``daf_views.E006`` and ``E007``: wrong options of a backend in memory, durable tasks that one would be given."""
    backends = getattr(django_settings, "TASKS", {})
    if not any(str(each.get("BACKEND", "")).startswith("daf_views.tasks") for each in backends.values()):
        return []
    from daf_views.tasks import checks  # noqa: PLC0415 - on Django 5.2 it needs a package that others need not have

    return [
        *(Error(text, id="daf_views.E006") for text in checks.option_problems()),
        *(Error(text, id="daf_views.E007") for text in checks.durability_problems()),
    ]


@register("daf_views")
def check_idempotency(**_: Any) -> list[CheckMessage]:
    """``daf_views.E008``: a view with idempotency keys whose store cannot be used, or would not keep them."""
    if problems(getattr(django_settings, "DAF_VIEWS", {})) or not getattr(django_settings, "ROOT_URLCONF", None):
        return []
    found: dict[str, list[str]] = {}
    for pattern in _patterns(get_resolver()):
        if (problem := _store_problem(pattern.callback)) is not None:
            found.setdefault(problem, []).append(pattern.lookup_str)
    return [Error(f"{problem} Views: {_some(views)}.", id="daf_views.E008") for problem, views in found.items()]


def _store_problem(view: Any) -> str | None:
    given = getattr(view, "view_initkwargs", {})
    idempotency = given.get("idempotency", getattr(getattr(view, "view_class", None), "idempotency", None))
    if not isinstance(idempotency, IdempotencyKey):
        return None
    try:
        idempotency.get_store()
    except ImproperlyConfigured as error:
        return str(error)
    return None


def _throttled_views() -> list[str]:
    """Return the views that have a throttle of ours which uses the backend of the settings."""
    if not getattr(django_settings, "ROOT_URLCONF", None):
        return []
    return [
        pattern.lookup_str
        for pattern in _patterns(get_resolver())
        if any(isinstance(each, AsyncThrottle) and each.backend is None for each in _throttles(pattern.callback))
    ]


def _is_throttling(path: str) -> bool:
    try:
        return import_string(path) is throttle_middleware
    except ImportError:  # Django says so itself, when it loads it
        return False


def _throttles(view: Any) -> Iterator[Any]:
    yield from getattr(view, "throttles", ())  # what decorators leave there
    if (kind := getattr(view, "view_class", None)) is None:
        return
    given = view.view_initkwargs
    yield given.get("throttle", getattr(kind, "throttle", None))
    yield from given.get("throttles", getattr(kind, "throttles", ()))
    for method in kind.http_method_names:
        yield from getattr(getattr(kind, method, None), "throttles", ())


def _import_error(path: str) -> ImportError | None:
    try:
        import_string(path)
    except ImportError as error:
        return error
    return None


def _hop(path: str) -> Iterator[tuple[str, str]]:
    """Yield why a middleware hops, and what to do about that; nothing if it does not."""
    try:
        middleware = import_string(path)
    except ImportError:  # Django says so itself, when it loads it
        return
    if path in TWINS:
        yield f"Django runs {_named(_hooks(middleware))} in a thread", _THREAD_FREE
    elif not getattr(middleware, "async_capable", False):
        yield "it is synchronous: it takes a thread, and a place in the pool, until the response is there", _SYNC_ONLY
    elif hooks := _hooks(middleware):
        yield f"Django runs {_named(hooks)} in a thread", _HOOKS


def _hooks(middleware: Any) -> list[str]:
    """Return the methods of a middleware that Django, or its ``MiddlewareMixin``, runs in a thread."""
    hooks = []
    if getattr(middleware, "__acall__", None) is MiddlewareMixin.__acall__:
        hooks += ["process_request", "process_response"]
    if not _is_inline(middleware, "process_view"):
        hooks += ["process_view"]
    hooks += ["process_template_response"]
    return [hook for hook in hooks if hasattr(middleware, hook) and not iscoroutinefunction(getattr(middleware, hook))]


def _is_inline(middleware: Any, hook: str) -> bool:
    return isinstance(middleware, type) and issubclass(middleware, InlineMixin) and hasattr(middleware, f"a{hook}")


def _named(hooks: list[str]) -> str:
    return " and ".join(f"{hook}()" for hook in hooks)


_THREAD_FREE = "Write MIDDLEWARE = thread_free([...]), with thread_free from daf_views.middleware."
_SYNC_ONLY = (
    "Make it async-capable (django.utils.decorators.sync_and_async_middleware, or a class with async_capable = True "
    "that awaits get_response). What stands above it in MIDDLEWARE runs in that thread too, so until then put it first."
)
_HOOKS = (
    "If it never blocks, let it inherit from daf_views.middleware.base.InlineMixin first, whose hooks run on the "
    "event loop; if it does, give it an `async def __acall__` (and `async def process_view`) that awaits what blocks."
)


def _patterns(resolver: Any) -> Iterator[URLPattern]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLPattern):
            yield pattern
        else:
            yield from _patterns(pattern)


def _is_refused(view: Any, aliases: list[str]) -> bool:
    """Whether ``BaseHandler.make_view_atomic()`` refuses it."""
    exempt = non_atomic_aliases(view)
    return iscoroutinefunction(view) and any(alias not in exempt for alias in aliases)


def _some(names: list[str]) -> str:
    some = ", ".join(names[:_NAMED_VIEWS])
    return some if len(names) <= _NAMED_VIEWS else f"{some} and {len(names) - _NAMED_VIEWS} more"
