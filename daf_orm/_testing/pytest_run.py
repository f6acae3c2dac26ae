"""One pytest run under the guard: the calls that each test recorded, those known before, and the summary at the end."""

from __future__ import annotations

import dataclasses
import inspect
import traceback
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from daf_orm._core.blocking_call import BlockingCall
from daf_orm._django.hops import on_event_loop
from daf_orm._testing import shared_transaction
from daf_orm.detection import allowances, guard, io
from daf_orm.detection.allowances import Allowance
from daf_orm.detection.baseline import Baseline
from daf_orm.detection.recorders import CallList, set_recorders
from daf_orm.detection.report import as_text, group

if TYPE_CHECKING:
    from collections.abc import Generator

    from _pytest.terminal import TerminalReporter

_current_runs: list[BlockingRun] = []
"""More than one where a test of a run runs pytest itself."""


class BlockingRun:
    """The plugin proper, registered for the run if there is something to guard."""

    def __init__(self, config: pytest.Config, mode: str | None) -> None:
        """Raise ValueError, with the reason, for a file that is no baseline, and for I/O without blockbuster."""
        self.recorder = CallList()
        self.baseline = Baseline.load(config.getoption("--daf-baseline"))
        self._writes = config.getoption("--daf-write-baseline")
        self._written: int | None = None  # entries of the baseline that this run has written
        self._new: list[BlockingCall] = []
        self._known: list[BlockingCall] = []
        self._unused: dict[str, str] = {}  # place of an allowance -> its reason
        self._used: set[str] = set()  # places, by any process
        self._tests: set[str] = set()  # that ran: not those that were skipped
        self._in_test = False  # True while a test's own function runs: reports made meanwhile are of subtests
        self._subtest_errors: list[BaseException | None] = []  # that came out of them
        self._of_others = set(allowances.known()) if _current_runs else set()
        finds_io = bool(config.getoption("--daf-io") or config.getini("daf_io"))
        if finds_io and not io.is_available():
            raise ValueError(io.MISSING)
        with ExitStack() as undo:
            self.mode = self._watch(undo, mode, finds_io=finds_io)
            self._undo = undo.pop_all()

    def _watch(self, undo: ExitStack, mode: str | None, *, finds_io: bool) -> str:
        """Activate the guard. ``undo`` restores the state before, which may be that of an outer pytest run."""
        _current_runs.append(self)
        undo.callback(_current_runs.remove, self)
        undo.callback(guard.force_mode, guard.force_mode(mode))
        current = guard.current_mode()
        _activate(undo, shared_transaction)
        if current != "off":
            _activate(undo, guard)
            undo.callback(guard.let_run, guard.let_run(self._lets_run))
            undo.callback(set_recorders, set_recorders([self.recorder]))
            if finds_io:
                _activate(undo, io)
        return current

    def end(self) -> None:
        """Restore the state before the run."""
        self._undo.close()

    def _lets_run(self, call: BlockingCall) -> bool:
        return bool(self._writes) or self.baseline.has(call)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self) -> None:
        """Raise UsageError if the guard is not active, since such a run would have no findings."""
        if self.mode != "off" and not on_event_loop() and not guard.is_armed():
            raise pytest.UsageError(
                "daf_orm's guard does not detect a blocking call: other code has replaced Django's async_unsafe. "
                "Run with --daf-blocking=off, and report it."
            )

    def start_late(self, session: pytest.Session) -> None:
        """Start the session again, for settings that a test module has loaded since."""
        self.pytest_sessionstart()
        reporter: TerminalReporter | None = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and not reporter.no_header and reporter.verbosity >= 0:
            reporter.write_line(self.pytest_report_header())

    def pytest_report_header(self) -> str:
        """Return the line with the run's mode."""
        armed = f", armed{', I/O too' if io.is_active() else ''}" if self.mode != "off" else ""
        return f"daf_orm: blocking calls: {self.mode}{armed}"

    # Each test

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Allow the calls that the test's marker allows."""
        allowance = self._allow(item)
        try:
            return (yield)
        finally:
            if allowance is not None:
                allowances.disallow_everywhere(allowance)
                if not allowance.uses:
                    self._unused[allowance.place] = allowance.reason

    def _allow(self, item: pytest.Item) -> Allowance | None:
        if (mark := item.get_closest_marker("allow_blocking")) is None:
            return None
        reason = _reason(mark)
        if not reason:  # pytest_runtest_setup fails the test
            return None
        allowance = Allowance(reason, f"@pytest.mark.allow_blocking at {item.nodeid}")
        allowances.allow_everywhere(allowance)
        return allowance

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Fail a test whose marker has no reason."""
        if (mark := item.get_closest_marker("allow_blocking")) is not None and not _reason(mark):
            pytest.fail("allow_blocking needs a reason: @pytest.mark.allow_blocking(reason=…).", pytrace=False)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self) -> Generator[None, Any, Any]:
        """Remember that a test's own function runs."""
        self._in_test = True
        try:
            return (yield)
        finally:
            self._in_test = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Fail the phase in which a call was recorded, also if its error was swallowed."""
        report = yield
        error = call.excinfo.value if call.excinfo else None
        if self._in_test:  # a subtest has ended: the calls are its test's
            self._subtest_errors.append(error)
            return report
        if call.when == "call" and not report.skipped:
            self._tests.add(item.nodeid)
        calls = self._drain(item, error)
        if not calls:
            return report
        new = [each for each in calls if not self.baseline.knows(each, item.nodeid)]
        self._new += new
        self._known += [each for each in calls if each not in new]
        report.sections.append(("blocking calls", as_text(calls)))
        if new and self.mode == "raise" and not self._writes and not report.failed:
            report.outcome = "failed"
            vars(report).pop("wasxfail", None)  # this is not the failure that xfail expects
            report.longrepr = f"{len(new)} blocking calls on the event loop:\n{as_text(new)}"
        return report

    def _drain(self, item: pytest.Item, error: BaseException | None) -> list[BlockingCall]:
        """Return the calls recorded since the last phase; mark those whose error did not reach the test."""
        seen = set().union(*map(_chain, (error, *self._subtest_errors)))
        self._subtest_errors.clear()
        return [
            dataclasses.replace(
                call, swallowed=raised is not None and id(raised) not in seen and not _met(item, raised)
            )
            for call, raised in self.recorder.take()
        ]

    # The end

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Send the findings of an xdist worker to its controller; the controller writes the baseline."""
        output = getattr(session.config, "workeroutput", None)
        self._used |= allowances.used_places()
        for allowance in allowances.unused():
            if allowance.place in self._of_others:
                continue
            self._unused.setdefault(allowance.place, allowance.reason)
        if output is not None:
            output["daf_orm"] = self._as_data()
            return
        finished = session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED} and self._tests
        if self._writes and finished and not session.config.option.collectonly:
            self._written = self.baseline.write(self._new + self._known, self._tests)
        elif self.baseline.stale(self._tests) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _as_data(self) -> dict[str, Any]:
        return {
            "new": [call.as_dict() for call in self._new],
            "known": [call.as_dict() for call in self._known],
            "unused": self._unused,
            "used": sorted(self._used),
            "tests": sorted(self._tests),
            "baseline": self.baseline.seen_as_data(),
        }

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over the findings of an xdist worker."""
        data = getattr(node, "workeroutput", {}).get("daf_orm")
        if data is None:  # it crashed
            return
        self._new += [BlockingCall(**fields) for fields in data["new"]]
        self._known += [BlockingCall(**fields) for fields in data["known"]]
        self._unused.update(data["unused"])
        self._used.update(data["used"])
        self._tests.update(data["tests"])
        self.baseline.take_seen(data["baseline"])

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Print the calls by site, and the entries that can be removed."""
        for title, calls in (("blocking calls", self._new), ("known blocking calls (baseline)", self._known)):
            if calls:
                terminalreporter.section(f"{title}: {len(calls)} at {len(group(calls))} sites")
                terminalreporter.write_line(as_text(calls))
        unused = {place: reason for place, reason in self._unused.items() if place not in self._used}
        if unused:
            terminalreporter.section("allowances that were not used")
            for place, reason in sorted(unused.items()):
                terminalreporter.write_line(f"{place}: {reason}")
        if stale := self.baseline.stale(self._tests):
            terminalreporter.section("fixed since the baseline: remove these entries, or --daf-write-baseline")
            for entry in stale:
                terminalreporter.write_line(str(entry))
        if self._written is not None:
            file = terminalreporter.config.getoption("--daf-baseline")
            terminalreporter.section("baseline written")
            terminalreporter.write_line(f"{file} has {self._written} blocking calls.")


def _activate(undo: ExitStack, module: Any) -> None:
    """Activate a module that is not active, and have it deactivated at the end."""
    if not module.is_active():
        module.activate()
        undo.callback(module.deactivate)


def _reason(mark: pytest.Mark) -> str:
    return str(mark.kwargs.get("reason") or (mark.args[0] if mark.args else "")).strip()


def _met(item: pytest.Item, error: BaseException) -> bool:
    """Return True if an error has reached the test's own function, which then caught it, as pytest.raises() does."""
    code = getattr(inspect.unwrap(getattr(item, "function", None) or _met), "__code__", None)
    return any(frame.f_code is code for frame, _ in traceback.walk_tb(error.__traceback__))


def _chain(error: BaseException | None) -> set[int]:
    """Return the identities of an exception, and of all its causes, contexts and members of groups."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        waiting += [current.__cause__, current.__context__]
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions
    return seen
