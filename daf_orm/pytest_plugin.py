"""The pytest plugin: a test in which an event loop was blocked fails, and async tests share their test's database.

It is active where the settings have ``"daf_orm"`` in ``INSTALLED_APPS``, or where ``--daf-blocking`` asks for it. It
loads no settings itself, and imports neither Django nor the rest of DAF before it needs them.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from daf_orm._core.blocking_call import BlockingCall
    from daf_orm._testing.pytest_run import BlockingRun

MODES = ("raise", "warn", "log", "off")  # of daf_orm.settings, which a run without Django must not import
_run: pytest.StashKey[BlockingRun] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("daf_orm", "blocking calls on the event loop (daf_orm)")
    group.addoption("--daf-blocking", choices=MODES, help="Effect of a call that blocks the event loop.")
    group.addoption("--daf-io", action="store_true", help="Files, sockets, sleeping, caches… count too (blockbuster).")
    group.addoption("--daf-baseline", metavar="FILE", help="Known blocking calls, which do not fail their tests.")
    group.addoption("--daf-write-baseline", action="store_true", help="Write the calls of this run to --daf-baseline.")
    parser.addini("daf_blocking", "Effect of a call that blocks the event loop: raise, warn, log or off.")
    parser.addini("daf_io", "Count files, sockets, sleeping, caches… too (blockbuster).", type="bool")


@pytest.hookimpl(trylast=True)  # pytest-django has loaded the settings by then
def pytest_configure(config: pytest.Config) -> None:
    """Activate the guard."""
    config.addinivalue_line("markers", "allow_blocking(reason): database code may block the event loop in this test.")
    mode = _mode(config)
    if mode is not None and mode not in MODES:
        raise pytest.UsageError(f"daf_blocking must be one of {', '.join(MODES)}, not {mode!r}.")
    if config.getoption("--daf-write-baseline") and not config.getoption("--daf-baseline"):
        raise pytest.UsageError("--daf-write-baseline needs --daf-baseline FILE.")
    if _wanted(config):
        _start(config)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Activate the guard where a test module has loaded the settings."""
    if _run not in session.config.stash and _wanted(session.config):
        _start(session.config).start_late(session)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Reset state that an earlier test may have left in the process, such as the counts of throttles."""
    if (between_tests := sys.modules.get("daf_orm.between_tests")) is not None:  # else nothing has registered anything
        between_tests.put_back()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Deactivate the guard."""
    if (run := config.stash.get(_run, None)) is not None:
        run.end()


@pytest.fixture
def blocking_calls(request: pytest.FixtureRequest) -> list[BlockingCall]:
    """Return the blocking calls recorded so far in this test. Calls still in the list at its end fail the test."""
    run = request.config.stash.get(_run, None)
    return run.recorder.calls if run is not None else []


def _mode(config: pytest.Config) -> str | None:
    return config.getoption("--daf-blocking") or config.getini("daf_blocking") or None


def _wanted(config: pytest.Config) -> bool:
    django_conf: Any = sys.modules.get("django.conf")
    is_loaded = django_conf is not None and django_conf.settings.configured
    if _mode(config) is not None:
        return is_loaded or "DJANGO_SETTINGS_MODULE" in os.environ
    apps: Any = getattr(django_conf.settings, "INSTALLED_APPS", ()) if is_loaded else ()
    return any(app == "daf_orm" or app.startswith("daf_orm.") for app in apps)


def _start(config: pytest.Config) -> BlockingRun:
    # Imported here, because a run without the guard needs none of it: django.test alone takes 0.2 s.
    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415

    from daf_orm._testing.pytest_run import BlockingRun  # noqa: PLC0415

    try:
        run = config.stash[_run] = BlockingRun(config, _mode(config))
    except (ValueError, OSError, ImproperlyConfigured) as error:  # a baseline, no blockbuster, DAF_ORM
        raise pytest.UsageError(str(error)) from error
    config.pluginmanager.register(run, "daf_orm_run")
    return run
