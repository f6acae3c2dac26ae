"""Fix files, check them again, and go on until nothing more can be fixed."""

from __future__ import annotations

import difflib
import re
import tokenize
from typing import TYPE_CHECKING, Final

from daf_orm.static import files
from daf_orm.static.check import check
from daf_orm.static.fixes.rewriting import rewrite
from daf_orm.static.project.modules import SourceError, parse, read
from daf_orm.static.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from daf_orm.static.findings import Fix
    from daf_orm.static.project.modules import Module
    from daf_orm.static.registry.facts import Registry
    from daf_orm.static.settings import Settings

_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
ROUNDS: Final = 10
"""A fix may make another one possible: in a handler that has become a coroutine function."""


def fix(
    paths: Sequence[Path], settings: Settings, registry: Registry | None = None, *, is_unsafe: bool, is_dry: bool
) -> tuple[int, str]:
    """Fix files; return how many are changed, and the differences. With ``is_dry`` none is written."""
    texts: dict[Path, str] = {}
    for _ in range(ROUNDS):
        if not _round(paths, settings, registry, texts, is_unsafe=is_unsafe):
            break
    before = {path: read(path) for path in texts}
    changed = {path: text for path, text in texts.items() if text != before[path]}
    if not is_dry:
        for path, text in changed.items():
            _write(path, text)
    differences = [_difference(path, text) for path, text in sorted(changed.items())] if is_dry else []
    return len(changed), "".join(differences)


def _round(
    paths: Sequence[Path],
    settings: Settings,
    registry: Registry | None,
    texts: dict[Path, str],
    *,
    is_unsafe: bool,
) -> bool:
    """Fix what the files, with these texts, have; return True if any text has changed."""
    modules = files.modules(paths, settings.exclude)
    for module in modules:
        module.changed_text = texts.get(module.path)
    fixes: dict[str, set[Fix]] = {}
    for finding in check(modules, settings, registry):
        if finding.fix is not None and (finding.fix.is_safe or is_unsafe):
            fixes.setdefault(finding.fix.file or finding.file, set()).add(finding.fix)
    changed = [_fix_module(module, fixes[module.shown], texts) for module in modules if module.shown in fixes]
    return any(changed)


def _fix_module(module: Module, fixes: set[Fix], texts: dict[Path, str]) -> bool:
    before = module.changed_text if module.changed_text is not None else read(module.path)
    text = rewrite(before, fixes)
    if not _compiles(text):
        text = rewrite(before, [each for each in fixes if _compiles(rewrite(before, [each]))])
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
    """Write a text as the file has it: its encoding, byte order mark and line ends. Raises SettingsError."""
    encoding = _encoding(path)
    try:
        path.write_bytes(_with_line_ends(path.read_bytes().decode(encoding), text).encode(encoding))
    except OSError as error:
        raise SettingsError(f"{files.shown(path)} could not be written: {error.strerror}.") from error


def _with_line_ends(before: str, text: str) -> str:
    """Return a text whose lines end in LF with the ends that they had before; a new line with those around it."""
    ends = _LINE_END.findall(before)
    if len(set(ends)) < 2:  # noqa: PLR2004 - all of one kind
        return text.replace("\n", ends[0]) if ends else text
    old, new = _LINE_END.split(before), text.split("\n")
    result = []
    for _, start, stop, first, last in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        for index in range(first, last):
            place = min(start + index - first, max(stop - 1, start), len(ends) - 1)
            result += [new[index], ends[place]]
    return "".join(result[:-1])


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        return tokenize.detect_encoding(file.readline)[0]


def _difference(path: Path, text: str) -> str:
    shown = files.shown(path)
    before = path.read_bytes().decode(_encoding(path))
    after = _with_line_ends(before, text)
    lines = difflib.unified_diff(_LINE.findall(before), _LINE.findall(after), shown, shown)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
