"""Follow every coroutine function of a project, and the synchronous functions that are reached from there."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from daf_orm.static.inference import attributes, binding, calls, consume, expressions, serializers, statements
from daf_orm.static.inference.annotations import Annotations
from daf_orm.static.inference.decorators import decorate, is_property
from daf_orm.static.inference.frame import Frame
from daf_orm.static.inference.globals import Globals
from daf_orm.static.inference.instances import HELD, Instances
from daf_orm.static.inference.loaded import Loaded
from daf_orm.static.inference.managers import default_manager, rows_of
from daf_orm.static.inference.objects import Objects
from daf_orm.static.inference.parameters import bind_parameters
from daf_orm.static.inference.roots import Roots, has_async
from daf_orm.static.inference.signals import Signals
from daf_orm.static.inference.state import attributes_set_outside
from daf_orm.static.inference.templates import Templates, tag_functions
from daf_orm.static.inference.values import (
    UNKNOWN,
    Call,
    Callable,
    ClassValue,
    Coroutine,
    Items,
    Lazy,
    Object,
    Row,
    Scope,
    Value,
    join,
)
from daf_orm.static.names.families import family
from daf_orm.static.project.definitions import Class, Function, FunctionNode
from daf_orm.static.project.models import Model, Models

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daf_orm.static.findings import Finding, Step
    from daf_orm.static.inference.querysets import Arguments
    from daf_orm.static.project.modules import Module
    from daf_orm.static.project.project import Project
    from daf_orm.static.registry.facts import Registry

DEPTH: Final = 30
"""Calls that are followed into each other."""
CONTEXTS: Final = 12
"""Different arguments with which one function is followed."""


@dataclass(slots=True)
class Run:
    """The result of following a function with certain arguments."""

    result: Value = UNKNOWN
    findings: list[Finding] = field(default_factory=list)
    depth: int = 0
    """Steps of the path with which it was followed."""
    left: dict[str, Value] = field(default_factory=dict)
    """Values that its variables hold at its end: of rows, with the relations that it has loaded or set."""


KEPT: Final = (Row, Items, *HELD)


class Engine:
    """Follows functions, each once for every different arguments."""

    def __init__(self, project: Project, *, registry: Registry | None = None, is_strict: bool = False) -> None:
        self.project = project
        self.models = Models(project, registry)
        self.annotations = Annotations(self.models)
        self.globals = Globals(self)
        self.objects = Objects(self)
        self.instances = Instances(self)
        self.roots = Roots(self)
        self.signals = Signals(self)
        self.templates = Templates(self)
        self.is_strict = is_strict
        self.awaited: set[ast.expr] = set()
        self.found: dict[tuple[str, int, int, str], Finding] = {}
        self._runs: dict[object, Run] = {}
        self._contexts: dict[FunctionNode, int] = {}
        self._pending: list[list[Callable]] = []
        self._depth = 0
        self._scopes: dict[Class, Scope] = {}
        self._atomic: set[FunctionNode] = set()

    def check(self, module: Module) -> None:
        """Follow every coroutine function of a module, wherever it is defined."""
        self.roots.check(module)

    # Following

    def run(
        self, frame: Frame, function: Callable, positional: tuple[Value, ...], named: dict[str, Value], node: ast.expr
    ) -> Value:
        """Return what a function returns; a generator is followed when it is iterated."""
        if function.function.is_generator:
            return Lazy(Call(function, positional, tuple(named.items())))
        result = self.follow(frame, function, positional, named, node)
        if function.function.is_async:
            return Coroutine(result, is_atomic=function.function.node in self._atomic)
        return result

    def follow(
        self,
        frame: Frame,
        function: Callable,
        positional: tuple[Value, ...],
        named: dict[str, Value],
        node: ast.expr | None,
    ) -> Value:
        """Follow a function, and return its result: that of its coroutine, or the items that it yields."""
        return self.followed(frame, function, positional, named, node).result

    def followed(
        self,
        frame: Frame,
        function: Callable,
        positional: tuple[Value, ...],
        named: dict[str, Value],
        node: ast.expr | None,
    ) -> Run:
        """Follow a function, once for all calls that are alike; return what that has given."""
        definition = function.function
        is_on_loop = definition.is_async or frame.is_on_loop
        key = (
            definition.node,
            function.owner,
            id(function.scope),
            positional,
            tuple(named.items()),
            is_on_loop,
            frame.is_muted,
        )
        path = () if definition.is_async or node is None else (*frame.path, frame.step(node))
        run = self._runs.get(key)
        if run is None:
            if self._depth > DEPTH or self._contexts.get(definition.node, 0) > CONTEXTS:
                return Run()
            self._contexts[definition.node] = self._contexts.get(definition.node, 0) + 1
            run = self._runs[key] = Run(depth=len(path))  # a function that calls itself finds this one
            self._execute(frame, function, positional, named, path, is_on_loop, run)
        self._give_back(frame, function, positional, named, run.left)
        found = run.findings
        if definition.is_async or node is None:
            self.collect(found)
        else:
            frame.findings += [replace(each, path=(*path, *each.path[run.depth :])) for each in found]
        return run

    def _give_back(
        self,
        frame: Frame,
        function: Callable,
        positional: tuple[Value, ...],
        named: dict[str, Value],
        left: dict[str, Value],
    ) -> None:
        """Take note of what a function has loaded of the rows that it was given."""
        arguments = function.function.node.args
        names = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
        given = positional if function.owner is None else (function.owner, *positional)
        for name, before in [*zip(names, given, strict=False), *named.items()]:
            after = left.get(name)
            if after is None or after == before or not _are_alike(before, after):
                continue
            scope: Scope | None = frame.scope
            while scope is not None:
                for key, value in [*scope.values.items()]:
                    if value is before:
                        scope.values[key] = join(before, after)
                    elif isinstance(value, Items) and value.item == before:
                        scope.values[key] = Items(join(before, after))
                scope = scope.parent

    def _execute(
        self,
        caller: Frame,
        function: Callable,
        positional: tuple[Value, ...],
        named: dict[str, Value],
        path: tuple[Step, ...],
        is_on_loop: bool,  # noqa: FBT001
        run: Run,
    ) -> None:
        definition = function.function
        outer = function.scope or (self._scopes.get(definition.cls) if definition.cls else None)
        frame = Frame(
            self,
            definition.module,
            definition,
            Scope(outer),
            is_on_loop=is_on_loop,
            path=path,
            is_muted=caller.is_muted,
        )
        bind_parameters(frame, function, positional, named)
        self._depth += 1
        self._pending.append([])
        try:
            if isinstance(definition.node, ast.Lambda):
                frame.give(frame.evaluate(definition.node.body))
            else:
                statements.execute(frame, definition.node.body)
        finally:
            self._depth -= 1
            pending = self._pending.pop()
        run.result = self._result(frame)
        run.left = {name: value for name, value in frame.scope.values.items() if isinstance(value, KEPT)}
        run.findings += frame.findings
        if not caller.is_muted:
            for each in pending:
                self.follow(frame, each, (), {}, None)

    def _result(self, frame: Frame) -> Value:
        assert frame.function is not None
        if frame.function.is_generator:
            return Items(frame.yielded or UNKNOWN)
        if frame.returned is None or frame.returned == UNKNOWN:
            node = frame.function.node
            if not isinstance(node, ast.Lambda) and node.returns is not None:
                return self.annotations.value(frame.module, node.returns, frame.cls)
        return frame.result

    def collect(self, findings: Sequence[Finding]) -> None:
        """Keep findings; of one that is reached in several ways the shortest."""
        for finding in findings:
            known = self.found.get(finding.key)
            if known is None or len(finding.path) < len(known.path):
                self.found[finding.key] = finding

    # Calls between the modules of this package

    def evaluate(self, frame: Frame, node: ast.expr) -> Value:
        """Return the value of an expression."""
        return expressions.evaluate(frame, node)

    def call(
        self, frame: Frame, function: Value, positional: tuple[Value, ...], named: dict[str, Value], node: ast.expr
    ) -> Value:
        """Return what a call returns."""
        return calls.call(frame, function, positional, named, node)

    def attribute(self, frame: Frame, owner: Value, name: str, node: ast.expr) -> Value:
        """Return an attribute of a value."""
        return attributes.attribute(frame, owner, name, node)

    def bind(self, frame: Frame, target: ast.expr, value: Value) -> None:
        """Bind what a loop or comprehension assigns to."""
        binding.bind(frame, target, value)

    def unawaited(self, frame: Frame, value: Coroutine, node: ast.expr) -> None:
        """Report a coroutine that is used as if it was its result."""
        consume.unawaited(frame, value, node)

    def is_awaited(self, node: ast.expr) -> bool:
        """Return True for a call that stands behind ``await``."""
        return node in self.awaited

    def decorated(self, frame: Frame, function: Callable) -> Value:
        """Return a function as its decorators leave it, and follow it later if nothing else calls it."""
        if (
            frame.function is not None
            and self._pending
            and (function.function.is_async or has_async(function.function.node))
        ):
            self._pending[-1].append(function)
        return decorate(frame, function)

    # Members

    def member(self, frame: Frame, method: Function, owner: Value, node: ast.expr) -> Value:
        """Return a method bound to what it is read from; of a property its value."""
        names = method.decorator_names
        if is_property(self.project, method):
            return self.follow(frame, Callable(method, owner), (), {}, node)
        if "staticmethod" in names:
            return decorate(self.globals.frame(method.module), Callable(method))
        if "classmethod" in names:
            return Callable(method, self._class_of(owner) or owner)
        return decorate(self.globals.frame(method.module), Callable(method, owner))

    def _class_of(self, owner: Value) -> Value | None:
        if isinstance(owner, Row) and owner.model.cls is not None:
            return ClassValue(owner.model.cls)
        return ClassValue(owner.of) if isinstance(owner, Object) and isinstance(owner.of, Class) else None

    def unbound(self, method: Function, cls: Class) -> Value:
        """Return a method that is read from its class."""
        owner = ClassValue(cls) if "classmethod" in method.decorator_names else None
        return decorate(self.globals.frame(method.module), Callable(method, owner))

    def run_method(self, frame: Frame, method: Function, owner: Value, node: ast.expr) -> Value:
        """Follow a method that Python or Django calls: ``__str__``, ``clean``."""
        return self.follow(frame, Callable(method, owner), (), {}, node)

    def quietly(self, method: Function, owner: Value) -> Value:
        """Return what a method returns; nothing is reported."""
        return self.follow(self.globals.frame(method.module), Callable(method, owner), (), {}, None)

    # Iteration and blocks

    def iterate_generator(self, frame: Frame, call: Call, node: ast.expr) -> Value:
        """Follow a generator that is iterated, and return what it yields."""
        result = self.follow(frame, call.function, call.positional, dict(call.named), node)
        return result.item if isinstance(result, Items) else UNKNOWN

    def scope_of(self, cls: Class) -> Scope | None:
        """Return the variables around a class that a function defines; None for any other."""
        return self._scopes.get(cls)

    def remember_class(self, cls: Class, scope: Scope) -> None:
        """Take note of the variables around a class that a function defines, and of its coroutine functions."""
        self._scopes[cls] = scope
        for method in cls.methods.values():
            if method.is_async and self._pending:
                self._pending[-1].append(Callable(method, self.roots.owner(method), scope))

    def opens_atomic(self, frame: Frame) -> None:
        """Take note that a function opens an atomic block."""
        if frame.function is not None:
            self._atomic.add(frame.function.node)

    # Threads, signals, templates

    def send_signal(self, frame: Frame, signal: Object, node: ast.Call) -> None:
        """Follow the project's receivers of a signal that is sent."""
        for receiver in self.signals.receivers(signal):
            self.call(frame, receiver, (), {}, node)

    @cached_property
    def template_functions(self) -> dict[str, Function]:
        """The project's own template tags and filters, by name."""
        modules = [module for module in self.project.modules if module.path.parent.name == "templatetags"]
        return tag_functions(
            each for module in modules for each in module.bindings.values() if isinstance(each, Function)
        )

    def render(self, frame: Frame, path: str, arguments: Arguments, node: ast.Call) -> None:
        """Follow a template that is rendered."""
        self.templates.render(frame, path, arguments, node)

    def represent(self, frame: Frame, serializer: Object, node: ast.expr) -> None:
        """Follow what a serializer reads for its ``data``."""
        serializers.represent(frame, serializer, node)

    # Kinds

    @cached_property
    def set_outside(self) -> frozenset[str]:
        """The attributes that the project assigns to of anything but ``self``."""
        return attributes_set_outside(self.project.modules)

    @cached_property
    def user_row(self) -> Value:
        """The user of a request, loaded: without relations, unless code of the project fetches users itself."""
        user = self.models.user
        if self.is_strict or not user.is_known or self.objects.is_user_set_by_the_project:
            return Row(user, Loaded(is_known=False))
        frame = self.globals.frame(self.project.modules[0])
        return Row(user, rows_of(frame, default_manager(self.models, user)).loaded)

    def is_user(self, model: Model) -> bool:
        """Return True for a user model."""
        return model is self.models.user or model.name == "User"

    def project_kinds(self, cls: Class) -> frozenset[str]:
        """Return the kinds of classes that a class of the project extends."""
        found: frozenset[str] = frozenset()
        for path in self.project.ancestors(cls)[1]:
            found |= family(path)
        return found


def _are_alike(before: Value, after: Value) -> bool:
    if isinstance(before, Items) and isinstance(after, Items):
        return before.each is None and after.each is None and _are_alike(before.item, after.item)
    return isinstance(before, Row) and isinstance(after, Row) and before.model == after.model
