"""Check files: read them, follow their coroutine functions, and keep what the settings want to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daf_orm.static.codes import SYNTAX_ERROR
from daf_orm.static.findings import Finding, Step
from daf_orm.static.inference.engine import Engine
from daf_orm.static.names.functions import OF_RUFF
from daf_orm.static.noqa import is_silenced
from daf_orm.static.project.modules import SourceError, parse
from daf_orm.static.project.project import Project
from daf_orm.static.views import synchronous_handlers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daf_orm.static.project.modules import Module
    from daf_orm.static.settings import Settings


def check(modules: Sequence[Module], settings: Settings) -> list[Finding]:
    """Return the findings in modules, in the order of their places."""
    errors = [error for module in modules if (error := syntax_error(module)) is not None]
    broken = {error.file for error in errors}
    sound = [module for module in modules if module.shown not in broken]
    project = Project(sound)
    engine = Engine(project, is_strict=settings.strict)
    handlers: list[Finding] = []
    for module in sound:
        if "async " in module.mentions:
            engine.check(module)
            handlers += synchronous_handlers(project, module)
    by_file = {module.shown: module for module in sound}
    found = [each for each in [*engine.found.values(), *handlers] if _is_wanted(each, settings, by_file)]
    return sorted([*errors, *found], key=lambda each: each.key)


def syntax_error(module: Module) -> Finding | None:
    """Return the finding for a file that Python would not compile; None for any other."""
    try:
        parse(module.text)
    except SourceError as error:
        return Finding(
            file=module.shown,
            line=error.line,
            column=error.column,
            code=SYNTAX_ERROR,
            message=f"SyntaxError: {error}.",
            path=(Step(file=module.shown, line=error.line, function="<module>"),),
            module=module.name,
        )
    _ = module.mentions
    module.release()
    return None


def _is_wanted(finding: Finding, settings: Settings, modules: dict[str, Module]) -> bool:
    if finding.code in OF_RUFF and settings.has_ruffs_rules and len(finding.path) == 1:
        return False
    return settings.reports(finding.code, finding.file) and not is_silenced(finding, modules[finding.file].lines)
