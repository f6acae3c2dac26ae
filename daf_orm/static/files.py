"""The files that are checked, and the names that they are imported by."""

from __future__ import annotations

import fnmatch
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from daf_orm.static.project.modules import Module

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SKIPPED: Final = frozenset(
    """.git .hg .svn .venv venv .tox .nox .mypy_cache .ruff_cache .pytest_cache __pycache__ node_modules build dist
    .eggs .hypothesis""".split()
)
"""Folders that are not looked into, unless they are named themselves."""


def modules(paths: Iterable[Path], exclude: Sequence[str] = ()) -> list[Module]:
    """Return the modules in files and folders; a file that is named itself is never excluded."""
    found: dict[Path, Module] = {}
    for path in paths:
        for file in [path] if path.is_file() else sorted(_below(path, exclude)):
            resolved = file.resolve()
            if resolved not in found:
                found[resolved] = Module(file, name_of(resolved), shown(file))
    return list(found.values())


def _below(folder: Path, exclude: Sequence[str]) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if name not in SKIPPED
            and not name.startswith(".venv")
            and not is_excluded(Path(root, name), exclude)
            and not Path(root, name, "pyvenv.cfg").exists()
        )
        for name in files:
            path = Path(root, name)
            if name.endswith(".py") and not is_excluded(path, exclude) and os.path.isfile(path):  # noqa: PTH113 - False for a link to itself
                yield path


def is_excluded(path: Path, patterns: Sequence[str]) -> bool:
    """Return True if a path, or one of its folders, is matched by a pattern."""
    text = shown(path)
    parts = [text, *(str(parent) for parent in Path(text).parents)]
    return any(fnmatch.fnmatch(part, pattern) for pattern in patterns for part in parts) or any(
        fnmatch.fnmatch(part, pattern) for pattern in patterns for part in Path(text).parts
    )


def shown(path: Path) -> str:
    """Return a path as findings have it: relative to the working directory if it is below that."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - symbolic links stay as they are named
    try:
        return absolute.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return absolute.as_posix()


def name_of(path: Path) -> str:
    """Return the dotted name of a file: from the outermost folder that is a package."""
    parts = [] if path.name == "__init__.py" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").exists():
        parts.append(folder.name)
        folder = folder.parent
    return ".".join(reversed(parts)) or path.parent.name
