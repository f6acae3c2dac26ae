"""The baseline: the file that the pytest plugin writes and reads with ``--daf-baseline``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from daf_orm.detection.baseline import Baseline, KnownCall
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
    seen: Counter[KnownCall] = Counter()
    return [each for each in findings if each.code == SYNTAX_ERROR or not _is_known(baseline, each, seen)]


def _is_known(baseline: Baseline, finding: Finding, seen: Counter[KnownCall]) -> bool:
    """Return True if the file has a finding, and does not have it fewer times than the source. ``seen`` counts."""
    entry = KnownCall.of(finding)
    seen[entry] += 1
    test = baseline.test_of(finding)
    return test is not None and (test != TEST or seen[entry] <= baseline.count_of(finding))


def write(file: str, findings: Sequence[Finding]) -> int:
    """Write the findings to the file, and keep those of the tests. Raises SettingsError if it is no baseline.

    Return the number of entries that the file has now.
    """
    baseline = _load(file)
    own = [each for each in findings if baseline.test_of(each) in {None, TEST} and each.code != SYNTAX_ERROR]
    for finding in own:
        baseline.knows(finding, TEST)
    try:
        return baseline.write(own, {TEST}, Counter(map(KnownCall.of, own)))
    except OSError as error:
        raise SettingsError(f"{file} could not be written: {error.strerror}.") from error


def _load(file: str) -> Baseline:
    try:
        return Baseline.load(file)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    except OSError as error:
        raise SettingsError(f"{file} could not be read: {error.strerror}.") from error
