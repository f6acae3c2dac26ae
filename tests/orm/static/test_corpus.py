"""The shapes that the guard is measured by, as source."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from daf_orm.static.check import check
from daf_orm.static.files import modules, shown
from daf_orm.static.findings import Finding
from daf_orm.static.settings import Settings
from tests import project
from tests.orm.detection import corpus
from tests.orm.detection.corpus import BLOCKING, HARMLESS, Shape

UNSEEN = {
    "contrib-database_cache": "the settings say which backend a cache has; the one in memory does not block",
    "database-cold_feature_of_sqlite": "only the first look at a feature asks the database",
}
"""Shapes that source does not show, with the reason."""
STRICT = {
    *("contrib-groups", "forms_templates-lazy_load_in_a_template", "forms_templates-method_in_a_template"),
    *("forms_templates-comparison_in_a_template", "positions-in_a_comprehension", "positions-behind_functools"),
    *("positions-in_a_generator_expression", "lazy_loads-foreign_key", "lazy_loads-reverse_one_to_one"),
    *("lazy_loads-hasattr_of_a_reverse_one_to_one", "lazy_loads-getattr_with_default"),
    *("lazy_loads-getattr_guarded_by_an_except", "lazy_loads-generic_foreign_key", "lazy_loads-reverse_foreign_key"),
    *("lazy_loads-many_to_many", "lazy_loads-generic_relation", "lazy_loads-count_of_a_related_manager"),
    "lazy_loads-property_of_a_model",
}
"""Shapes whose row is a field of an annotated parameter. Its loaded relations are unknown: --strict reports it."""


@functools.cache
def findings(*, strict: bool) -> list[Finding]:
    folders = [Path(module.__file__).parent for module in (corpus, project)]
    return check(modules(folders), Settings(strict=strict))


def places(*, strict: bool) -> set[tuple[str, int]]:
    return {(finding.file, finding.line) for finding in findings(strict=strict)}


def place(shape: Shape) -> tuple[str, int]:
    file, line = shape.place
    return shown(Path(file)), line


@pytest.mark.parametrize("shape", BLOCKING, ids=lambda shape: shape.name)
def test_a_blocking_shape_is_found_in_its_source(shape: Shape) -> None:
    assert (place(shape) in places(strict=True)) is (shape.name not in UNSEEN)
    assert (place(shape) in places(strict=False)) is (shape.name not in UNSEEN and shape.name not in STRICT)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("shape", HARMLESS, ids=lambda shape: shape.name)
def test_a_harmless_shape_is_left_alone(shape: Shape, *, strict: bool) -> None:
    code = shape.body.__code__
    lines = range(code.co_firstlineno, max(line for *_, line in code.co_lines() if line) + 1)

    found = [each for each in findings(strict=strict) if each.file == shown(Path(code.co_filename))]

    assert [str(each.path[-1]) for each in found if each.line in lines] == []


def test_nothing_else_of_the_corpus_is_found() -> None:
    marked = {
        (shown(file), number)
        for module in (corpus, project)
        for file in Path(module.__file__).parent.rglob("*.py")
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if line.endswith("# blocks") or "asyncio.to_thread(opened)" in line or "asyncio.to_thread(start)" in line
    }

    assert places(strict=True) - marked == set()


def test_a_finding_is_called_what_the_guard_calls_it() -> None:
    """So that one baseline serves both."""
    by_place = {(each.file, each.line): each for each in findings(strict=True)}
    differing = [
        (shape.name, found.operation, shape.operation)
        for shape in BLOCKING
        if (found := by_place.get(place(shape))) and found.operation != shape.operation
    ]

    assert differing == []


def test_an_expression_is_that_of_the_guard() -> None:
    by_place = {(each.file, each.line): each for each in findings(strict=True)}
    differing = [
        (shape.name, found.expression, shape.expression)
        for shape in BLOCKING
        if (found := by_place.get(place(shape))) and shape.expression and found.expression != shape.expression
    ]

    assert differing == []


def test_a_function_is_that_of_the_guard() -> None:
    by_place = {(each.file, each.line): each for each in findings(strict=True)}
    differing = [
        (shape.name, found.module, found.function)
        for shape in BLOCKING
        if (found := by_place.get(place(shape)))
        and (found.module, found.function.partition(".")[0])
        != ((shape.line_in or shape.body).__module__, (shape.line_in or shape.body).__qualname__.partition(".")[0])
    ]

    assert differing == []
