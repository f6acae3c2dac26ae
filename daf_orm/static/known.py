"""The baseline: the file that the pytest plugin writes and reads with ``--daf-baseline``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from daf_orm.detection.baseline import Baseline
from daf_orm.static.codes import SYNTAX_ERROR
from daf_orm.static.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daf_orm.static.findings import Finding

TEST: Final = "daf check"
"""Stands in the file where the pytest plugin has the name of a test."""


def unknown(file: str, findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings that are not in the file. Raises SettingsError if it is no baseline, or not there."""
    if not Path(file).exists():
        raise SettingsError(f"The baseline {file} does not exist. Write it: --baseline {file} --write-baseline.")
    baseline = _load(file)
    return [each for each in findings if each.code == SYNTAX_ERROR or not baseline.has(each)]


def write(file: str, findings: Sequence[Finding]) -> int:
    """Write the findings to the file, and keep those of the tests. Raises SettingsError if it is no baseline.

    Return the number of entries that the file has now.
    """
    baseline = _load(file)
    own = [each for each in findings if baseline.test_of(each) in {None, TEST} and each.code != SYNTAX_ERROR]
    for finding in own:
        baseline.knows(finding, TEST)
    try:
        return baseline.write(own, {TEST})
    except OSError as error:
        raise SettingsError(f"{file} could not be written: {error.strerror}.") from error


def _load(file: str) -> Baseline:
    try:
        return Baseline.load(file)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    except OSError as error:
        raise SettingsError(f"{file} could not be read: {error.strerror}.") from error
