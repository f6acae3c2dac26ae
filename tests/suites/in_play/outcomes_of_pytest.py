"""A plugin of pytest's, ``-p outcomes_of_pytest``: writes each test's outcome to the file ``DAF_SUITE_OUTCOMES``."""

from typing import Any

import daf_in_play

OUTCOMES: dict[str, str] = {}
"""By node id; the worst phase of each test, with its error, and of a module that cannot be imported."""

daf_in_play.put_in_play()


def pytest_runtest_logreport(report: Any) -> None:
    tells = report.when == "call" or report.outcome != "passed"
    if tells and (report.failed or OUTCOMES.get(report.nodeid, "passed") == "passed"):
        OUTCOMES[report.nodeid] = _outcome(report)


def pytest_collectreport(report: Any) -> None:
    if report.failed:
        OUTCOMES[report.nodeid] = _outcome(report)


def pytest_sessionfinish() -> None:
    daf_in_play.write(OUTCOMES)


def _outcome(report: Any) -> str:
    if hasattr(report, "wasxfail"):
        return "failed as expected" if report.skipped else "passed unexpectedly"
    if not report.failed:
        return str(report.outcome)
    crash = getattr(report.longrepr, "reprcrash", None)
    return f"failed: {(crash.message if crash is not None else report.longreprtext).strip()}"
