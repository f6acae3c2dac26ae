"""The settings module that a project's ``manage.py`` names."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Manage:
    """A ``manage.py`` that sets ``DJANGO_SETTINGS_MODULE``."""

    file: Path
    settings: str


def find_manage(paths: Sequence[Path]) -> Manage | None:
    """Return the first one of the working directory, the paths, and the folders above them."""
    for folder in dict.fromkeys(_folders(paths)):
        file = folder / "manage.py"
        settings = _settings_of(file) if file.is_file() else None
        if settings is not None:
            return Manage(file, settings)
    return None


def _folders(paths: Sequence[Path]) -> Iterator[Path]:
    yield Path.cwd()
    for path in paths:
        resolved = path.resolve()
        yield from (resolved, *resolved.parents)


def _settings_of(file: Path) -> str | None:
    """Return the text behind ``"DJANGO_SETTINGS_MODULE"`` in a call or an assignment; nothing is run."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and len(node.args) == 2 and _is_variable(node.args[0]):  # noqa: PLR2004
            value = node.args[1]
        elif (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Subscript)
            and _is_variable(node.targets[0].slice)
        ):
            value = node.value
        else:
            continue
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value.value
    return None


def _is_variable(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == "DJANGO_SETTINGS_MODULE"
