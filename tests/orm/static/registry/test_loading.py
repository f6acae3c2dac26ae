"""The app registry as plain values: that of this suite's own project."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from daf_orm.static.cache import Cache
from daf_orm.static.check import check
from daf_orm.static.files import modules
from daf_orm.static.output.formats import FORMATS, Report
from daf_orm.static.registry.facts import Registry
from daf_orm.static.registry.loading import read
from daf_orm.static.settings import Settings
from tests import project
from tests.orm.detection import corpus
from tests.project.library.models import Book


@pytest.fixture(scope="module")
def registry() -> Registry:
    return read("tests.project.settings")


def test_a_model_has_its_relations_both_ways(registry: Registry) -> None:
    relations = {each.name: each for each in registry.by_label["library.Author"].relations}

    assert (relations["profile"].kind, relations["profile"].is_reverse, relations["profile"].target) == (
        "one",
        True,
        "library.Profile",
    )
    assert registry.by_label["library.Book"].is_ours
    assert registry.by_path["tests.project.library.models.Book"].place.file == str(
        Path(project.__file__).parent / "library" / "models.py"
    )
    assert Book.__qualname__ in {each.place.qualname for each in registry.models}


def test_a_registry_that_says_something_else_has_another_digest(registry: Registry) -> None:
    fewer = replace(registry, models=registry.models[1:])

    assert fewer.digest != registry.digest == replace(registry).digest


def test_findings_are_kept_for_the_registry_that_they_were_found_with(registry: Registry, tmp_path: Path) -> None:
    known = modules([Path(project.__file__).parent])
    Cache(known, Settings(), tmp_path, registry).put([])

    assert Cache(known, Settings(), tmp_path, registry).get() == []
    assert Cache(known, Settings(), tmp_path).get() is None
    assert Cache(known, Settings(), tmp_path, replace(registry, models=registry.models[1:])).get() is None


def test_the_shapes_of_the_corpus_are_found_with_the_registry_as_well(registry: Registry) -> None:
    folders = [Path(module.__file__).parent for module in (corpus, project)]
    for settings in (Settings(), Settings(strict=True)):
        source = {each.key: each.message for each in check(modules(folders), settings)}
        assert {each.key: each.message for each in check(modules(folders), settings, registry)} == source


def test_each_format_says_where_the_models_are_from(registry: Registry) -> None:
    report = Report([], str(registry))

    said = {name: write(report) for name, write in FORMATS.items()}

    assert said["json"] == "[]"
    assert all(str(registry) in said[name] for name in ("text", "github", "sarif"))
