"""A function whose body is followed: its variables, whether it runs on the loop, and how it was reached."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from daf_orm.static.findings import Finding, Fix, Step
from daf_orm.static.inference.source import characters, line_of, position_of, source_of
from daf_orm.static.inference.values import NONE, Items, Mapping, Row, Scope, Value, join
from daf_orm.static.project.definitions import Class, Function, dotted

if TYPE_CHECKING:
    from daf_orm.static.inference.engine import Engine
    from daf_orm.static.project.modules import Module


class Frame:
    """One call of one function; ``function`` is None for a module's own statements."""

    def __init__(
        self,
        engine: Engine,
        module: Module,
        function: Function | None,
        scope: Scope,
        *,
        is_on_loop: bool,
        path: tuple[Step, ...] = (),
        is_muted: bool = False,
    ) -> None:
        self.engine = engine
        self.module = module
        self.function = function
        self.scope = scope
        self.is_on_loop = is_on_loop
        self.is_muted = is_muted
        self.path = path
        self.returned: Value | None = None
        self.yielded: Value | None = None
        self.findings: list[Finding] = []
        self.atomic_depth = 0
        """Transactions that the body has open."""
        self.in_comprehension = False
        """True if no ``await`` can be written at the node that is evaluated."""
        self.template = ""
        """The line of a template that is followed: ``shop/detail.html:12``."""

    # Evaluation

    def evaluate(self, node: ast.expr) -> Value:
        """Return the value of an expression, and record what evaluating it blocks on."""
        return self.engine.evaluate(self, node)

    def call(self, function: Value, positional: Sequence[Value], named: dict[str, Value], node: ast.expr) -> Value:
        """Return what a call returns."""
        return self.engine.call(self, function, tuple(positional), named, node)

    def find(self, name: str) -> Value:
        """Return the value of a name."""
        found = self.scope.find(name)
        return self.engine.globals.name(self.module, name) if found is None else found

    def give(self, value: Value) -> None:
        """Take note of a returned value."""
        self.returned = value if self.returned is None else join(self.returned, value)

    def refine(self, node: ast.expr, value: Value) -> None:
        """Take note of what is known of ``a`` or ``a.b`` from here on."""
        path = None if self.template else dotted(node)
        if path is None:
            return
        scope: Scope | None = self.scope
        # The scope that binds the name is changed: the lambda of a hop loads for its outer function.
        while scope is not None and "." not in path:
            if path in scope.values:
                _also_where_it_is_put(scope, scope.values[path], value)
                scope.values[path] = value
                return
            scope = scope.parent
        self.scope.values[path] = value

    @property
    def result(self) -> Value:
        """The result of the call."""
        return NONE if self.returned is None else self.returned

    @property
    def cls(self) -> Class | None:
        """The class that the function is a method of."""
        return self.function.cls if self.function else None

    @contextmanager
    def rendering(self, place: str) -> Iterator[None]:
        """Take what is found meanwhile for that of a template's line."""
        before, self.template = self.template, place
        try:
            yield
        finally:
            self.template = before

    # Findings

    def step(self, node: ast.expr | ast.stmt) -> Step:
        """Return the place of a node in this function."""
        return Step(file=self.module.shown, line=line_of(node), function=self.qualname)

    @property
    def qualname(self) -> str:
        """The function's qualified name, as a traceback has it."""
        return self.function.qualname if self.function else "<module>"

    @property
    def can_await(self) -> bool:
        """Return True if an ``await`` can be written where the frame is."""
        return self.function is not None and self.function.is_async and not self.in_comprehension

    def report(
        self,
        code: str,
        node: ast.expr | ast.stmt,
        operation: str,
        effect: str,
        remedy: str = "",
        *,
        fix: Fix | None = None,
        shown: ast.expr | None = None,
        subject: str = "",
    ) -> None:
        """Record a finding at a node, if the function runs on the loop. ``subject`` stands for a missing expression."""
        if not self.is_on_loop or self.is_muted:
            return
        if self.template:
            code, fix, shown = "DAF042", None, None
            effect = f"{effect} in template {self.template}"
            remedy = "Load it before rendering, or render in one hop: await database_sync_to_async(render)(…)."
        elif not (self.function is not None and self.function.is_async):
            remedy = self._moved(remedy)
        expression = "" if subject else self.text(shown or node)
        line, column = position_of(shown or node, self.module.lines)
        step = Step(file=self.module.shown, line=line, function=self.qualname)
        finding = Finding(
            file=self.module.shown,
            line=line,
            column=column,
            code=code,
            message=f"{subject or expression} {effect} on the event loop. {remedy}".rstrip(),
            path=(*self.path, step),
            module=self.module.name,
            function=self.qualname,
            expression=expression,
            operation=operation,
            fix=fix if self.can_await else None,
            end_line=line if subject else node.end_lineno or line,
        )
        self.findings.append(finding)

    def _moved(self, remedy: str) -> str:
        """Return what to write where, for a remedy that cannot be pasted into a function that is not async."""
        if not self.path or not ("await " in remedy or "async for" in remedy):
            return remedy
        name = self.qualname.rpartition("<locals>.")[2]
        hop = "database_sync_to_async()" if "to_thread" not in remedy else "asyncio.to_thread()"
        return f"{name}() is not async. Call it by {hop} in {self.path[0]}, or there, before: {remedy}"

    def fix(self, kind: str, node: ast.expr | ast.stmt, argument: str = "", *, is_safe: bool = True) -> Fix:
        """Return a fix of a node of this function."""
        lines, last = self.module.lines, node.end_lineno or node.lineno
        return Fix(
            kind=kind,
            line=node.lineno,
            column=characters(lines, node.lineno, node.col_offset),
            end_line=last,
            end_column=characters(lines, last, node.end_col_offset or 0),
            argument=argument,
            is_safe=is_safe,
        )

    def text(self, node: ast.expr | ast.stmt) -> str:
        """Return the source of a node on one line."""
        return source_of(self.module.lines, node)


def _also_where_it_is_put(scope: Scope, before: Value, after: Value) -> None:
    """Take note of what a row has loaded in the collections that it was put into: ``books.append(book)``."""
    if isinstance(before, Row) and isinstance(after, Row):
        for name, value in scope.values.items():
            if isinstance(value, Items) and value.item == before:
                scope.values[name] = Items(join(before, after))
            elif isinstance(value, Mapping) and value.item == before:
                scope.values[name] = replace(value, item=join(before, after))
