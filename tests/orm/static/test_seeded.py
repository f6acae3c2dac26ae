"""Blocking calls put into the bookshop, behind up to four calls: each is found, with the way to it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from daf_orm.static.check import check
from daf_orm.static.files import modules
from daf_orm.static.findings import Finding
from daf_orm.static.settings import Settings

BOOKSHOP = Path(__file__).parents[3] / "examples" / "bookshop"
CALLS = (
    ("Book.objects.count()", "DAF010"),
    ("Order.objects.filter(pk=1).exists()", "DAF010"),
    ("list(Tag.objects.all())", "DAF001"),
    ("[tag.name for tag in Tag.objects.all()]", "DAF001"),
    ("Book.objects.with_details().first()", "DAF010"),
    ("len(Stock.objects.all())", "DAF002"),
    ("Book.objects.matching('golden')[0]", "DAF003"),
    ("Order(customer='ada').save()", "DAF030"),
    ("Book.objects.select_related('author').get(pk=1).order_lines.count()", "DAF010"),
    ("connection.cursor()", "DAF060"),
    ("get_object_or_404(Book, pk=1)", "DAF012"),
    ("RestockRequest.objects.get_or_create(book_id=1)", "DAF010"),
)
"""The seeded calls: each stands behind none to four others."""
HEAD = """
from django.db import connection
from django.shortcuts import get_object_or_404

from shop.models import Book, Order, RestockRequest, Stock, Tag

"""
STYLES = ("function", "method", "property", "lambda", "generator")


@dataclass(frozen=True)
class Seed:
    number: int
    call: str
    code: str
    depth: int

    @property
    def names(self) -> list[str]:
        """The functions from the coroutine function inwards, as a traceback has them."""
        inner = [f"{self._class(level)}step_{self.number}_{level}" for level in range(self.depth)]
        return [f"coroutine_{self.number}", *inner]

    def _class(self, level: int) -> str:
        return f"Steps{self.number}{level}." if self.style(level) in {"method", "property"} else ""

    def style(self, level: int) -> str:
        return STYLES[(self.number + level) % 3]

    def source(self) -> str:
        """A coroutine function, what it calls, and what that calls."""
        lines = []
        body = f"return {self.call}  # seed {self.number}"
        for level in reversed(range(self.depth)):
            lines += self._step(level, body)
            body = f"return {self._called(level)}"
        return "\n".join([*lines, f"async def coroutine_{self.number}():", f"    {body}", "", ""])

    def _step(self, level: int, body: str) -> list[str]:
        name, style = f"step_{self.number}_{level}", self.style(level)
        if style == "function":
            return [f"def {name}():", f"    {body}", "", ""]
        decorator = ["    @property"] if style == "property" else []
        return [f"class Steps{self.number}{level}:", *decorator, f"    def {name}(self):", f"        {body}", "", ""]

    def _called(self, level: int) -> str:
        name, style = f"step_{self.number}_{level}", self.style(level)
        if style == "function":
            return f"{name}()"
        return f"Steps{self.number}{level}().{name}{'()' if style == 'method' else ''}"


SEEDS = [
    Seed(12 * depth + number, call, code, depth) for depth in range(5) for number, (call, code) in enumerate(CALLS)
]
HOMES = ("shop/ordering.py", "shop/reports.py", "shop/pages/desk.py", "shop/api/orders.py", "shop/receipts.py")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    folder = tmp_path_factory.mktemp("bookshop")
    shutil.copytree(BOOKSHOP, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("var", "__pycache__"))
    for place, home in enumerate(HOMES):
        file = folder / home
        seeds = "".join(seed.source() for seed in SEEDS if seed.number % len(HOMES) == place)
        file.write_text(f"{file.read_text()}\n{HEAD}{seeds}")
    return check(modules([folder]), Settings())


def test_sixty_calls_are_put_in() -> None:
    assert len(SEEDS) == 60


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{seed.number}-depth-{seed.depth}")
def test_a_seeded_call_is_found_with_the_way_to_it(seed: Seed, found: list[Finding]) -> None:
    mine = [each for each in found if each.path[0].function == seed.names[0]]

    assert [(each.code, [step.function for step in each.path]) for each in mine] == [(seed.code, seed.names)]
    assert Path(mine[0].file).read_text().splitlines()[mine[0].line - 1].endswith(f"# seed {seed.number}")


def test_nothing_else_is_found(found: list[Finding]) -> None:
    assert [str(each.path[-1]) for each in found if not each.path[0].function.startswith("coroutine_")] == []
    assert len(found) == len(SEEDS)
