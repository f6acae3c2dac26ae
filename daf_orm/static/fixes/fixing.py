"""Fix files, check them again, and go on until nothing more can be fixed."""

from __future__ import annotations

import difflib
import tokenize
from typing import TYPE_CHECKING, Final

from daf_orm.static import files
from daf_orm.static.check import check
from daf_orm.static.fixes.rewriting import rewrite
from daf_orm.static.project.modules import SourceError, parse, read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from daf_orm.static.findings import Fix
    from daf_orm.static.project.modules import Module
    from daf_orm.static.settings import Settings

ROUNDS: Final = 10
"""A fix may make another one possible: in a handler that has become a coroutine function."""


def fix(paths: Sequence[Path], settings: Settings, *, is_unsafe: bool, is_dry: bool) -> tuple[int, str]:
    """Fix files; return how many are changed, and the differences. With ``is_dry`` none is written."""
    texts: dict[Path, str] = {}
    for _ in range(ROUNDS):
        if not _round(paths, settings, texts, is_unsafe=is_unsafe):
            break
    before = {path: read(path) for path in texts}
    changed = {path: text for path, text in texts.items() if text != before[path]}
    if not is_dry:
        for path, text in changed.items():
            _write(path, text)
    differences = [_difference(path, before[path], text) for path, text in sorted(changed.items())]
    return len(changed), "".join(differences)


def _round(paths: Sequence[Path], settings: Settings, texts: dict[Path, str], *, is_unsafe: bool) -> bool:
    """Fix what the files, with these texts, have; return True if any text has changed."""
    modules = files.modules(paths, settings.exclude)
    for module in modules:
        module.changed_text = texts.get(module.path)
    fixes: dict[str, set[Fix]] = {}
    for finding in check(modules, settings):
        if finding.fix is not None and (finding.fix.is_safe or is_unsafe):
            fixes.setdefault(finding.file, set()).add(finding.fix)
    changed = [_fix_module(module, fixes[module.shown], texts) for module in modules if module.shown in fixes]
    return any(changed)


def _fix_module(module: Module, fixes: set[Fix], texts: dict[Path, str]) -> bool:
    before = module.changed_text if module.changed_text is not None else read(module.path)
    text = rewrite(before, fixes)
    if text == before or not _compiles(text):
        return False
    texts[module.path] = text
    return True


def _compiles(text: str) -> bool:
    try:
        parse(text)
        compile(text, "<fixed>", "exec", dont_inherit=True)
    except (SourceError, SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _write(path: Path, text: str) -> None:
    """Write a text as the file has it: its encoding, byte order mark and line ends."""
    raw = path.read_bytes()
    encoding = _encoding(path)
    newline = "\r\n" if b"\r\n" in raw else "\n"
    path.write_bytes(text.replace("\n", newline).encode(encoding))


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        return tokenize.detect_encoding(file.readline)[0]


def _difference(path: Path, before: str, after: str) -> str:
    shown = files.shown(path)
    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), shown, shown)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
