"""The services of a view, planned when its class is made: the arguments of each factory, and the order of all."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import asynccontextmanager, contextmanager
from inspect import Parameter, isasyncgenfunction, isgeneratorfunction, signature
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.http import HttpRequest

    Factory = Callable[..., Any]


class Service:
    """A factory, inspected once: its arguments, and the kind of call that it needs."""

    __slots__ = ("_call", "is_concurrent", "name", "needs", "takes_request")

    def __init__(self, name: str, factory: Factory, names: frozenset[str]) -> None:
        check_service(name, factory)
        self.name = name
        self.needs, self.takes_request = _parameters(name, factory, names)
        self.is_concurrent = iscoroutinefunction(factory)
        if isasyncgenfunction(factory):
            self._call: Factory = asynccontextmanager(factory)
        elif isgeneratorfunction(factory):
            self._call = contextmanager(factory)
        else:
            self._call = factory

    def __call__(self, request: HttpRequest, made: Mapping[str, Any]) -> Any:
        """Call the factory with the request and the services it asks for."""
        arguments = {name: made[name] for name in self.needs}
        if self.takes_request is None:
            return self._call(**arguments)
        if self.takes_request == "":  # positional only
            return self._call(request, **arguments)
        return self._call(**arguments, **{self.takes_request: request})


class ServicePlan:
    """The services of a view, in the order in which they can be made."""

    __slots__ = ("factories", "names", "owner", "steps")

    def __init__(self, owner: type, factories: Mapping[str, Factory]) -> None:
        self.owner = owner
        self.factories = factories
        self.names = frozenset(factories)
        services = [Service(name, factory, self.names) for name, factory in factories.items()]
        self.steps = tuple(_in_steps(services, owner))

    @classmethod
    def for_view(cls, view: type) -> ServicePlan:
        """Collect ``services`` along the MRO: a subclass adds to, or replaces, those of its parents.

        Raises TypeError or ValueError for an impossible service, and for services that need each other in a circle.
        """
        factories: dict[str, Factory] = {}
        for klass in reversed(view.__mro__):
            given = vars(klass).get("services") or {}
            if not isinstance(given, Mapping):
                raise TypeError(f"{klass.__qualname__}.services must be a dict of names and factories, not {given!r}.")
            factories.update(given)
        return cls(view, factories)

    def replacing(self, factories: Mapping[str, Factory]) -> ServicePlan:
        """Return the plan with other factories for some of its services."""
        return ServicePlan(self.owner, {**self.factories, **factories})


def check_service(name: str, factory: object) -> None:
    """Raise TypeError for an invalid factory, ValueError for an invalid name."""
    if not callable(factory):
        raise TypeError(f"Service {name!r} is {factory!r}: give a factory, such as `lambda: {name}`.")
    if not name.isidentifier() or name.startswith("_") or name == "request":
        raise ValueError(f"{name!r} cannot be the name of a service: self.services.{name} would not work.")


def _parameters(name: str, factory: Factory, names: frozenset[str]) -> tuple[list[str], str | None]:
    """Return the parameters that are services, and that which is the request: its name, "" if it has none, or None.

    A parameter that is called as a service is that service; any other that must be given is the request.
    """
    try:
        parameters = signature(factory).parameters.values()
    except ValueError:  # dict, and other types written in C
        return [], None
    needs = [each.name for each in parameters if each.name in names and _must_be_given(each)]
    others = [each for each in parameters if each.name not in needs and _must_be_given(each)]
    if len(others) > 1:
        unknown = ", ".join(each.name for each in others)
        raise TypeError(
            f"The factory of service {name!r} asks for {unknown}: it may ask for the request, and for services."
        )
    if not others:
        return needs, None
    return needs, "" if others[0].kind is Parameter.POSITIONAL_ONLY else others[0].name


def _must_be_given(parameter: Parameter) -> bool:
    variadic = parameter.kind in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
    return parameter.name == "request" or (parameter.default is Parameter.empty and not variadic)


def _in_steps(services: list[Service], owner: type) -> Iterator[tuple[Service, ...]]:
    """Yield the services in groups, each of which needs only services of earlier groups."""
    left, made = services, set[str]()
    while left:
        step = tuple(service for service in left if made.issuperset(service.needs))
        if not step:
            circle = ", ".join(service.name for service in left)
            raise TypeError(f"Services of {owner.__qualname__} need each other in a circle: {circle}.")
        yield step
        made.update(service.name for service in step)
        left = [service for service in left if service.name not in made]
