"""Templates that coroutine functions render: which of their variables are loaded lazily.

Django's template language is read: variables, ``for``, ``with``, ``if``, ``include`` and ``extends``. The project's
own tags are followed, and other tags are skipped.
"""

from __future__ import annotations

import ast
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from daf_orm.static.inference import consume
from daf_orm.static.inference.values import (
    UNKNOWN,
    Callable,
    Constant,
    Items,
    Mapping,
    Method,
    Object,
    Rows,
    Scope,
    Value,
)
from daf_orm.static.project.definitions import Function
from daf_orm.static.project.modules import SourceError, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from daf_orm.static.inference.engine import Engine
    from daf_orm.static.inference.frame import Frame
    from daf_orm.static.inference.querysets import Arguments

_TOKEN: Final = re.compile(r"\{\{(.*?)\}\}|\{%(.*?)%\}|\{#.*?#\}", re.DOTALL)
_COMMENT: Final = re.compile(
    r"\{%\s*comment\b.*?%\}.*?\{%\s*endcomment\s*%\}|\{%\s*verbatim\s*%\}.*?\{%\s*endverbatim\s*%\}", re.DOTALL
)
_WORD: Final = re.compile(r"\"[^\"]*\"|'[^']*'|[^\s\"']+")
_VARIABLE: Final = re.compile(r"[A-Za-z]\w*(\.\w+)*\Z")
_OPERATORS: Final = frozenset("and or not in is == != < > <= >=".split())
_LENGTHS: Final = frozenset({"length", "length_is"})
_ITERATING: Final = frozenset("join first last random slice dictsort unordered_list".split())
_DEPTH: Final = 5
"""Templates that include each other."""


class Templates:
    """The templates of a project, by the names that they are rendered by."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def render(self, frame: Frame, path: str, arguments: Arguments, node: ast.Call) -> None:
        """Follow the template that ``render`` or ``render_to_string`` is given."""
        positional, named = arguments
        shift = 1 if path.endswith(".render") else 0
        name = positional[shift] if len(positional) > shift else named.get("template_name")
        context = positional[shift + 1] if len(positional) > shift + 1 else named.get("context", UNKNOWN)
        if isinstance(name, Constant) and isinstance(name.value, str) and (file := self._find(name.value)) is not None:
            try:
                text = read(file)
            except SourceError:
                return
            request = positional[0] if shift and positional else named.get("request", UNKNOWN)
            self.follow(frame, text, name.value, self._scope(context, request), node)

    def follow_text(self, frame: Frame, text: str, context: Value, node: ast.Call) -> None:
        """Follow a template that stands in the source."""
        self.follow(frame, text, "<unknown source>", self._scope(context, UNKNOWN), node)

    @staticmethod
    def _scope(context: Value, request: Value) -> Scope:
        scope = Scope()
        if request != UNKNOWN:
            scope.values["request"] = request
        if isinstance(context, Mapping):
            scope.values |= dict(context.entries)
        return scope

    @cached_property
    def _files(self) -> dict[str, Path]:
        """The files below folders named ``templates`` beside the modules."""
        found: dict[str, Path] = {}
        for folder in {module.path.parent for module in self._engine.project.modules}:
            root = folder / "templates"
            if root.is_dir():
                found |= {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
        return found

    def _find(self, name: str) -> Path | None:
        return self._files.get(name)

    def follow(self, frame: Frame, text: str, name: str, scope: Scope, node: ast.Call, depth: int = 0) -> None:
        """Follow a template's text with these variables."""
        reader = _Reader(self._engine, frame, name, scope, node)
        for included, inner in reader.read(text):
            file = self._find(included)
            if file is not None and depth < _DEPTH:
                self.follow(frame, read(file), included, inner, node, depth + 1)


