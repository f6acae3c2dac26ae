"""Fixtures for every test. The settings have chosen the database by the time this is read."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest
from django.conf import settings
from django.db import connection

hypothesis.settings.register_profile("suite", deadline=None)  # a busy machine is no finding
hypothesis.settings.load_profile("suite")
pytest_plugins = ["pytester"]
TESTS = Path(__file__).parent
WITH_COMMITTED_DATA = tuple(TESTS / folder for folder in ("orm", "scenarios/orm"))
DATABASE_MARKS = ("native", "threads", "postgresql", "mysql", "sqlite", "sqlite_memory", "sqlite_file")
ONCE = (
    "orm/detection/io",
    "orm/static",
    "scenarios/test_package_suites.py",
    "scenarios/test_private_names.py",
    "scenarios/views/test_opacity.py",
    "views/asgi/test_limiter.py",
    "views/http/test_client_address.py",
    "views/middleware/test_twins.py",
    "views/openapi",
    "views/schemas",
    "views/tasks/in_process/test_state_machine.py",
    "views/throttling/algorithms",
    "views/throttling/backends/test_memory.py",
)
"""Takes time, and no database has a part in it: where SQLite is not in memory, it is not even imported.

A test that is one of few in its file has the mark `sqlite_memory` instead.
"""
ONCE_ON_SQLITE = ("orm/detection/test_corpus.py",)
"""Takes time, and depends on the database's kind alone: a file of SQLite's adds nothing to memory."""
ON_NATIVE = (
    "orm",
    "scenarios/orm",
    "scenarios/packages",
    "docs/test_steps.py",
    "scenarios/test_exhaustion.py",
    "scenarios/views/test_soak.py",
    "views/idempotency",
    "views/pagination",
    "views/streaming/broadcast",
    "views/tasks/database",
    "views/throttling/backends/test_database.py",
)
"""Files that run with the native PostgreSQL engine: the rest of the suite does not depend on how a query runs."""
LONG = (
    "docs/test_steps.py",
    "orm/start/test_start.py",
    "scenarios/test_exhaustion.py",
    "scenarios/orm/test_bank.py",
    "scenarios/packages/test_tracing.py",
    "scenarios/packages/test_sessions.py",
    "bookshop/test_schemathesis.py",
    "orm/pytest_plugin/test_blocking_calls.py",
    "orm/pytest_plugin/test_baseline.py",
    "orm/pytest_plugin/test_other_plugins.py",
    "scenarios/views/test_django_asgi.py",
    "views/generic/test_django_generic_views.py",
    "views/idempotency/test_store_machine.py",
    "scenarios/views/test_soak.py",
    "views/idempotency/test_servers.py",
    "views/throttling/test_workers.py",
    "views/throttling/backends/test_memory.py",
    "views/tasks/database/test_sigkill.py",
    "views/tasks/database/test_queue_machine.py",
    "views/tasks/test_servers.py",
    "views/tasks/test_celery.py",
    "scenarios/views/test_servers.py",
    "scenarios/views/test_any_request.py",
    "scenarios/packages/test_tenants.py",
    "orm/test_test.py",
    "orm/pool/test_exit.py",
    "orm/pool/test_fork.py",
    "views/pagination/test_keyset.py",
    "bookshop/test_pages.py",
    "bookshop/browser/test_appearance.py",
    "bookshop/browser/test_live_stock.py",
    "bookshop/browser/test_site.py",
    "orm/detection/watchdog/test_watchdog.py",
    "scenarios/orm/test_state_machines.py",
    "scenarios/orm/test_owner_machine.py",
    "views/throttling/backends/test_backends.py",
)
"""Files that take ten seconds or more. The processes of a run begin with them: none waits at the end for one other."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[pytest.TestReport]:
    """Spell lone surrogates out, which xdist could not pass on."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


def pytest_report_header() -> list[str]:
    header = [f"test database: {settings.DAF_TEST_DATABASE}"]
    if left_out := _left_out():
        header.append(f"left out, as SQLite in memory shows the same: {', '.join(left_out)}")
    if _is_native():
        header.append(f"of the rest only: {', '.join(ON_NATIVE)}")
    return header


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    if any(collection_path == TESTS / name for name in _left_out()):
        return True
    if _is_native() and collection_path.name.startswith("test_"):
        return None if any(collection_path.is_relative_to(TESTS / name) for name in ON_NATIVE) else True
    return None


def _is_native() -> bool:
    return "native" in _marks_of_this_database()


def _left_out() -> tuple[str, ...]:
    here = _marks_of_this_database()
    if "sqlite_memory" in here:
        return ()
    return ONCE + ONCE_ON_SQLITE if "sqlite" in here else ONCE


@pytest.hookimpl(wrapper=True, tryfirst=True)  # pytest-django orders tests by the mark
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    _give_committed_data(items)
    yield
    if hasattr(config, "workerinput"):  # a process of xdist's
        _put_long_files_first(items)


def _give_committed_data(items: list[pytest.Item]) -> None:
    """Tests of the ORM work on committed data: the rows of an open transaction are not seen elsewhere."""
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in WITH_COMMITTED_DATA) and not _decides_for_itself(item):
            item.add_marker(pytest.mark.django_db(transaction=True, databases=["default", "other"]))


def _put_long_files_first(items: list[pytest.Item]) -> None:
    """Behind them, the more tests a file has, the earlier it comes, as xdist itself would order it."""
    places = {TESTS / name: place for place, name in enumerate(LONG)}
    if missing := [str(path) for path in places if not path.exists()]:
        raise pytest.UsageError(f"LONG in tests/conftest.py names files that do not exist: {', '.join(missing)}")
    number = Counter(item.path for item in items)
    items.sort(key=lambda item: (places.get(item.path, len(LONG)), -number[item.path]))


def _decides_for_itself(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(mark) for mark in ("django_db", "no_database"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked for a database other than this run's."""
    here = _marks_of_this_database()
    for mark in DATABASE_MARKS:
        if item.get_closest_marker(mark) and mark not in here:
            pytest.skip(f"needs {mark}; this run is on {settings.DAF_TEST_DATABASE}")


