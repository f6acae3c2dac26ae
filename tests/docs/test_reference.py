"""The pages that are made from the code are those of the code."""

import re

import pytest

from daf_orm.metrics import collect
from tests.docs.reference import (
    ARCHITECTURE,
    COMMAND,
    DOCS,
    PAGES,
    checks,
    ids_in_code,
    metrics,
    problems,
    settings,
    with_layers,
)

pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory]  # no database is used


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_that_of_the_code(name):
    assert (DOCS / name).read_text() == PAGES[name](), f"docs/{name} is out of date: run {COMMAND}"


def test_the_figure_of_the_layers_is_that_of_the_contracts():
    page = ARCHITECTURE.read_text()
    assert page == with_layers(page), f"docs/project/architecture.md is out of date: run {COMMAND}"


def test_every_check_of_the_code_has_its_row():
    assert ids_in_code() == set(re.findall(r"^\| `(daf_\w+\.\w+)`", checks(), re.MULTILINE))


def test_every_setting_has_its_default_and_its_meaning():
    rows = [row.split(" | ") for row in settings().splitlines() if row.startswith("| `")]
    assert len(rows) > 40
    assert all(default.strip("`") and len(meaning) > 10 for _, default, meaning in rows)


def test_every_metric_of_the_registry_has_its_row():
    from daf_orm._pool import metrics as _  # noqa: F401, PLC0415 - these modules have metrics
    from daf_views import asgi, idempotency, tasks, throttling  # noqa: F401, PLC0415

    of_daf = {name for name in (reading.metric.name for reading in collect()) if name.startswith("daf_")}
    assert of_daf == set(re.findall(r"^\| `(\w+)`", metrics(), re.MULTILINE))
    assert len(of_daf) > 25


def test_a_problem_has_the_status_of_its_base():
    assert "| 503 | `unavailable` | `ServiceUnavailableError` |" in problems()
    assert "| 400 | `idempotency_key_missing` | `MissingKeyError` |" in problems()
