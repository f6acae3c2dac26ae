"""System checks: each one fires where it should, and is silent where it should."""

import re
from collections.abc import Iterator

import pytest
from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, run_checks
from django.db import connection, connections

from daf_orm import checks
from daf_orm.detection import io


def check(*, deploy: bool = False, databases: list[str] | None = None) -> list[CheckMessage]:
    return run_checks(tags=["daf_orm"], include_deployment_checks=deploy, databases=databases)


def found(check_id: str, **options: object) -> list[CheckMessage]:
    return [message for message in check(**options) if message.id == f"daf_orm.{check_id}"]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch) -> None:
    monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE", raising=False)
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)


@pytest.fixture
def in_memory() -> None:
    if not (connection.vendor == "sqlite" and connection.is_in_memory_db()):
        pytest.skip("needs in-memory SQLite")


def test_the_defaults_are_silent() -> None:
    assert check(deploy=True, databases=["default", "other"]) == []


# E001: the settings


def test_each_wrong_setting_is_an_error_that_names_its_key(settings) -> None:
    settings.DAF_ORM = {"MAXSIZE": 3, "TIMEOUT": "long"}

    assert [message.msg.split(" ")[0] for message in found("E001")] == ["DAF_ORM['MAXSIZE']", "DAF_ORM['TIMEOUT']"]
    assert all(message.is_serious() for message in found("E001"))


def test_wrong_settings_do_not_keep_the_other_checks_from_running(settings) -> None:
    settings.DAF_ORM = {"MAXSIZE": 3}

    assert {message.id for message in check(deploy=True, databases=["default"])} == {"daf_orm.E001"}


def test_right_settings_are_no_error(settings) -> None:
    settings.DAF_ORM = {"MAX_SIZE": 3, "TIMEOUT": 1}

    assert found("E001") == []


# E002: the package that finds blocking I/O


def test_finding_io_without_blockbuster_is_an_error(settings, monkeypatch) -> None:
    settings.DAF_ORM = {"BLOCKING_IO": True}
    assert found("E002") == []
    monkeypatch.setattr(io, "is_available", lambda: False)

    (message,) = found("E002")
    assert 'pip install "django-daf[io]"' in message.msg


# W001: Django's guard


@pytest.mark.parametrize("value", ["true", "false", "0"])
def test_a_switched_off_guard_is_warned_of_whatever_its_value(monkeypatch, value: str) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", value)

    (message,) = found("W001")
    assert repr(value) in message.msg


def test_an_empty_switch_is_none(monkeypatch) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "")

    assert found("W001") == []


# W002: in-memory SQLite


def test_more_than_one_lease_on_in_memory_sqlite_is_warned_of(settings, in_memory: None) -> None:
    settings.DAF_ORM = {"MAX_SIZE": 2}

    (message,) = found("W002")
    assert "'default', 'other'" in message.msg


@pytest.mark.parametrize("size", [1, None])
def test_one_lease_on_in_memory_sqlite_is_right(settings, in_memory: None, size: int | None) -> None:
    settings.DAF_ORM = {"MAX_SIZE": size}

    assert found("W002") == []


def test_more_than_one_lease_on_a_real_database_is_right(settings, many_connections: None) -> None:
    settings.DAF_ORM = {"MAX_SIZE": 20}

    assert found("W002") == []


# W003: Django's own pool


@pytest.mark.parametrize(
    ("pool", "size"),
    [(True, 4), ({"max_size": 9}, 9), ({"min_size": 5}, 5), ({"timeout": 3}, 4), ({"max_size": None}, 4)],
)
def test_a_smaller_pool_of_django_s_is_warned_of(monkeypatch, many_connections: None, pool: object, size: int) -> None:
    monkeypatch.setitem(connections["other"].settings_dict["OPTIONS"], "pool", pool)

    (message,) = found("W003")
    assert f"'other' holds {size} connections" in message.msg


@pytest.mark.parametrize("pool", [{"max_size": 10}, {"min_size": 12}, None, False])
def test_a_pool_of_django_s_that_is_large_enough_is_right(monkeypatch, pool: object) -> None:
    monkeypatch.setitem(connections["other"].settings_dict["OPTIONS"], "pool", pool)

    assert found("W003") == []


# W004: PostgreSQL's max_connections


@pytest.mark.postgresql
def test_more_leases_than_the_server_has_connections_are_warned_of(settings) -> None:
    settings.DAF_ORM = {"MAX_SIZE": 10_000}

    (message,) = found("W004", deploy=True, databases=["default"])
    assert "10000 connections to 'default'" in message.msg


@pytest.mark.postgresql
def test_the_number_of_processes_counts(settings, monkeypatch) -> None:
    settings.DAF_ORM = {"MAX_SIZE": 10}
    monkeypatch.setenv("WEB_CONCURRENCY", "1000")

    (message,) = found("W004", deploy=True, databases=["default"])
    assert "1000 processes may open 10000 connections" in message.msg


@pytest.mark.postgresql
def test_the_limit_is_the_servers_limit_for_clients(settings) -> None:
    with connection.cursor() as cur:
        cur.execute(
            "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
        )
        (limit,) = cur.fetchone()

    settings.DAF_ORM = {"MAX_SIZE": limit}
    assert found("W004", deploy=True, databases=["default"]) == []
    settings.DAF_ORM = {"MAX_SIZE": limit + 1}
    assert len(found("W004", deploy=True, databases=["default", "other"])) == 2


