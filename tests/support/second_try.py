"""Run pytest; where at most three tests fail, try each of them again, alone, and name those that pass then.

Such a test is unstable, and a bug to be mended: it depends on the machine's speed, or on chance. It is no reason to
refuse a change that has no part in it. ``.ci/run`` uses this; ``make test`` does not.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MOST = 3
REPORT = Path("build/unstable.txt")


class _Watch:
    def __init__(self) -> None:
        self.failed: list[str] = []
        self.is_whole = True
        """False if a process has crashed, or a file could not be read: some tests were not run."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and report.nodeid not in self.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.is_whole &= not report.failed

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        self.is_whole &= error is None


def main(arguments: list[str]) -> int:
    """Return pytest's exit status, 0 if all that failed has passed the second time."""
    watch = _Watch()
    status = pytest.main(arguments, plugins=[watch])
    if status != pytest.ExitCode.TESTS_FAILED or not watch.is_whole or len(watch.failed) > MOST:
        return int(status)
    for test in watch.failed:
        print(f"\n== {test} failed. It is tried again, alone:", flush=True)
        if subprocess.run([sys.executable, "-m", "pytest", "-n", "0", test], check=False).returncode != 0:
            return int(status)
    print(f"\nUNSTABLE, which is a bug: {', '.join(watch.failed)} passed the second time.", flush=True)
    REPORT.parent.mkdir(exist_ok=True)
    with REPORT.open("a") as report:
        report.writelines(f"{test}\n" for test in watch.failed)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
