"""The documentation's list of detected shapes is the corpus."""

import django
import pytest

from tests.orm.detection.corpus import BLOCKING, HARMLESS
from tests.orm.detection.io.shapes import Blocking, Harmless
from tests.orm.detection.shapes_doc import COMMAND, FILE, document

pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory]


@pytest.mark.skipif(django.VERSION < (6, 1), reason="the document is that of the newest Django")
def test_the_document_matches_the_corpus() -> None:
    assert FILE.read_text() == document(BLOCKING, HARMLESS, Blocking, Harmless), (
        f"docs/reference/shapes.md is out of date: run {COMMAND}"
    )


def test_a_shape_has_its_line_its_record_and_its_suggestion() -> None:
    (shape,) = (shape for shape in BLOCKING if shape.name == "terminals-count")

    assert (
        "| count | `Book.objects.count()` | `QuerySet.count` of Book | `await Book.objects.acount()` |"
        in document([shape], []).splitlines()
    )


def test_io_has_its_own_table_and_its_harmless_shapes_stand_with_the_others() -> None:
    lines = document([], [], Blocking, Harmless).splitlines()

    assert "| sleep | `time.sleep(0.001)` | `time.sleep` |" in lines
    assert "async def cache_in_memory(directory: Path) -> None:" in lines


def test_a_swallowed_error_is_marked_and_a_bar_stays_in_its_cell() -> None:
    swallowed = next(shape for shape in BLOCKING if shape.swallowed)
    bar = next(shape for shape in BLOCKING if shape.name == "forms_templates-length_in_a_template")

    assert "*swallowed*" in document([swallowed], [])
    assert r"{{ books\|length }}" in document([bar], [])