@pytest.mark.parametrize("value", ["1", "", "many", "-3"])
def test_an_invalid_number_of_processes_counts_as_one(monkeypatch, value: str) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", value)

    assert found("W004", deploy=True, databases=["default", "other"]) == []


def test_the_server_is_asked_on_deployment_only(settings) -> None:
    settings.DAF_ORM = {"MAX_SIZE": 10_000}

    assert found("W004", databases=["default"]) == []
    assert found("W004", deploy=True, databases=[]) == []


@pytest.mark.sqlite
def test_other_databases_have_no_such_limit(settings) -> None:
    settings.DAF_ORM = {"MAX_SIZE": 10_000}

    assert found("W004", deploy=True, databases=["default", "other"]) == []


@pytest.mark.postgresql
def test_a_server_that_is_out_of_reach_is_no_finding(settings, monkeypatch) -> None:
    settings.DAF_ORM = {"MAX_SIZE": 10_000}
    other = connections["other"]
    other.close()
    monkeypatch.setitem(other.settings_dict, "PORT", "1")

    assert found("W004", deploy=True, databases=["other"]) == []


def settings_now():
    return {}


def settings_of(alias):
    return {"app.alias": alias}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("tests.orm.missing", "which cannot be imported"),
        (f"{__name__}.settings_of", "which cannot be called without arguments"),
    ],
)
def test_a_configuration_that_cannot_be_called_is_an_error(settings, path, message):
    settings.DAF_ORM = {"CONFIGURE": path}

    (error,) = checks.check_configure()

    assert error.id == "daf_orm.E003"
    assert message in error.msg


def test_a_configuration_is_for_postgresql(settings):
    settings.DAF_ORM = {"CONFIGURE": f"{__name__}.settings_now"}

    found = checks.check_configure()

    assert [error.id for error in found] == ([] if connection.vendor == "postgresql" else ["daf_orm.E003"])


class SearchPathWrapper(type(connections["default"])):
    """Like django-tenants' wrapper, it sends another statement before Django's."""

    def _cursor(self, name=None):
        return super()._cursor(name)


def test_a_backend_that_sends_its_own_settings_needs_sessions(settings, monkeypatch):
    settings.DAF_ORM = {"SERVER_POOLED": True}
    assert checks.check_server_pooled() == []

    monkeypatch.setattr(connections["other"], "__class__", SearchPathWrapper)
    (error,) = checks.check_server_pooled()

    assert error.id == "daf_orm.E004"
    assert "'other'" in error.msg


# W005: packages that keep state of asynchronous code in a thread


@pytest.fixture
def with_pghistory(settings) -> None:
    """pghistory itself works on PostgreSQL alone; its label says that it is installed."""
    apps.app_configs["pghistory"] = AppConfig.create("django.contrib.humanize")
    apps.app_configs["pghistory"].name = "pghistory"
    yield
    del apps.app_configs["pghistory"]


@pytest.mark.usefixtures("with_pghistory")
def test_pghistory_without_its_middleware_is_warned_of() -> None:
    (message,) = found("W005")
    assert "pghistory" in message.msg
    assert 'POOL_MODE = "session"' in message.hint


@pytest.mark.usefixtures("with_pghistory")
@pytest.mark.parametrize(
    "change",
    [{"MIDDLEWARE": ["pghistory.middleware.HistoryMiddleware"]}, {"DAF_VIEWS": {"THREAD_PER_REQUEST": True}}],
    ids=["middleware", "thread"],
)
def test_pghistory_with_its_middleware_or_a_thread_per_request_is_right(settings, change) -> None:
    for name, value in change.items():
        setattr(settings, name, value)

    assert found("W005") == []


@pytest.fixture
def with_cachalot() -> Iterator[None]:
    """Set the label that makes it look installed: the package itself patches Django permanently."""
    apps.app_configs["cachalot"] = AppConfig.create("django.contrib.humanize")
    apps.app_configs["cachalot"].name = "cachalot"
    yield
    del apps.app_configs["cachalot"]


@pytest.mark.usefixtures("with_cachalot")
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"CACHALOT_DATABASES": "supported_only"}, []),
        ({"CACHALOT_DATABASES": ["default"]}, ["'default'"]),
        ({"CACHALOT_ADDITIONAL_SUPPORTED_DATABASES": {"daf_orm.backends.postgresql"}}, ["'default'", "'other'"]),
    ],
    ids=str,
)
def test_cachalot_may_not_cache_an_alias_that_runs_on_the_event_loop(settings, change, expected) -> None:
    for name, value in change.items():
        setattr(settings, name, value)

    errors = found("E005")

    is_native = getattr(connection, "runs_on_event_loop", False)
    assert [re.search(r"caches ('\w+')", error.msg)[1] for error in errors] == (expected if is_native else [])


@pytest.mark.native
def test_the_native_engine_for_every_database_is_no_problem() -> None:
    assert found("W006") == []


@pytest.mark.native
@pytest.mark.parametrize(
    ("settings", "runs", "words"),
    [
        ({"ENGINE": "django.db.backends.sqlite3"}, False, "'other' has the engine django.db.backends.sqlite3"),
        ({"OPTIONS": {"pool": True}}, True, "'other' has OPTIONS['pool']"),
    ],
)
def test_a_database_that_keeps_calls_on_threads_is_named(
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, object],
    runs: object,
    words: str,
) -> None:
    other = connections["other"]
    monkeypatch.setattr(other, "settings_dict", other.settings_dict | settings)
    monkeypatch.setattr(other, "runs_on_event_loop", runs, raising=False)

    (message,) = found("W006")

    assert words in message.msg
