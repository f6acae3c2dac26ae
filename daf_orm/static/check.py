"""Check files: read them, follow their coroutine functions, and keep what the settings want to know."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from daf_orm.static.codes import SYNTAX_ERROR
from daf_orm.static.findings import Finding, Step
from daf_orm.static.inference.engine import Engine
from daf_orm.static.names.functions import OF_RUFF, OPERATIONS_OF_RUFF
from daf_orm.static.noqa import is_silenced
from daf_orm.static.project.modules import SourceError
from daf_orm.static.project.project import Project
from daf_orm.static.views import synchronous_handlers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daf_orm.static.project.modules import Module
    from daf_orm.static.registry.facts import Registry
    from daf_orm.static.settings import Settings

_RECURSION: Final = 20_000
"""Python's own parser refuses what is nested a few hundred deep; each level takes a dozen calls here."""


def check(modules: Sequence[Module], settings: Settings, registry: Registry | None = None) -> list[Finding]:
    """Return the findings in modules, in the order of their places; models are as the registry says, if given."""
    errors = [error for module in modules if (error := syntax_error(module)) is not None]
    broken = {error.file for error in errors}
    sound = [module for module in modules if module.shown not in broken]
    project = Project(sound)
    engine = Engine(project, registry=registry, is_strict=settings.strict)
    handlers: list[Finding] = []
    with _room_for_nesting():
        for module in sound:
            if "async " in module.mentions:
                errors += _followed(engine, module)
                handlers += synchronous_handlers(project, module)
    by_file = {module.shown: module for module in sound}
    found = [each for each in [*engine.found.values(), *handlers] if _is_wanted(each, settings, by_file)]
    return sorted([*errors, *found], key=lambda each: each.key)


def _followed(engine: Engine, module: Module) -> list[Finding]:
    """Follow a module's coroutine functions; return the finding for one that is too deeply nested."""
    try:
        engine.check(module)
    except RecursionError:
        return [_unreadable(module, 1, 1, "SyntaxError: too deeply nested to be followed.")]
    return []


@contextmanager
def _room_for_nesting() -> Iterator[None]:
    """Allow as much recursion as expressions that Python compiles are nested."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _RECURSION))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def syntax_error(module: Module) -> Finding | None:
    """Return the finding for a file that Python would not compile; None for any other."""
    try:
        _ = module.tree
    except SourceError as error:
        return _unreadable(module, error.line, error.column, f"SyntaxError: {error}.")
    if "async " not in module.mentions:
        module.release()
    return None


def _unreadable(module: Module, line: int, column: int, message: str) -> Finding:
    return Finding(
        file=module.shown,
        line=line,
        column=column,
        code=SYNTAX_ERROR,
        message=message,
        path=(Step(file=module.shown, line=line, function="<module>"),),
        module=module.name,
    )


def _is_wanted(finding: Finding, settings: Settings, modules: dict[str, Module]) -> bool:
    is_of_ruff = finding.code in OF_RUFF or finding.operation in OPERATIONS_OF_RUFF
    if is_of_ruff and settings.has_ruffs_rules and len(finding.path) == 1:
        return False
    return settings.reports(finding.code, finding.file) and not is_silenced(finding, modules[finding.file].lines)