def _marks_of_this_database() -> set[str]:
    route = "native" if getattr(connection, "runs_on_event_loop", False) else "threads"
    if connection.vendor != "sqlite":
        return {connection.vendor, route}
    return {"sqlite", "sqlite_memory" if connection.is_in_memory_db() else "sqlite_file", route}


@pytest.fixture
def postgres_only() -> None:
    if connection.vendor != "postgresql":
        pytest.skip(f"needs postgresql; this run is on {settings.DAF_TEST_DATABASE}")


@pytest.fixture
def has_server() -> None:
    if connection.vendor == "sqlite":
        pytest.skip(f"needs a server; this run is on {settings.DAF_TEST_DATABASE}")


class Sessions:
    """The client sessions in the test database that a test has opened, seen from outside it."""

    def __init__(self, observer: psycopg.Connection) -> None:
        self._observer = observer
        self._before = self._all()

    def open(self) -> set[int]:
        """Return the process ids of those that are open."""
        return self._all() - self._before  # one of an earlier test's may end meanwhile

    def wait_until_closed(self) -> None:
        """Give the server the time that it takes to end a session after its client has closed it."""
        deadline = time.monotonic() + 10
        while self.open():
            assert time.monotonic() < deadline, f"{len(self.open())} sessions are still open."
            time.sleep(0.01)

    def _all(self) -> set[int]:
        query = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
        return {pid for (pid,) in self._observer.execute(query, [connection.settings_dict["NAME"]])}


@pytest.fixture
def sessions(postgres_only: None, django_db_setup: None) -> Iterator[Sessions]:
    with psycopg.connect(settings.DATABASE_URL, dbname="postgres", autocommit=True) as observer:
        yield Sessions(observer)


@pytest.fixture
def no_session_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check that every session that the test opened is closed, where the server can be asked."""
    sessions: Sessions | None = None
    if connection.vendor == "postgresql":
        sessions = request.getfixturevalue("sessions")
    yield
    if sessions:
        sessions.wait_until_closed()
