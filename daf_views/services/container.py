"""Services: objects that a view needs for one request, made before its handler and ended after the response.

``services = {"clock": Clock, "db": open_database}`` on a view: names and factories. A factory is

- a function or class: its return value is the service, or, if that is a context manager, the value of entering it;
- a coroutine function; those that do not need each other run concurrently, each in a separate task;
- a function of a (sync or async) context manager, or a generator function that yields the service once.

Synchronous factories run on the event loop, because nearly all of them just construct something, for which a thread hop
would cost a hundred times the work. One that blocks is wrapped: ``database_sync_to_async(load_plan)``.

Context managers are entered one after the other, and left in reverse, in the request's own task. A transaction, a
cancel scope or a context variable must be left in the task that entered it. Mocks (:mod:`unittest.mock`), which can be
entered because they have every attribute, are services themselves.

A service may raise a bug when it ends after a successful handler. It is logged with an error id, and the response is
still sent: a client must not think that committed work has failed. Two kinds of errors are answered instead: an error
with its own response, and a database error, because a service that is a transaction commits when it ends.
"""

from __future__ import annotations

import functools
from inspect import isasyncgenfunction, isgeneratorfunction
from typing import TYPE_CHECKING, Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction

from daf_views.services.plan import ServicePlan, check_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from daf_views.services.plan import Factory

F = TypeVar("F", bound="Callable[..., Any]")


class Services:
    """The services of one request: ``self.services["db"]`` or ``self.services.db``."""

    __slots__ = ("_made", "_names")

    def __init__(self, made: Mapping[str, Any], names: frozenset[str]) -> None:
        self._made = made
        self._names = names

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            raise KeyError(self._missing(name))
        return self._made[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._made:
            raise AttributeError(self._missing(name), name=name, obj=self)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._made

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)

    def __repr__(self) -> str:
        return f"<Services: {', '.join(self._made)}>"

    def _missing(self, name: str) -> str:
        if name in self._names:
            return f"Service {name!r} does not exist yet: services are made between the body and async_setup()."
        return f"There is no service {name!r}. Known: {', '.join(sorted(self._names)) or 'none'}."


class override_services:  # noqa: N801 - a context manager and decorator, as Django's override_settings
    """Replace services in tests: ``with override_services(OrdersView, db=FakeDatabase):``, or as a decorator.

    Without a view it replaces them in every view that has services of these names; a name that no view has changes
    nothing, because views may be imported later. Subclasses of the view are included. Decorates functions, coroutine
    functions and methods; classes and generator functions, which it would leave before they run, are a TypeError. Holds
    for the whole process, as ``override_settings`` does. Raises LookupError if the view has no such service, and the
    errors that making the view class would raise.
    """

    def __init__(self, view: type | None = None, /, **factories: Factory) -> None:
        self.view: type = object if view is None else view
        self.factories = factories
        for name, factory in factories.items():
            check_service(name, factory)
        if view is not None:
            plan = ServicePlan.for_view(view)
            for name in factories.keys() - plan.names:
                known = ", ".join(sorted(plan.names))
                raise LookupError(f"{view.__qualname__} has no service {name!r}. Known: {known}.")
            plan.replacing(factories)

    def __enter__(self) -> None:
        _overrides.append(self)

    def __exit__(self, *exc_info: object) -> None:
        _overrides.remove(self)

    def __call__(self, func: F) -> F:
        """Decorate a function or coroutine function: the services are replaced while it runs."""
        if isinstance(func, type) or isgeneratorfunction(func) or isasyncgenfunction(func):
            raise TypeError(
                f"override_services cannot decorate {func.__qualname__}: decorate its methods, or write "
                "`with override_services(…):` in it."
            )
        if iscoroutinefunction(func):

            async def run_async(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await func(*args, **kwargs)

            return cast("F", functools.wraps(func)(run_async))

        @functools.wraps(func)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return cast("F", run)


def overridden(plan: ServicePlan) -> ServicePlan:
    """Return the plan with the present replacements of :class:`override_services`."""
    if not plan.names or not _overrides:
        return plan
    changes: dict[str, Factory] = {}
    for override in _overrides:
        if issubclass(plan.owner, override.view):
            changes.update({name: each for name, each in override.factories.items() if name in plan.names})
    return plan.replacing(changes) if changes else plan


_overrides: list[override_services] = []
