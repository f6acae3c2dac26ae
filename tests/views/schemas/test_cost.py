"""The cost of a client's text grows with the text; a refused text costs a small multiple of an accepted one."""

import enum
import json
import sys
import time
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Literal

import msgspec
import pydantic
import pytest

from daf_views.exceptions import APIError
from daf_views.http.client_address import _forwarded_for, parse_address
from daf_views.http.conditions import parse_tags
from daf_views.http.parsers import load_json
from daf_views.idempotency.header import parse_key
from daf_views.schemas import SchemaError, schema_of
from daf_views.schemas.violations import MOST


class Line(msgspec.Struct, forbid_unknown_fields=True):
    book: int
    quantity: int


class Order(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    lines: list[Line] = []
    tags: dict[str, int] = {}
    seen: set[str] = set()
    price: Decimal = Decimal(0)


class ModelLine(pydantic.BaseModel):
    book: int
    quantity: int


class ModelOrder(pydantic.BaseModel, extra="forbid"):
    name: str
    lines: list[ModelLine] = []
    tags: dict[str, int] = {}
    seen: set[str] = set()


class Tree(msgspec.Struct):
    children: list["Tree"]
    size: int = 0


RIGHT = {"book": 1, "quantity": 2}
REFUSED = {
    "the last of many": lambda n: {"name": "x", "lines": [RIGHT] * n + [{"book": "x", "quantity": 1}]},
    "every one": lambda n: {"name": "x", "lines": [{"book": "x", "quantity": "y"}] * n},
    "the first": lambda n: {"name": 1, "lines": [RIGHT] * n},
    "whole numbers as floats, and a mistake": lambda n: {"name": 1, "lines": [{"book": 1.0, "quantity": 2.0}] * n},
    "unknown names": lambda n: {"name": "x", **{f"k{each}": 1 for each in range(n)}},
    "values of a mapping": lambda n: {"name": "x", "tags": {f"k{each}": "x" for each in range(n)}},
    "items of a set": lambda n: {"name": "x", "seen": [*map(str, range(n)), 1]},
    "items that a set cannot hold": lambda n: {"name": "x", "seen": [[]] * n},
}


def calls_to(func):
    """Count the calls of Python and C functions: the work that no busy machine makes longer."""
    calls = 0

    def count(frame, event, arg):
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        func()
    finally:
        sys.setprofile(before)
    return calls


def refused(schema, value):
    with pytest.raises(SchemaError) as caught:
        schema.load(value)
    return caught.value.violations


@pytest.mark.parametrize("kind", [Order, ModelOrder])
@pytest.mark.parametrize("name", REFUSED)
def test_twice_the_value_is_at_most_twice_the_work(kind, name):
    schema, make = schema_of(kind), REFUSED[name]
    once, twice = (calls_to(partial(refused, schema, make(number))) for number in (1000, 2000))
    assert twice < 2.3 * once


@pytest.mark.parametrize("kind", [Order, ModelOrder])
@pytest.mark.parametrize("name", REFUSED)
def test_no_more_is_told_than_a_client_can_use(kind, name):
    assert len(refused(schema_of(kind), REFUSED[name](3000))) <= MOST + 1


def test_a_deep_value_is_not_checked_anew_at_each_step():
    def nested(depth):
        tree = {"children": [], "size": "x"}
        for _ in range(depth):
            tree = {"children": [tree]}
        return tree

    schema = schema_of(Tree)
    once, twice = (calls_to(partial(refused, schema, nested(depth))) for depth in (100, 200))
    assert twice < 2.3 * once


# Text


class A(msgspec.Struct, tag="a", forbid_unknown_fields=True):
    x: int = 0


class B(msgspec.Struct, tag="b", forbid_unknown_fields=True):
    y: int = 0


class Colour(enum.Enum):
    RED = "red"


class Chosen(msgspec.Struct):
    status: Literal["a", "b"] = "a"
    colour: Colour = Colour.RED


UNITS = [
    "Object contains unknown field `",
    "Object missing required field `",
    " - at `$",
    " - at `key in $.",
    "[1",
    ".",
    "`",
    '"',
    ",",
    ";",
    "for=",
    "\\",
    '\\"',
    "W/",
    '"a",',
    ' "a"\t',
    "[",
    "{",
    ":",
    "%",
    "1.",
]
READERS = {
    "a key of a tagged type": lambda text: schema_of(A | B).load({"type": "a", text + "\n": 1}),
    "a key": lambda text: schema_of(A).load({text + "\n": 1}),
    "a literal": lambda text: schema_of(Chosen).load({"status": text}),
    "an enum": lambda text: schema_of(Chosen).load({"colour": text}, is_text=True),
    "JSON": lambda text: load_json(text.encode()),
    "a text of JSON": lambda text: load_json(json.dumps([text]).encode()),
    "If-Match": parse_tags,
    "If-Match, then what is none": lambda text: parse_tags('"a"' + text + "x"),
    "Idempotency-Key": parse_key,
    "Idempotency-Key, in quotes": lambda text: parse_key('"' + text),
    "Forwarded": _forwarded_for,
    "an address": parse_address,
}


def seconds(read, text):
    best = float("inf")
    for _ in range(3):
        before = time.process_time()
        with suppress(ValueError, APIError):  # each has its 4xx
            read(text)
        best = min(best, time.process_time() - before)
    return best


@pytest.mark.parametrize("name", READERS)
def test_no_text_costs_more_than_it_is_long(name):
    """Eight times the text: eight times the work, and not sixty-four."""
    read = READERS[name]
    for unit in UNITS:
        short, long = (unit * (length // len(unit)) for length in (8_000, 64_000))
        assert seconds(read, long) < 24 * seconds(read, short) + 0.02, unit


def test_a_message_repeats_little_of_what_was_sent():
    [violation] = refused(schema_of(Chosen), {"status": "x" * 100_000})
    assert len(violation.detail) <= 301


def test_a_name_is_told_from_what_a_message_says():
    name = "Object missing required field `a` - at `$.b`"
    assert [(each.place, each.code) for each in refused(schema_of(A), {name: 1})] == [((name,), "unknown")]
