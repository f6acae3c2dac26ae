"""The pages that are made from the code are those of the code."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import daf_orm
import daf_views
from daf_orm.metrics import collect
from daf_views.throttling.backends import BACKENDS
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


@pytest.mark.parametrize("page", ["reference/settings.md", "guides/throttling.md"])
def test_every_throttle_backend_is_on_the_pages_that_list_them(page):
    text = (DOCS / page).read_text()
    assert [name for name in BACKENDS if f'"{name}"' not in text] == [], f"add it to docs/{page}"


INTERNAL = (
    *("daf_orm.backends", "daf_orm.databases", "daf_orm.detection", "daf_orm.patches", "daf_orm.relations"),
    *("daf_views.schemas", "daf_views.staff", "daf_views.tasks.compat", "daf_views.throttling.backends"),
    *("daf_views.idempotency.stores", "daf_views.streaming.broadcast.backends"),
)
"""Packages whose lists of names are for the other rooms of the house."""


def public_names():
    for package in (daf_orm, daf_views):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "._" in found.name or found.name.startswith(INTERNAL) or "__all__" not in source_of(found):
                continue
            module = importlib.import_module(found.name)
            for name in module.__all__:
                if not inspect.ismodule(getattr(module, name)):
                    yield f"{found.name}.{name}", name


def source_of(found):
    return Path(found.module_finder.find_spec(found.name).origin).read_text()


def test_every_public_name_is_in_the_reference():
    pages = "".join((DOCS / "reference" / name).read_text() for name in ("orm.md", "views.md"))
    names = dict(public_names())

    assert len(names) > 150
    missing = [path for path, name in names.items() if not re.search(rf"\b{name}\b", pages)]
    assert missing == [], "add an autoclass or autofunction to docs/reference/orm.md or views.md"


def test_a_problem_has_the_status_of_its_base():
    assert "| 503 | `unavailable` | `ServiceUnavailableError` |" in problems()
    assert "| 400 | `idempotency_key_missing` | `MissingKeyError` |" in problems()
