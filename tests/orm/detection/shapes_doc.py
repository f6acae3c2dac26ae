"""``docs/reference/shapes.md``, made from the corpus: ``python -m tests.orm.detection.shapes_doc`` writes it anew.

It lists the expectations of the corpus, which the tests check on every database. Nothing is run to make it.
"""

from __future__ import annotations

import inspect
import os
import textwrap
from collections.abc import Callable, Iterable
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:  # models, and so the corpus, can only be imported when there are settings
    from tests.orm.detection.corpus.shapes import Shape

FILE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "shapes.md"
COMMAND = "python -m tests.orm.detection.shapes_doc"

INTRODUCTION = f"""\
# What is detected

<!-- Written by `{COMMAND}` from tests/orm/detection/corpus. Do not edit. -->

Made from the conformance corpus, on the newest Django that DAF supports: {{blocking}} shapes of code that block an
event loop while a database answers, {{io}} that do so by other input and output, and {{harmless}} that only look so.
The tests run each and compare what is recorded, those of a database on a real one: the line, the expression, the
operation, the model and field, and the suggestion, which is quoted here in part.
`Book` is an `AsyncModel`; `Counter` and Django's own models have stock managers.

- *swallowed*: the error is raised and never comes out of the code, which goes on with a wrong answer. Only the record
  shows it.
- *when cold*: it blocks only while no connection is open yet.
"""
LEFT_ALONE = """
## Left alone

None of this waits for anything, or it waits off the event loop.

```python
"""


IO = """
## Input and output

Found where `--daf-io`, the ini value `daf_io` or `DAF_ORM["BLOCKING_IO"]` asks for it.

| Shape | Code | Recorded |
| --- | --- | --- |
"""


def document(
    blocking: Iterable[Shape], harmless: Iterable[Shape], io_blocking: type = object, io_harmless: type = object
) -> str:
    """Return the whole document. The shapes of I/O are the functions of classes."""
    blocking, harmless = list(blocking), list(harmless)
    parts = [
        INTRODUCTION.format(
            blocking=len(blocking), io=len(_bodies(io_blocking)), harmless=len(harmless) + len(_bodies(io_harmless))
        )
    ]
    for group, shapes in groupby(sorted(blocking, key=attrgetter("group")), attrgetter("group")):
        parts.append(f"\n## {group.replace('_', ' ').capitalize()}\n\n{_table(shapes)}")
    parts.append(IO + "".join(_io_row(body) for body in _bodies(io_blocking)))
    examples = [_example(body) for body in (*(shape.body for shape in harmless), *_bodies(io_harmless))]
    parts.append(LEFT_ALONE + "\n\n\n".join(examples) + "\n```\n")
    return "".join(parts)


def _bodies(shapes: type) -> list[Callable[..., object]]:
    return [getattr(shapes, name) for name in vars(shapes) if not name.startswith("_")]


def _io_row(body: Callable[..., object]) -> str:
    """Return the row of a shape, whose line that blocks ends with its operation."""
    (line,) = (line.strip() for line in inspect.getsourcelines(body)[0] if "  # " in line)
    code, _, operation = line.partition("  # ")
    return f"| {body.__name__.replace('_', ' ')} | {_code(code)} | {_code(operation)} |\n"


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


def _example(body: Callable[..., object]) -> str:
    return textwrap.dedent(inspect.getsource(body)).removeprefix("@harmless\n").removeprefix("@staticmethod\n").rstrip()


def main() -> None:
    """Write the file."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.project.settings")
    django.setup()
    from tests.orm.detection.corpus import BLOCKING, HARMLESS  # noqa: PLC0415 - see above
    from tests.orm.detection.io.shapes import Blocking, Harmless  # noqa: PLC0415

    FILE.write_text(document(BLOCKING, HARMLESS, Blocking, Harmless))


if __name__ == "__main__":
    main()
