"""All modules of a project, and the definitions of their names, also across modules."""

from __future__ import annotations

import ast
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from daf_orm.static.project.definitions import Class, Function, dotted, last_name
from daf_orm.static.project.modules import Assigned, Imported, Module

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DEPTH = 20
"""Imports that a name is followed through."""

Found = Class | Function | Assigned | Module | str
"""The definition of a name; a string is a dotted name outside the project."""


class Project:
    """The modules that are checked, by name. Of two with one name, the one nearer to the importing file is meant."""

    def __init__(self, modules: Iterable[Module]) -> None:
        self.modules = list(modules)
        self._by_name: dict[str, list[Module]] = {}
        for module in self.modules:
            self._by_name.setdefault(module.name, []).append(module)
        self._ancestors: dict[Class, tuple[list[Class], frozenset[str]]] = {}

    @cached_property
    def _packages(self) -> frozenset[str]:
        names = set()
        for name in self._by_name:
            parts = name.split(".")
            names |= {".".join(parts[:count]) for count in range(1, len(parts))}
        return frozenset(names)

    def module(self, name: str, nearest: Module) -> Module | None:
        """Return the module of a name, as an import in ``nearest`` finds it."""
        found = self._by_name.get(name)
        if not found:
            return None
        return found[0] if len(found) == 1 else max(found, key=lambda each: _shared(each.path, nearest.path))

    def name(self, module: Module, name: str, depth: int = 0) -> Found | None:
        """Return what a global name of a module is; None if the module does not bind it."""
        binding = module.bindings.get(name)
        if isinstance(binding, Imported):
            return self.imported(module, binding, depth)
        if binding is not None:
            return binding
        for star in module.stars:
            source = self.module(star, module)
            found = self.name(source, name, depth + 1) if source and depth < _DEPTH else None
            if found is not None:
                return found
        return None

    def imported(self, module: Module, binding: Imported, depth: int = 0) -> Found | None:
        """Return what an import in ``module`` binds."""
        if depth > _DEPTH:
            return None
        if binding.name is None:
            return self.module(binding.module, module) or binding.module
        return self.attribute(module, binding.module, binding.name, depth)

    def attribute(self, module: Module, owner: str, name: str, depth: int = 0) -> Found | None:
        """Return what the module named ``owner`` has by a name."""
        source = self.module(owner, module)
        if source is not None and depth <= _DEPTH:
            found = self.name(source, name, depth + 1)
            if found is not None:
                return found
        submodule = self.module(f"{owner}.{name}", module)
        if submodule is not None:
            return submodule
        path = f"{owner}.{name}"
        return path if source is None or path in self._packages or source.is_package else None

    def expression(self, module: Module, node: ast.expr) -> Found | None:
        """Return what ``a.b.c`` at the top of a module is. Nothing is evaluated."""
        if isinstance(node, ast.Subscript):
            return self.expression(module, node.value)
        path = dotted(node)
        if path is None:
            return None
        first, *rest = path.split(".")
        found = self.name(module, first)
        for part in rest:
            found = self._part(module, found, part)
        return found

    def _part(self, module: Module, found: Found | None, part: str) -> Found | None:
        if isinstance(found, str):
            return self.attribute(module, found, part)
        if isinstance(found, Module):
            return self.attribute(module, found.name, part)
        if isinstance(found, Class):
            return found.inner.get(part) or found.methods.get(part)
        return None

    # Classes

    def ancestors(self, cls: Class) -> tuple[list[Class], frozenset[str]]:
        """Return the class and its bases in the project, nearest first, and the dotted names of its external bases."""
        if cls not in self._ancestors:
            self._ancestors[cls] = ([cls], frozenset())  # of one that is its own base
            self._ancestors[cls] = self._collect(cls)
        return self._ancestors[cls]

    def _collect(self, cls: Class) -> tuple[list[Class], frozenset[str]]:
        classes, external = [cls], set[str]()
        for base in self._bases(cls):
            if isinstance(base, Class):
                above, beyond = self.ancestors(base)
                classes += [each for each in above if each not in classes]
                external |= beyond
            else:
                external.add(base)
        return classes, frozenset(external)

    def _bases(self, cls: Class) -> Iterator[Class | str]:
        for node in cls.node.bases:
            yield from self._base(cls, node)

    def _base(self, cls: Class, node: ast.expr) -> Iterator[Class | str]:
        if isinstance(node, ast.Call):  # Manager.from_queryset(BookQuerySet)
            if last_name(node.func) == "from_queryset" and isinstance(node.func, ast.Attribute):
                for part in (node.func.value, *node.args[:1]):
                    yield from self._base(cls, part)
            return
        found = self.expression(cls.module, node)
        if isinstance(found, Assigned) and found.node is not node:
            yield from self._base(cls, found.node)
        elif isinstance(found, Class | str):
            yield found
        elif isinstance(node, ast.Name) and found is None:
            yield f"builtins.{node.id}"

    def method(self, cls: Class, name: str) -> Function | None:
        """Return a method of a class or its bases."""
        return next((each.methods[name] for each in self.ancestors(cls)[0] if name in each.methods), None)

    def metaclass(self, cls: Class) -> Class | None:
        """Return the metaclass of a class or its bases, if the project has it."""
        for each in self.ancestors(cls)[0]:
            for keyword in each.node.keywords:
                if keyword.arg == "metaclass":
                    found = self.expression(each.module, keyword.value)
                    return found if isinstance(found, Class) else None
        return None

    def setter(self, cls: Class, name: str) -> Function | None:
        """Return what an assignment to a property calls."""
        return next((each.setters[name] for each in self.ancestors(cls)[0] if name in each.setters), None)

    def class_attribute(self, cls: Class, name: str) -> tuple[Class, ast.expr] | None:
        """Return the expression assigned to a name in a class or its bases, with the class that has it."""
        return next(((each, each.attributes[name]) for each in self.ancestors(cls)[0] if name in each.attributes), None)


def _shared(one: Path, other: Path) -> int:
    """Return how many folders two paths share."""
    count = 0
    for left, right in zip(one.parts, other.parts, strict=False):
        if left != right:
            break
        count += 1
    return count
