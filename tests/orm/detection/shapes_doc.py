"""``docs/shapes.md``, made from the corpus: ``python -m tests.orm.detection.shapes_doc`` writes it anew.

It says what the corpus expects, and the tests hold detection to that on every database. Nothing is run to make it.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:  # models, and so the corpus, can only be imported when there are settings
    from tests.orm.detection.corpus.shapes import Shape

FILE = Path(__file__).resolve().parents[3] / "docs" / "shapes.md"
COMMAND = "python -m tests.orm.detection.shapes_doc"

INTRODUCTION = f"""\
# What is detected

<!-- Written by `{COMMAND}` from tests/orm/detection/corpus. Do not edit. -->

Made from the conformance corpus, on the newest Django that DAF supports: {{blocking}} shapes of code that block an
event loop, and {{harmless}} that only look so. The tests run each on a real database, and compare what is recorded:
the line, the expression, the operation, the model and field, and the suggestion, which is quoted here in part.
`Book` is an `AsyncModel`; `Counter` and Django's own models have stock managers.

- *swallowed*: the error is raised and never comes out of the code, which goes on with a wrong answer. Only the record
  shows it.
- *when cold*: it blocks only while no connection is open yet.
"""
LEFT_ALONE = """
## Left alone

None of this asks a database, or it asks one off the event loop.

```python
"""


def document(blocking: Iterable[Shape], harmless: Iterable[Shape]) -> str:
    """Return the whole document."""
    blocking, harmless = list(blocking), list(harmless)
    parts = [INTRODUCTION.format(blocking=len(blocking), harmless=len(harmless))]
    for group, shapes in groupby(sorted(blocking, key=attrgetter("group")), attrgetter("group")):
        parts.append(f"\n## {group.replace('_', ' ').capitalize()}\n\n{_table(shapes)}")
    parts.append(LEFT_ALONE + "\n\n\n".join(_example(shape) for shape in harmless) + "\n```\n")
    return "".join(parts)


def _table(shapes: Iterable[Shape]) -> str:
    rows = [(_title(shape), _code(_line(shape)), _recorded(shape), _suggestion(shape)) for shape in shapes]
    head = "| Shape | Code | Recorded | Suggested |\n| --- | --- | --- | --- |\n"
    return head + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _title(shape: Shape) -> str:
    return shape.body.__name__.replace("_", " ")


def _line(shape: Shape) -> str:
    """Return the line that blocks; the whole expression if that goes on over other lines."""
    filename, number = shape.place
    line = Path(filename).read_text().splitlines()[number - 1].partition("  # ")[0].strip()
    return shape.expression if line.endswith("(") and shape.expression else line


def _recorded(shape: Shape) -> str:
    of = ".".join(part for part in ((shape.model or "").rpartition(".")[2], shape.field) if part)
    template = f"in {_code(shape.template)}" if shape.template else ""
    notes = ["*swallowed*"] * shape.swallowed + ["*when cold*"] * shape.cold
    only = f"{shape.vendor} only" if shape.vendor else ""
    parts = [_code(shape.operation or "") + (f" of {of}" if of else ""), template, *notes, only]
    return ", ".join(part for part in parts if part)


def _suggestion(shape: Shape) -> str:
    text = shape.suggestion
    return _code(f"{text}…" if text.count("(") > text.count(")") else text)


def _code(text: str) -> str:
    escaped = text.replace("|", r"\|")  # a table's cells end at a bar, even in code
    return f"`{escaped}`" if text else ""


def _example(shape: Shape) -> str:
    return inspect.getsource(shape.body).removeprefix("@harmless\n").rstrip()


def main() -> None:
    """Write the file."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.project.settings")
    django.setup()
    from tests.orm.detection.corpus import BLOCKING, HARMLESS  # noqa: PLC0415 - see above

    FILE.write_text(document(BLOCKING, HARMLESS))


if __name__ == "__main__":
    main()
