"""The order of a request: the stages between a view's ``dispatch()`` and its handler.

A class names its stages in ``stages``; a view has those of all its classes, composed in this order when its class is
made. A request skips the stages of features that the view does not use.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from daf_views._core.description import Description

    Call = functools.partial[Any]
    """A handler, with the request and the arguments of the URL."""
    Proceed = Callable[[], Awaitable[HttpResponseBase]]
    Step = Callable[[Any, HttpRequest], Awaitable[object] | None]
    Around = Callable[[Any, HttpRequest, Any], Awaitable[Any]]
    Run = Callable[[Any, HttpRequest, Any], Awaitable[Any]]

ORDER: Mapping[str, str] = MappingProxyType(
    {
        "deadline": "The time limit of the view starts: `deadline`.",
        "admit": "`admit()` lets the request in. The stages from here to `permit` are part of it.",
        "authenticate": "`authenticate()` finds the user, by default as `authentication` says.",
        "throttle": "`throttle` and `throttles` count the request.",
        "permit": "`permissions` are checked.",
        "origin": "An unsafe cross-site request is refused: `enforces_csrf`.",
        "key": "The `Idempotency-Key` is read: `idempotency`.",
        "access": "The mixins of `daf_views.access` decide.",
        "body": "`receive()` takes the body, into `request.data`.",
        "token": "The CSRF token is checked, which may be in the body: `enforces_csrf`.",
        "arguments": "The arguments of a typed handler are taken from the request.",
        "services": "`services` are made. They end after the response.",
        "claim": "The key is claimed, or its stored response is replayed: `idempotency`.",
        "transaction": "The transaction begins: `atomic`.",
        "record": "The response is stored under the key, in this transaction if the store supports it: `idempotency`.",
        "condition": "The handler may end with 304, and the response gets its `ETag`: `ConditionalView`.",
        "answer": "The return value of a typed handler becomes the response that its annotation promises.",
        "handler": "`async_setup()` runs, and then the handler.",
    }
)
"""The places of stages, outermost first."""
_PLACES = {name: index for index, name in enumerate(ORDER)}


class StageEnding(Protocol):
    """The end of a stage: the view runs it when it has answered the request, or cannot."""

    async def settle(self, response: HttpResponseBase, /) -> None:
        """End it with the response."""

    async def abandon(self, error: BaseException, /) -> None:
        """End it without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One thing that a view does with each request: a step on the way to the handler, or a wrapper around the rest.

    ``run(view, request)`` is a step, sync or async. It returns nothing; it raises an APIError to refuse the request.
    ``around(view, request, proceed)`` is async. ``await proceed()`` runs all later stages and returns the response;
    ``around`` returns it, or another one. A stage has one of the two.

    ``after`` names the place in :data:`ORDER` that the stage follows. Of several that follow one place, those of the
    class that is first along the MRO are first. Without ``after``, the name of the stage is its place, where it
    replaces a stage of a class further along the MRO.

    ``uses`` names an attribute of the view. A request skips the stage if that is false: None, or empty.

    ``describe(view, operation)`` adds the stage's part, such as a status or a header, to the
    :class:`~daf_views.openapi.Description` of an operation. It has an instance of the view, and there is no request. A
    stage with ``after`` may do only that.

    Raises TypeError for a place that does not exist, or that the stage cannot have.
    """

    name: str
    run: Step | None = None
    around: Around | None = None
    after: str | None = None
    uses: str | None = None
    describe: Callable[[Any, Description], None] | None = None

    def __post_init__(self) -> None:
        if (self.after or self.name) not in ORDER:
            raise TypeError(f"Stage {self.name!r} has no place: give it `after`, one of {', '.join(ORDER)}.")
        if self.after is not None and self.name in ORDER:
            raise TypeError(f"Stage {self.name!r} has the name of a place: give it another, or leave out `after`.")
        if self.after == "handler":
            raise TypeError(f"Stage {self.name!r} cannot follow the handler: write `around` to see the response.")
        if (self.run is None) is (self.around is None) and (self.run is not None or self.describe is None):
            raise TypeError(f"Stage {self.name!r} must have either `run` or `around`.")
        if self.run is None and self.around is None and self.after is None:
            raise TypeError(f"Stage {self.name!r} would leave its place empty: give it another name, and `after`.")
        if self.around is not None and self.is_in_admission:
            raise TypeError(f"Stage {self.name!r} is a step of admit(), which has nothing inside: write `run`.")

    @property
    def place(self) -> tuple[int, bool]:
        """The index in the order, and whether the stage follows what is there: stages are sorted by it."""
        return _PLACES[self.after or self.name], self.after is not None

    @property
    def is_in_admission(self) -> bool:
        """Return True if ``admit()`` runs the stage."""
        return (_PLACES["admit"], True) <= self.place <= (_PLACES["permit"], False)


class Pipeline:
    """The stages of one view class, composed."""

    __slots__ = ("admit", "run", "stages")

    def __init__(self, stages: Iterable[Stage]) -> None:
        named: dict[str, Stage] = {}
        for stage in stages:  # along the MRO
            named.setdefault(stage.name, stage)
        self.stages: Sequence[Stage] = sorted(named.values(), key=lambda stage: stage.place)
        """All of them, in order."""
        active = [stage for stage in self.stages if stage.run is not None or stage.around is not None]
        self.admit: Run = _in_order([stage for stage in active if stage.is_in_admission], None)
        """Runs the steps of the hook ``admit()``."""
        self.run: Run = _composed([stage for stage in active if not stage.is_in_admission])
        """Runs the other stages, and inside of them the call of a handler. Returns the response."""

    @classmethod
    def of(cls, view: type) -> Pipeline:
        """Compose the stages of a view class and its parents. Raises TypeError for an invalid stage."""
        return cls(stage for klass in view.__mro__ for stage in _stages_of(klass))

    def describe(self, view: object, operation: Description) -> None:
        """Let each stage that the view uses describe itself, the one nearest to the handler first."""
        for stage in reversed(self.stages):
            if stage.describe is not None and (stage.uses is None or getattr(view, stage.uses)):
                stage.describe(view, operation)


def _stages_of(klass: type) -> Iterable[Stage]:
    stages = vars(klass).get("stages", ())
    if not isinstance(stages, list | tuple) or not all(isinstance(stage, Stage) for stage in stages):
        raise TypeError(f"{klass.__qualname__}.stages must be a list of daf_views.views.Stage(…), not {stages!r}.")
    return stages


def _composed(stages: Sequence[Stage]) -> Run:
    """Return one function of all stages: steps that follow each other are one coroutine, each ``around`` another."""
    run: Run = _call
    steps: list[Stage] = []
    for stage in reversed(stages):
        if stage.run is not None:
            steps.insert(0, stage)
        else:
            run, steps = _around(stage, _in_order(steps, run)), []
    return _in_order(steps, run)


def _call(view: Any, request: HttpRequest, call: Call) -> Any:  # noqa: ARG001 - a Run's
    return call()


def _around(stage: Stage, inner: Run) -> Run:
    around, uses = stage.around, stage.uses
    assert around is not None
    if inner is _call and uses is None:  # the last stage is around the call itself
        return around

    def run(view: Any, request: HttpRequest, call: Call) -> Awaitable[Any]:
        if uses is None or getattr(view, uses):
            return around(view, request, functools.partial(inner, view, request, call))
        return inner(view, request, call)

    return run


def _in_order(stages: Sequence[Stage], inner: Run | None) -> Run:
    steps = [(stage.uses, stage.run) for stage in stages if stage.run is not None]
    if not steps and inner is not None:
        return inner

    async def run(view: Any, request: HttpRequest, call: Any = None) -> Any:
        for uses, step in steps:
            if uses is not None and not getattr(view, uses):
                continue
            outcome = step(view, request)
            if outcome is None:
                continue
            returned = await outcome if hasattr(outcome, "__await__") else outcome
            if returned is not None:
                raise TypeError(_would_be_lost(view, step, returned))
        return await inner(view, request, call) if inner is not None else None

    return run


def _would_be_lost(view: Any, step: Any, outcome: object) -> str:
    name = getattr(step, "__name__", repr(step))
    return (
        f"{type(view).__qualname__}: the stage {name}() returned a {type(outcome).__name__}, which would not be sent: "
        "raise an APIError to refuse a request, or let the stage be `around` the rest."
    )
