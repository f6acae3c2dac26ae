"""Functions of the standard library that iterate what they are given, and those that call what they are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.orm.static.checking import codes, findings

IMPORTS = """
import asyncio, collections, functools, heapq, itertools, logging, random, statistics
from itertools import chain, groupby
"""


def body(line: str) -> str:
    return f"""{IMPORTS}
async def view(request):
    qs = Book.objects.all()
    book = await Book.objects.aget(pk=1)
    rows = [book async for book in Book.objects.all()]
    loaded = [book async for book in Book.objects.select_related("author")]
    loop = asyncio.get_running_loop()
    {line}
"""


@pytest.mark.parametrize(
    "line",
    [
        "list(chain(rows, qs))",
        "list(chain.from_iterable([rows, qs]))",
        "list(itertools.product(qs, rows))",
        "list(itertools.zip_longest(rows, qs))",
        "list(itertools.permutations(qs))",
        "list(itertools.combinations(qs, 2))",
        "list(itertools.takewhile(bool, qs.values()))",
        "list(itertools.filterfalse(None, qs))",
        "list(itertools.accumulate(qs.values_list('pk', flat=True)))",
        "list(itertools.compress(qs, [1]))",
        "list(itertools.pairwise(qs))",
        "itertools.tee(qs)",
        "groupby(qs, lambda book: book.pk)",
        "collections.OrderedDict(qs.values_list('pk', 'title'))",
        "collections.defaultdict(list, qs.values_list('pk', 'title'))",
        "functools.reduce(max, qs)",
        "random.choice(qs)",
        "heapq.nlargest(3, qs)",
        "statistics.mean(qs.values_list('pk', flat=True))",
        "dict.fromkeys(qs)",
        "bytes(qs.values_list('pk', flat=True))",
    ],
)
def test_a_queryset_is_iterated(line: str, tmp_path: Path) -> None:
    assert codes(tmp_path, body(line)) == ["DAF001"]


@pytest.mark.parametrize(
    "line",
    [
        "print([each.author.name for each in chain(rows, {rows})])",
        "print([each.author.name for each in chain.from_iterable([{rows}])])",
        "print([list(group)[0].author.name for _, group in groupby({rows}, key=lambda each: each.pk)])",
        "print([one.author.name for one, other in itertools.pairwise({rows})])",
        "print([other.author.name for one, other in itertools.product([1], {rows})])",
        "print(functools.reduce(lambda text, each: text + each.author.name, {rows}, ''))",
        "print(list(itertools.starmap(lambda number, each: each.author.name, enumerate({rows}))))",
        "print(list(itertools.takewhile(lambda each: each.author.name, {rows})))",
        "print(heapq.nsmallest(2, {rows}, key=lambda each: each.author.name))",
        "print(random.choice({rows}).author.name)",
        "print(dict(first={rows}[0])['first'].author.name)",
        "print(dict(zip([1], {rows}))[1].author.name)",
    ],
)
def test_rows_go_through(line: str, tmp_path: Path) -> None:
    assert codes(tmp_path, body(line.format(rows="rows"))) == ["DAF020"]
    assert codes(tmp_path, body(line.format(rows="loaded").replace("chain(rows", "chain(loaded"))) == []


@pytest.mark.parametrize(
    "line",
    [
        "loop.call_soon(qs.count)",
        "loop.call_soon(functools.partial(Book.objects.get, pk=1))",
        "loop.call_later(1, book.save)",
        "asyncio.current_task().add_done_callback(lambda _: qs.count())",
        "list(map(Book.objects.get, [1]))",
    ],
)
def test_a_method_is_called_by_what_it_is_given_to(line: str, tmp_path: Path) -> None:
    (found,) = findings(tmp_path, body(line))

    assert found.code in {"DAF010", "DAF030"}
    assert found.fix is None


@pytest.mark.parametrize(
    "line",
    [
        "print('{0} {found}'.format(1, found=qs))",
        "print('{}'.format(qs))",
        "print('%(found)s' % {'found': qs})",
        "logging.warning('%r', qs)",
        "print({}.update(qs.values_list('pk', 'title')))",
        "print(set().union(qs))",
    ],
)
def test_a_queryset_is_shown_or_put_in(line: str, tmp_path: Path) -> None:
    assert len(codes(tmp_path, body(line))) == 1


def test_a_list_is_sorted_by_a_relation(tmp_path: Path) -> None:
    assert codes(tmp_path, body("rows.sort(key=lambda each: each.author.name)")) == ["DAF020"]
    assert codes(tmp_path, body("loaded.sort(key=lambda each: each.author.name)")) == []


def test_the_keys_of_a_dictionary_that_grows_are_not_remembered(tmp_path: Path) -> None:
    """So that time is linear in the number of lines; the values are."""
    lines = "".join(f"    found = dict(found, key{number}=rows[0])\n" for number in range(60))
    source = body("found = {}") + lines + "    print(found['key7'].author.name, found.get('other').author.name)\n"

    assert codes(tmp_path, source) == ["DAF020", "DAF020"]
