"""``# noqa`` comments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from daf_orm.static.findings import Finding

_NOQA: Final = re.compile(r"#\s*noqa\b(?P<codes>:\s*[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*)?", re.IGNORECASE)
_CODE: Final = re.compile(r"[A-Z]+[0-9]+", re.IGNORECASE)


def is_silenced(finding: Finding, lines: list[str]) -> bool:
    """Return True if the first or last line of a finding has a ``noqa`` for it."""
    return any(
        _silences(lines[number - 1], finding.code)
        for number in {finding.line, finding.end_line or finding.line}
        if 0 < number <= len(lines)
    )


def _silences(line: str, code: str) -> bool:
    for comment in _NOQA.finditer(line):
        codes = comment["codes"]
        if codes is None or code in {each.upper() for each in _CODE.findall(codes)}:
            return True
    return False
