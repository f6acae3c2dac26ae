"""Functions that iterate what they are given: of builtins, itertools, collections, functools, heapq and others."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final, NamedTuple

from daf_orm.static.inference import consume
from daf_orm.static.inference.given import call_given
from daf_orm.static.inference.special import special, take_hash
from daf_orm.static.inference.values import UNKNOWN, Coroutine, External, Items, Mapping, Rows, Value, any_of

if TYPE_CHECKING:
    from daf_orm.static.inference.frame import Frame


class Iterating(NamedTuple):
    """A function that iterates, and the use it makes of its items."""

    gives: str
    """Its result: ``item``, ``items``, ``nested`` items, ``rows`` that have one of each iterable, or ``other``."""
    start: int = 0
    """The position of its first iterable."""
    number: int | None = None
    """The number of its iterables; None if there may be any."""
    function: int | None = None
    """The position of a function that it calls with items."""


_ALL: Final = Iterating("items")
_ONE: Final = Iterating("items", number=1)
_FILTERS: Final = Iterating("items", 1, 1, 0)
_NESTS: Final = Iterating("nested", number=1)
_SAYS: Final = Iterating("other", number=1)
_TABLE: Final[dict[str, Iterating]] = {
    **{f"builtins.{name}": _ONE for name in "list tuple set frozenset sorted iter reversed".split()},
    **{f"builtins.{name}": Iterating("item") for name in ("max", "min")},
    **{f"builtins.{name}": _SAYS for name in "sum any all bytes bytearray dict.fromkeys".split()},
    "builtins.dict": Iterating("mapping", number=1),
    "builtins.enumerate": Iterating("counted", number=1),
    "builtins.map": Iterating("results", 1, None, 0),
    "builtins.filter": _FILTERS,
    "builtins.zip": Iterating("rows"),
    "itertools.chain": _ALL,
    "itertools.chain.from_iterable": Iterating("flat", number=1),
    "itertools.zip_longest": Iterating("rows"),
    "itertools.product": Iterating("rows"),
    "itertools.groupby": Iterating("groups", 0, 1, 1),
    "itertools.starmap": Iterating("starred", 1, 1, 0),
    "itertools.accumulate": Iterating("items", 0, 1, 1),
    "itertools.compress": Iterating("items", number=2),
    "itertools.islice": _ONE,
    "itertools.cycle": _ONE,
    **{f"itertools.{name}": _FILTERS for name in ("takewhile", "dropwhile", "filterfalse")},
    **{f"itertools.{name}": _NESTS for name in ("permutations", "combinations", "batched", "pairwise", "tee")},
    "itertools.combinations_with_replacement": _NESTS,
    "collections.deque": _ONE,
    "collections.Counter": Iterating("other", number=1),
    "collections.OrderedDict": Iterating("mapping", number=1),
    "collections.defaultdict": Iterating("mapping", 1, 1),
    "functools.reduce": Iterating("reduced", 1, 1, 0),
    "random.choice": Iterating("item", number=1),
    "random.choices": _ONE,
    "random.sample": _ONE,
    "heapq.merge": _ALL,
    "heapq.nlargest": Iterating("items", 1, 1),
    "heapq.nsmallest": Iterating("items", 1, 1),
    **{f"statistics.{name}": _SAYS for name in "mean fmean median mode multimode stdev pstdev variance".split()},
    **{f"math.{name}": _SAYS for name in ("fsum", "prod")},
}
_ORDERS: Final = frozenset({"sorted", "max", "min", "merge", "nlargest", "nsmallest"})
_COLLECTIONS: Final = (External("builtins.list"), External("builtins.set"), External("collections.deque"))
_MOST: Final = 50
"""Keys that a dictionary made of another is known by; of more only their values are."""
_HASHES: Final = frozenset({"set", "frozenset", "Counter", "fromkeys"})


def is_iterating(path: str) -> bool:
    """Return True for a function that iterates some of its arguments."""
    return path in _TABLE


def iterating(frame: Frame, path: str, positional: tuple[Value, ...], named: dict[str, Value], node: ast.Call) -> Value:
    """Return what such a function returns, and record what iterating its arguments blocks on."""
    row, name = _TABLE[path], path.rpartition(".")[2]
    if name == "reversed" and positional and isinstance(positional[0], Rows):
        consume.length(frame, positional[0], node.args[0], node, "reversed")
        return Items(positional[0].row)
    if path == "collections.defaultdict" and len(positional) == 1:
        return Mapping(Items(each=()) if positional[0] in _COLLECTIONS else UNKNOWN)
    items = _items(frame, row, name, positional, node)
    item = any_of(items) if row.gives in {"items", "item"} and name != "compress" else (items or [UNKNOWN])[0]
    function, argument = _function(row, positional, named, node)
    if name in _ORDERS and function is None:
        special(frame, item, ("__lt__", "__gt__"), node, (item,))
    result: Value = UNKNOWN
    if function is not None and argument is not None and items:
        result = call_given(frame, function, _given(row, items), argument, node)
    if name in {"max", "min"} and len(positional) > 1:
        return any_of(positional)
    return _result(row, item, items, result, named)


def _items(frame: Frame, row: Iterating, name: str, positional: tuple[Value, ...], node: ast.Call) -> list[Value]:
    """Return an item of each iterable."""
    end = None if row.number is None else row.start + row.number
    items = []
    if name in {"max", "min"} and len(positional) > 1:
        for given, argument in zip(positional, node.args, strict=False):
            if isinstance(given, Coroutine):
                consume.unawaited(frame, given, argument)
        return list(positional)
    for given, argument in zip(positional[row.start : end], node.args[row.start : end], strict=False):
        if isinstance(argument, ast.Starred):
            items.append(given)
            continue
        if row.gives == "mapping" and isinstance(given, Mapping):
            return [given]
        value = consume.rows_from(frame, given)
        found = consume.iterate(frame, value, argument, node, "listed" if name == "list" else "argument")
        if name in _HASHES:
            take_hash(frame, found, node)
        if row.gives == "flat":
            each = value.each if isinstance(value, Items) and value.each else (found,)
            found = any_of([consume.iterate(frame, consume.rows_from(frame, one), argument, node) for one in each])
        items.append(found)
    return items


def _function(
    row: Iterating, positional: tuple[Value, ...], named: dict[str, Value], node: ast.Call
) -> tuple[Value | None, ast.expr | None]:
    """Return the function that is called with items, and where that is written."""
    index = row.function
    if index is not None and len(positional) > index and len(node.args) > index:
        return positional[index], node.args[index]
    for keyword in node.keywords:
        if keyword.arg in {"key", "func"} and keyword.arg in named:
            return named[keyword.arg], keyword.value
    return None, None


def _given(row: Iterating, items: list[Value]) -> tuple[Value, ...]:
    """Return what the function is called with."""
    if row.gives == "starred":
        each = items[0].each if isinstance(items[0], Items) else None
        return each or (UNKNOWN,)
    if row.gives == "reduced":
        return (UNKNOWN, items[0])
    return tuple(items) if row.gives == "results" else (items[0],)


def _result(row: Iterating, item: Value, items: list[Value], result: Value, named: dict[str, Value]) -> Value:
    given: dict[str, Value] = {
        "item": item,
        "items": Items(item),
        "flat": Items(item),
        "nested": Items(Items(item)),
        "rows": Items(Items(each=tuple(items)) if not named else Items(any_of(items))),
        "counted": Items(Items(each=(UNKNOWN, item))),
        "groups": Items(Items(each=(UNKNOWN, Items(item)))),
        "results": Items(result),
        "starred": Items(result),
        "reduced": result,
        "mapping": _mapping(item, named),
    }
    return given.get(row.gives, UNKNOWN)


def _mapping(item: Value, named: dict[str, Value]) -> Value:
    """Return the dictionary of ``dict(pairs)``, ``dict(another)`` or ``dict(name=value)``."""
    if isinstance(item, Mapping):
        entries = tuple({**dict(item.entries), **named}.items())
        if len(entries) > _MOST:
            return Mapping(any_of([value for _, value in entries]))
        return Mapping(item.item, entries, is_empty=item.is_empty and not named)
    pair = item.each if isinstance(item, Items) else None
    value = pair[1] if pair is not None and len(pair) == 2 else UNKNOWN  # noqa: PLR2004 - a key and a value
    return Mapping(value, tuple(named.items())) if named or pair else UNKNOWN
