"""A module: its text, its tree, and what its names are bound to."""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from daf_orm.static.project.definitions import Class, Function, flat


@dataclass(frozen=True, slots=True)
class Imported:
    """A name that an import binds: a module, or with ``name`` what a module has by that name."""

    module: str
    name: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Assigned:
    """A name bound to the value of an expression."""

    module: Module
    node: ast.expr


Binding = Imported | Assigned | Function | Class


OWN_USERS: Final = ("request.user = ", 'scope["user"] = ', "scope['user'] = ", "def get_user(", "def authenticate(")
"""In a project that fetches users itself."""
WORDS: Final = ("async ", "models", "ForeignKey", "@receiver", ".connect(", *OWN_USERS)


class SourceError(Exception):
    """A file is no Python that can be read: its line, and why."""

    def __init__(self, line: int, column: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.column = column


class Module:
    """One file."""

    def __init__(self, path: Path, name: str, shown: str) -> None:
        self.path = path
        self.name = name
        self.shown = shown
        """The path as findings have it."""
        self.changed_text: str | None = None
        """The text that is checked in place of the file's."""

    def __repr__(self) -> str:
        return f"<Module {self.name}>"

    @property
    def is_package(self) -> bool:
        """Return True for ``__init__.py``."""
        return self.path.name == "__init__.py"

    @cached_property
    def text(self) -> str:
        """The source. Raises SourceError."""
        return read(self.path) if self.changed_text is None else self.changed_text

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the source, as Python counts them."""
        return io.StringIO(self.text).readlines()

    @cached_property
    def mentions(self) -> frozenset[str]:
        """The words of :data:`WORDS` in its text: a module without a word is not searched for its uses."""
        try:
            return frozenset(word for word in WORDS if word in self.text)
        except SourceError:
            return frozenset()

    def release(self) -> None:
        """Forget the text and tree, unless names of it are known already."""
        if "bindings" not in vars(self):
            for name in ("text", "lines", "tree"):
                vars(self).pop(name, None)

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree. Raises SourceError."""
        return parse(self.text)

    @cached_property
    def bindings(self) -> dict[str, Binding]:
        """The module's names with their definitions; of several for a name, the last that can be followed."""
        found: dict[str, Binding] = {}
        try:
            body = self.tree.body
        except SourceError:
            return found
        for node in flat(body):
            bound = self._bound_by(node)
            found |= {name: each for name, each in bound.items() if name not in found or not _is_none(each)}
        return found

    @cached_property
    def stars(self) -> list[str]:
        """The modules of ``from … import *``."""
        try:
            body = self.tree.body
        except SourceError:
            return []
        return [
            self.absolute(node.module, node.level)
            for node in flat(body)
            if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
        ]

    def _bound_by(self, node: ast.stmt) -> dict[str, Binding]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            return dict(self.imports(node))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return {node.name: Function(self, node, node.name)}
        if isinstance(node, ast.ClassDef):
            return {node.name: Class(self, node, node.name)}
        if isinstance(node, ast.Assign):
            return {target.id: Assigned(self, node.value) for target in node.targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.AnnAssign) and node.value is not None and isinstance(node.target, ast.Name):
            return {node.target.id: Assigned(self, node.value)}
        return {}

    def imports(self, node: ast.Import | ast.ImportFrom) -> dict[str, Imported]:
        """Return what an import statement binds."""
        if isinstance(node, ast.Import):
            return {
                alias.asname or alias.name.partition(".")[0]: Imported(
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                for alias in node.names
            }
        module = self.absolute(node.module, node.level)
        return {alias.asname or alias.name: Imported(module, alias.name) for alias in node.names if alias.name != "*"}

    def absolute(self, name: str | None, level: int) -> str:
        """Return the dotted name of what ``from ..name import`` names."""
        if not level:
            return name or ""
        parts = self.name.split(".")
        parts = parts[: len(parts) - level + self.is_package] if level > self.is_package else parts
        return ".".join([*parts, *([name] if name else [])])


def _is_none(binding: Binding) -> bool:
    """Return True for ``name = None``, which stands for a name that could not be imported."""
    node = binding.node if isinstance(binding, Assigned) else None
    return isinstance(node, ast.Constant) and node.value is None


def read(path: Path) -> str:
    """Return the text of a file, decoded as Python would. Raises SourceError."""
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise SourceError(1, 1, str(error)) from error
    except OSError as error:
        raise SourceError(1, 1, error.strerror or str(error)) from error


def parse(text: str) -> ast.Module:
    """Return the tree of a text. Raises SourceError for all that Python would not compile."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in the project's strings
            tree = ast.parse(text)
    except SyntaxError as error:
        raise SourceError(error.lineno or 1, error.offset or 1, error.msg) from error
    except ValueError as error:  # null characters
        raise SourceError(1, 1, str(error)) from error
    except (RecursionError, MemoryError) as error:
        raise SourceError(1, 1, "too deeply nested to be parsed") from error
    return tree