class _Reader:
    """Reads one template from its begin to its end."""

    def __init__(self, engine: Engine, frame: Frame, name: str, scope: Scope, node: ast.Call) -> None:
        self._engine = engine
        self._frame = frame
        self._name = name
        self._scope = scope
        self._node = node

    def read(self, text: str) -> Iterator[tuple[str, Scope]]:
        """Follow the variables; yield the templates that it extends or includes, with what they see."""
        text = _COMMENT.sub(lambda found: "\n" * found[0].count("\n"), text)
        line, position = 1, 0
        for token in _TOKEN.finditer(text):
            line += text.count("\n", position, token.start())
            position = token.start()
            with self._frame.rendering(f"{self._name}:{line}"):
                if token[1] is not None:
                    consume.show(self._frame, self._value(token[1].strip()), self._node)
                elif token[2] is not None:
                    yield from self._tag(_WORD.findall(token[2]))

    def _tag(self, words: list[str]) -> Iterator[tuple[str, Scope]]:
        match words:
            case ["for", *names, "in", iterated] | ["for", *names, "in", iterated, "reversed"]:
                self._for([name.strip(",") for name in " ".join(names).replace(",", " ").split()], iterated)
            case ["if" | "elif", *condition]:
                for word in condition:
                    if word not in _OPERATORS:
                        consume.truth(self._frame, self._value(word), self._node)
            case ["with", *assignments]:
                self._scope = Scope(self._scope)
                for assignment in assignments:
                    name, equals, given = assignment.partition("=")
                    if equals:
                        self._scope.values[name] = self._value(given)
            case ["endfor" | "endwith"]:
                self._scope = self._scope.parent or self._scope
            case [("include" | "extends"), name, *_] if name[0] in "'\"":
                yield name.strip("'\""), self._scope
            case [name, *given]:
                self._own_tag(name, given)

    def _for(self, names: list[str], iterated: str) -> None:
        item = self._iterate(self._value(iterated))
        self._scope = Scope(self._scope)
        if len(names) == 1:
            self._scope.values[names[0]] = item
        elif isinstance(item, Items) and item.each is not None:
            self._scope.values |= dict(zip(names, item.each, strict=False))

    def _iterate(self, value: Value) -> Value:
        if isinstance(value, Rows):  # {% for %} asks for the length first
            consume.look(self._frame, value, self._node, "DAF001", "__len__", "", "", self._node)
            return value.row
        return consume.iterate(self._frame, value, self._node)

    def _own_tag(self, name: str, given: list[str]) -> None:
        """Follow a template tag that the project defines."""
        function = self._engine.template_functions.get(name)
        values = [self._value(each) for each in given if "=" not in each]
        if function is not None:
            self._engine.call(self._frame, Callable(function), tuple(values), {}, self._node)

    def _value(self, expression: str) -> Value:
        """Return the value of a variable with its filters."""
        variable, *filters = expression.split("|")
        value = self._variable(variable.strip())
        for each in filters:
            name = each.partition(":")[0].strip()
            value = self._filtered(value, name)
        return value

    def _filtered(self, value: Value, name: str) -> Value:
        function = self._engine.template_functions.get(name)
        if name in _LENGTHS:
            consume.length(self._frame, value, self._node, self._node)
        elif name in _ITERATING:
            self._iterate(value)
        elif function is not None:
            return self._engine.call(self._frame, Callable(function), (value,), {}, self._node)
        return value if name in {"safe", "default", "escape"} else UNKNOWN

    def _variable(self, text: str) -> Value:
        if not _VARIABLE.match(text):
            return UNKNOWN
        first, *rest = text.split(".")
        value = self._scope.find(first) or UNKNOWN
        for part in rest:
            value = self._part(value, part)
        return self._called(value)

    def _part(self, value: Value, part: str) -> Value:
        value = consume.rows_from(self._frame, self._called(value)) if part.isdigit() else self._called(value)
        if isinstance(value, Mapping):
            entry = dict(value.entries).get(part)
            if entry is not None:
                return entry
            return Method(value, part)
        if isinstance(value, Items):
            return value.item if part.isdigit() else UNKNOWN
        if isinstance(value, Object) and part.isdigit():
            return UNKNOWN
        return self._engine.attribute(self._frame, value, part, self._node)

    def _called(self, value: Value) -> Value:
        """Return what a template makes of a function: it calls it."""
        if isinstance(value, Callable | Method):
            return self._engine.call(self._frame, value, (), {}, self._node)
        return value


def tag_functions(functions: Iterable[Function]) -> dict[str, Function]:
    """Return the functions that are registered as tags or filters, by name."""
    return {
        function.name: function
        for function in functions
        if {"simple_tag", "filter", "inclusion_tag"} & set(function.decorator_names)
    }
