"""What every test may ask for. The settings have chosen the database by the time this is read."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection

pytest_plugins = ["pytester"]
WITH_COMMITTED_DATA = tuple(Path(__file__).parent / folder for folder in ("orm", "scenarios/orm"))
DATABASE_MARKS = ("postgresql", "sqlite", "sqlite_memory", "sqlite_file")


def pytest_report_header() -> str:
    return f"test database: {settings.DAF_TEST_DATABASE}"


@pytest.hookimpl(tryfirst=True)  # pytest-django orders tests by this mark
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the ORM work on committed data: what a test's own transaction holds, no other connection sees."""
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in WITH_COMMITTED_DATA) and not _decides_for_itself(item):
            item.add_marker(pytest.mark.django_db(transaction=True, databases=["default", "other"]))


def _decides_for_itself(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(mark) for mark in ("django_db", "no_database"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked for a database other than this run's."""
    here = _marks_of_this_database()
    for mark in DATABASE_MARKS:
        if item.get_closest_marker(mark) and mark not in here:
            pytest.skip(f"needs {mark}; this run is on {settings.DAF_TEST_DATABASE}")


def _marks_of_this_database() -> set[str]:
    if connection.vendor != "sqlite":
        return {connection.vendor}
    return {"sqlite", "sqlite_memory" if connection.is_in_memory_db() else "sqlite_file"}


@pytest.fixture
def postgres_only() -> None:
    if connection.vendor != "postgresql":
        pytest.skip(f"needs postgresql; this run is on {settings.DAF_TEST_DATABASE}")


@pytest.fixture
def sessions(postgres_only: None, django_db_setup: None) -> Iterator[Callable[[], int]]:
    """Count the client sessions in the test database, seen from outside it."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
    with psycopg.connect(settings.DATABASE_URL, dbname="postgres", autocommit=True) as observer:
        yield lambda: observer.execute(query, [connection.settings_dict["NAME"]]).fetchone()[0]
