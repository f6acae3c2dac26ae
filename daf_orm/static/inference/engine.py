"""Follow every coroutine function of a project, and the synchronous functions that are reached from there."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from daf_orm.static.inference import attributes, calls, consume, expressions, statements
from daf_orm.static.inference.annotations import Annotations
from daf_orm.static.inference.decorators import decorate
from daf_orm.static.inference.externals import ATOMIC
from daf_orm.static.inference.frame import Frame
from daf_orm.static.inference.globals import Globals
from daf_orm.static.inference.objects import Objects
from daf_orm.static.inference.parameters import bind_parameters
from daf_orm.static.inference.signals import Signals
from daf_orm.static.inference.templates import Templates, tag_functions
from daf_orm.static.inference.values import (
    UNKNOWN,
    Call,
    Callable,
    ClassValue,
    Constant,
    Coroutine,
    External,
    Items,
    Lazy,
    Loaded,
    Manager,
    Method,
    Object,
    Row,
    Rows,
    Scope,
    Value,
)
from daf_orm.static.names.families import family, is_of
from daf_orm.static.project.definitions import Class, Function, FunctionNode, last_name, own_nodes
from daf_orm.static.project.models import Model, Models

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daf_orm.static.findings import Finding, Step
    from daf_orm.static.inference.querysets import Arguments
    from daf_orm.static.project.modules import Module
    from daf_orm.static.project.project import Project

DEPTH: Final = 30
"""Calls that are followed into each other."""
CONTEXTS: Final = 12
"""Different arguments with which one function is followed."""
_PROPERTIES: Final = frozenset({"property", "cached_property"})
_CONTEXT_MANAGERS: Final = frozenset({"asynccontextmanager", "fixture"})
_CLOSERS: Final = frozenset({"close", "close_all", "close_old_connections"})
_STILL_SAFE: Final = frozenset({"DAF051", "DAF053", "DAF070", "DAF075", "DAF080", "DAF081", "DAF082"})


@dataclass(slots=True)
class _Run:
    """What following a function with certain arguments has given."""

    result: Value = UNKNOWN
    findings: list[Finding] = field(default_factory=list)
    depth: int = 0
    """Steps of the path with which it was followed."""


class Engine:
    """Follows functions, each once for every different arguments."""

    def __init__(self, project: Project, *, is_strict: bool = False) -> None:
        self.project = project
        self.models = Models(project)
        self.annotations = Annotations(self.models)
        self.globals = Globals(self)
        self.objects = Objects(self)
        self.signals = Signals(self)
        self.templates = Templates(self)
        self.is_strict = is_strict
        self.awaited: set[ast.expr] = set()
        self.found: dict[tuple[str, int, int, str], Finding] = {}
        self._runs: dict[object, _Run] = {}
        self._contexts: dict[FunctionNode, int] = {}
        self._pending: list[list[Callable]] = []
        self._depth = 0
        self._scopes: dict[Class, Scope] = {}
        self._attributes: dict[tuple[Class, str], Value] = {}
        self._atomic: set[FunctionNode] = set()

    # Roots

    def check(self, module: Module) -> None:
        """Follow every coroutine function of a module, wherever it is defined."""
        for definition in module.bindings.values():
            if isinstance(definition, Function) and definition.module is module:
                self._root(definition)
            elif isinstance(definition, Class) and definition.module is module:
                self._roots_of(definition)

    def _roots_of(self, cls: Class) -> None:
        for function in cls.methods.values():
            self._root(function)
        for inner in cls.inner.values():
            self._roots_of(inner)

    def _root(self, function: Function) -> None:
        if not function.is_async and not _has_async(function.node):
            return
        frame = self.globals.frame(function.module)
        owner = self._owner(function)
        frame.is_muted = False
        self._look_at_decorators(frame, function)
        self._follow(frame, Callable(function, owner), (), {}, None)

    def _look_at_decorators(self, frame: Frame, function: Function) -> None:
        """Report ``@transaction.atomic`` of Django's on a coroutine function, around which it does nothing."""
        for decorator in function.decorators if function.is_async else []:
            value = frame.evaluate(decorator.func if isinstance(decorator, ast.Call) else decorator)
            if getattr(value, "path", "") in ATOMIC:
                inner = Frame(self, function.module, function, Scope(), is_on_loop=True)
                remedy = "Use daf_orm.transaction.atomic, which takes coroutine functions."
                inner.report("DAF061", decorator, "atomic", "does not hold a transaction around a coroutine", remedy)
                self._collect(inner.findings)

    def _owner(self, function: Function) -> Value | None:
        """Return ``self`` or ``cls`` of a method that is not called from anywhere."""
        if function.cls is None or "staticmethod" in function.decorator_names:
            return None
        if "classmethod" in function.decorator_names:
            return ClassValue(function.cls)
        return self.instance(function.cls)

    def instance(self, cls: Class) -> Value:
        """Return an instance of a class of the project of which nothing else is known."""
        external = self.project.ancestors(cls)[1]
        unseen = self.models.external("unseen.Model")
        if is_of(external, "queryset"):
            return Rows(unseen, Loaded(is_known=False), cls=cls, is_prefetched=None)
        if is_of(external, "manager"):
            return Manager(unseen, cls, is_prefetched=None)
        return self.annotations.instance(cls)

    # Following

    def run(
        self, frame: Frame, function: Callable, positional: tuple[Value, ...], named: dict[str, Value], node: ast.expr
    ) -> Value:
        """Return what a function returns; a generator is followed when it is iterated."""
        if function.function.is_generator:
            return Lazy(Call(function, positional, tuple(named.items())))
        result = self._follow(frame, function, positional, named, node)
        if function.function.is_async:
            return Coroutine(result, is_atomic=function.function.node in self._atomic)
        return result

    def _follow(
        self,
        frame: Frame,
        function: Callable,
        positional: tuple[Value, ...],
        named: dict[str, Value],
        node: ast.expr | None,
    ) -> Value:
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
                return UNKNOWN
            self._contexts[definition.node] = self._contexts.get(definition.node, 0) + 1
            run = self._runs[key] = _Run(depth=len(path))  # a function that calls itself finds this one
            self._execute(frame, function, positional, named, path, is_on_loop, run)
        found = run.findings
        if definition.is_async or node is None:
            self._collect(found)
        else:
            frame.findings += [replace(each, path=(*path, *each.path[run.depth :])) for each in found]
        return run.result

    def _execute(
        self,
        caller: Frame,
        function: Callable,
        positional: tuple[Value, ...],
        named: dict[str, Value],
        path: tuple[Step, ...],
        is_on_loop: bool,  # noqa: FBT001
        run: _Run,
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
        run.findings += frame.findings
        if not caller.is_muted:
            for each in pending:
                self._follow(frame, each, (), {}, None)

    def _result(self, frame: Frame) -> Value:
        assert frame.function is not None
        if frame.function.is_generator:
            return Items(frame.yielded or UNKNOWN)
        if frame.returned is None or frame.returned == UNKNOWN:
            node = frame.function.node
            if not isinstance(node, ast.Lambda) and node.returns is not None:
                return self.annotations.value(frame.module, node.returns, frame.cls)
        return frame.result

    def _collect(self, findings: Sequence[Finding]) -> None:
        for finding in findings:
            known = self.found.get(finding.key)
            if known is None or len(finding.path) < len(known.path):
                self.found[finding.key] = finding

    # What the modules of this package need of each other

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
        statements.bind(frame, target, value)

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
            and (function.function.is_async or _has_async(function.function.node))
        ):
            self._pending[-1].append(function)
        return decorate(frame, function)

    # Members

    def member(self, frame: Frame, method: Function, owner: Value, node: ast.expr) -> Value:
        """Return a method bound to what it is read from; of a property its value."""
        names = method.decorator_names
        if _PROPERTIES & set(names):
            return self._follow(frame, Callable(method, owner), (), {}, node)
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
        return self._follow(frame, Callable(method, owner), (), {}, node)

    def quietly(self, method: Function, owner: Value) -> Value:
        """Return what a method returns; nothing is reported."""
        return self._follow(self.globals.frame(method.module), Callable(method, owner), (), {}, None)

    def construct(
        self, frame: Frame, instance: Object, positional: tuple[Value, ...], named: dict[str, Value], node: ast.expr
    ) -> Value:
        """Return an instance, and follow the ``__init__`` that makes it."""
        assert isinstance(instance.of, Class)
        method = self.project.method(instance.of, "__init__")
        if method is not None:
            self._follow(frame, Callable(method, instance), positional, named, node)
            return instance
        return replace(instance, arguments=(*instance.arguments, *_fields(instance.of, positional, named)))

    def instance_attribute(self, frame: Frame, cls: Class, name: str) -> Value | None:
        """Return what the methods of a class assign to an attribute of ``self``; None if they do not."""
        key = (cls, name)
        if key not in self._attributes:
            self._attributes[key] = UNKNOWN
            found = self._assigned(cls, name)
            if found is None:
                del self._attributes[key]
                return None
            self._attributes[key] = found
        del frame
        return self._attributes[key]

    def _assigned(self, cls: Class, name: str) -> Value | None:
        for each in self.project.ancestors(cls)[0]:
            if name in each.assigned_to_self:
                return self._value_assigned(cls, *each.assigned_to_self[name])
        return None

    def _value_assigned(self, cls: Class, method: Function, node: ast.Assign | ast.AnnAssign) -> Value:
        if isinstance(node, ast.AnnAssign):
            said = self.annotations.value(method.module, node.annotation, cls)
            if said != UNKNOWN or node.value is None:
                return said
        scope = self._scopes.get(cls)
        frame = Frame(self, method.module, method, Scope(scope), is_on_loop=False, is_muted=True)
        bind_parameters(frame, Callable(method, self.instance(cls)), (), {})
        value = UNKNOWN if node.value is None else frame.evaluate(node.value)
        return _unsure(value)

    # Iteration and blocks

    def iterate_generator(self, frame: Frame, call: Call, node: ast.expr) -> Value:
        """Follow a generator that is iterated, and return what it yields."""
        result = self._follow(frame, call.function, call.positional, dict(call.named), node)
        return result.item if isinstance(result, Items) else UNKNOWN

    def iterate_async(self, frame: Frame, value: Value, node: ast.expr) -> Value:
        """Return an item of what is iterated with ``async for``."""
        if isinstance(value, Rows):
            frame.refine(node, replace(value, is_evaluated=True))
            return value.row
        if isinstance(value, Lazy) and isinstance(value.source, Call):
            return self.iterate_generator(frame, value.source, node)
        return value.item if isinstance(value, Items) else UNKNOWN

    def enter(self, frame: Frame, value: Value, node: ast.expr) -> Value:
        """Follow what a ``with`` statement enters, and return what it binds."""
        if isinstance(value, Lazy) and isinstance(value.source, Call):
            return self.iterate_generator(frame, value.source, node)
        if isinstance(value, Object) and isinstance(value.of, Class):
            method = self.project.method(value.of, "__enter__")
            if method is not None:
                return self.run_method(frame, method, value, node)
        return UNKNOWN

    def enter_async(self, frame: Frame, value: Value, node: ast.expr) -> None:
        """Follow what an ``async with`` statement enters."""
        if isinstance(value, Object) and isinstance(value.of, Class):
            method = self.project.method(value.of, "__aenter__")
            if method is not None:
                self.run_method(frame, method, value, node)

    def remember_class(self, cls: Class, scope: Scope) -> None:
        """Take note of the variables around a class that a function defines, and of its coroutine functions."""
        self._scopes[cls] = scope
        for method in cls.methods.values():
            if method.is_async and self._pending:
                self._pending[-1].append(Callable(method, self._owner(method), scope))

    def opens_atomic(self, frame: Frame) -> None:
        """Take note that a function opens an atomic block."""
        if frame.function is not None:
            self._atomic.add(frame.function.node)

    def yields(self, frame: Frame, node: ast.Yield) -> None:
        """Report a ``yield`` of an asynchronous generator inside a transaction."""
        function = frame.function
        if not frame.atomic_depth or function is None or not function.is_async:
            return
        if not _CONTEXT_MANAGERS & set(function.decorator_names):
            remedy = "Fetch a page in a transaction of its own, and yield outside of it."
            frame.report("DAF073", node, "atomic", "holds a transaction for as long as its reader takes", remedy)

    # Threads, signals, templates

    def in_thread(
        self, frame: Frame, function: Value, positional: tuple[Value, ...], named: dict[str, Value], node: ast.Call
    ) -> Value:
        """Follow a function in a thread of no one's: its connection stays open, unless it is closed there."""
        probe = Frame(self, frame.module, frame.function, frame.scope, is_on_loop=True, path=frame.path)
        result = calls.call(probe, function, positional, named, node)
        queries = [each for each in probe.findings if each.code not in _STILL_SAFE]
        if queries and not self._closes(function):
            remedy = "Use await database_sync_to_async(func)(…), which gives its connection back."
            frame.report("DAF072", node, "to_thread", "leaves a database connection open in its thread", remedy)
        off = Frame(self, frame.module, frame.function, frame.scope, is_on_loop=False, path=frame.path)
        return calls.call(off, function, positional, named, node) if not isinstance(result, Coroutine) else UNKNOWN

    def _closes(self, function: Value, depth: int = 0) -> bool:
        """Return True if a function closes a connection, itself or in a function that it calls."""
        if isinstance(function, External | Method):
            return function.name in _CLOSERS
        definition = getattr(function, "function", None)
        if not isinstance(definition, Function) or depth > 3:  # noqa: PLR2004 - calls that are followed
            return False
        for node in own_nodes(definition.node):
            if isinstance(node, ast.Call):
                if last_name(node.func) in _CLOSERS:
                    return True
                if isinstance(node.func, ast.Name):
                    found = self.globals.name(definition.module, node.func.id)
                    if self._closes(found, depth + 1):
                        return True
        return False

    def send_signal(self, frame: Frame, signal: Object, node: ast.Call) -> None:
        """Follow the receivers of a signal of the project's that is sent."""
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

    # Kinds

    @property
    def user_row(self) -> Value:
        """The user of a request, loaded."""
        return Row(self.models.user, Loaded(is_known=False))

    def is_user(self, model: Model) -> bool:
        """Return True for a user model."""
        return model is self.models.user or model.name == "User"

    def project_kinds(self, cls: Class) -> frozenset[str]:
        """Return the kinds of classes that a class of the project extends."""
        found: frozenset[str] = frozenset()
        for path in self.project.ancestors(cls)[1]:
            found |= family(path)
        return found


def _has_async(node: FunctionNode) -> bool:
    return any(isinstance(each, ast.AsyncFunctionDef) for each in ast.walk(node) if each is not node)


def _unsure(value: Value) -> Value:
    """Return a value of which the state may have changed since it was assigned."""
    if isinstance(value, Row):
        return Row(value.model, Loaded(is_known=False))
    if isinstance(value, Rows):
        return replace(value, is_prefetched=None)
    return UNKNOWN if isinstance(value, Constant) else value


def _fields(cls: Class, positional: tuple[Value, ...], named: dict[str, Value]) -> list[tuple[str, Value]]:
    """Return the fields of a dataclass or named tuple as it was made."""
    given = dict(zip(cls.annotations, positional, strict=False)) | named
    return [(f".{name}", value) for name, value in given.items() if name in cls.annotations]
