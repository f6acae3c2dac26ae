"""The values of expressions, as far as they are known. Values are immutable: a change of state makes a new one."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

from daf_orm.static.inference.loaded import NOTHING, Loaded

if TYPE_CHECKING:
    import ast
    from collections.abc import Iterable

    from daf_orm.static.findings import Fix
    from daf_orm.static.project.definitions import Class, Function
    from daf_orm.static.project.models import Model


class Value:
    """Anything that is known of an expression."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Unknown(Value):
    """Nothing is known."""


UNKNOWN = Unknown()


@dataclass(frozen=True, slots=True)
class Constant(Value):
    """A literal: a string, a number, None, True or False."""

    value: Any


NONE = Constant(None)


@dataclass(frozen=True, slots=True)
class External(Value):
    """A module, class, function or object that the project imports from elsewhere, by its dotted name."""

    path: str

    @property
    def name(self) -> str:
        """The last part of the dotted name."""
        return self.path.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class ModuleValue(Value):
    """A module of the project."""

    name: str


@dataclass(frozen=True, slots=True)
class ClassValue(Value):
    """A class of the project."""

    cls: Class


@dataclass(frozen=True, slots=True)
class Callable(Value):
    """A function of the project: with what it is bound to, and the names of the functions around it."""

    function: Function
    owner: Value | None = None
    scope: Scope | None = None


class Scope:
    """The variables of a running function, and refinements of dotted expressions: ``book.author``."""

    __slots__ = ("parent", "values")

    def __init__(self, parent: Scope | None = None) -> None:
        self.parent = parent
        self.values: dict[str, Value] = {}

    def find(self, name: str) -> Value | None:
        """Return the value of a name here or in a function around; None if there is none."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.parent
        return None

    def assign(self, name: str, value: Value) -> None:
        """Bind a name, and forget what was known of its attributes."""
        prefix = f"{name}."
        for key in [key for key in self.values if key.startswith(prefix)]:
            del self.values[key]
        self.values[name] = value


@dataclass(frozen=True, slots=True)
class Object(Value):
    """An instance of a class: of the project, or of an external one by its dotted name."""

    of: Class | str
    arguments: tuple[tuple[str, Value], ...] = ()
    """Arguments that it was made with, where they matter: of forms, serializers and paginators."""

    def argument(self, name: str) -> Value | None:
        """Return what it was made with, by position (``"0"``) or name."""
        return dict(self.arguments).get(name)


@dataclass(frozen=True, slots=True)
class Origin:
    """The place of a query: the node on which ``select_related`` can be called, and in which function."""

    file: str
    function: str
    fix: Fix


@dataclass(frozen=True, slots=True)
class Row(Value):
    """An instance of a model."""

    model: Model
    loaded: Loaded = NOTHING
    origin: Origin | None = field(default=None, compare=False)
    via: str = ""
    """The relations by which it was reached from the row of the query: ``author__profile``."""

    def lookup(self, name: str) -> str:
        """Return a relation of it as the query names it."""
        return f"{self.via}__{name}" if self.via else name


@dataclass(frozen=True, slots=True)
class Rows(Value):
    """A queryset."""

    model: Model
    loaded: Loaded = NOTHING
    gives: str = "rows"
    """The kind of its items: ``rows``, ``values`` (dictionaries or tuples), or ``unknown``."""
    is_ours: bool = False
    """True if it has ``alist``, as an AsyncQuerySet has."""
    is_sliced: bool = False
    is_raw: bool = False
    is_empty: bool = False
    is_evaluated: bool = False
    is_prefetched: bool | None = False
    """For a related manager: True if its rows are prefetched; None if that is not known."""
    is_ordered: bool | None = False
    """True if ``order_by`` or the like was called; None if that is not seen."""
    takes_no_joins: bool = False
    """True if ``select_related`` cannot be added: it locks its rows, or is made of several querysets."""
    cls: Class | None = None
    origin: Origin | None = field(default=None, compare=False)

    @property
    def row(self) -> Value:
        """One of its items."""
        return Row(self.model, self.loaded, self.origin) if self.gives == "rows" else UNKNOWN

    @property
    def is_lazy(self) -> bool | None:
        """True if reading its rows queries; None if that is not known."""
        if self.is_empty or self.is_evaluated or self.is_prefetched:
            return False
        return None if self.is_prefetched is None else True


@dataclass(frozen=True, slots=True)
class Manager(Value):
    """A manager of a model; with ``accessor``, that of a relation of one row."""

    model: Model
    cls: Class | None = None
    is_ours: bool = False
    accessor: str = ""
    is_many: bool = False
    row: Row | None = None
    is_prefetched: bool | None = False


@dataclass(frozen=True, slots=True)
class Cursor(Value):
    """A Django database cursor."""

    is_reported: bool = False
    """True if it was opened on the loop: that is the finding, and not what it runs."""


@dataclass(frozen=True, slots=True)
class Lazy(Value):
    """An iterator that runs code when it is iterated: ``qs.iterator()``, or a generator of the project."""

    source: Rows | Call


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is not made yet."""

    function: Callable
    positional: tuple[Value, ...]
    named: tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True)
class Method(Value):
    """A method of a value that is not the project's own."""

    owner: Value
    name: str
    node: ast.expr | None = field(default=None, compare=False)
    """The expression that the owner stands in, whose state a call may change."""


@dataclass(frozen=True, slots=True)
class Super(Value):
    """``super()`` in a method of a class."""

    cls: Class
    owner: Value


@dataclass(frozen=True, slots=True)
class Guarded(Value):
    """A function that Django's ``atomic`` is around."""

    function: Value


@dataclass(frozen=True, slots=True)
class Coroutine(Value):
    """A coroutine, and the result of awaiting it."""

    result: Value = UNKNOWN
    is_atomic: bool = False
    """True if it opens an atomic block."""
    is_query: bool = False
    """True if a method of a queryset, manager or instance returned it."""
    is_task: bool = False
    """True for a task or future, which runs without being awaited and has methods."""


@dataclass(frozen=True, slots=True)
class Items(Value):
    """A list, tuple, set or other collection in memory; ``each`` are its items, where they are counted."""

    item: Value = UNKNOWN
    each: tuple[Value, ...] | None = None
    names: tuple[str, ...] = ()
    """The names of the items of a named tuple."""

    @property
    def is_empty(self) -> bool:
        """True of ``[]``."""
        return self.each == ()

    @property
    def any(self) -> Value:
        """The value that stands for each item."""
        return any_of(self.each) if self.each else self.item

    def parted(self, count: int, star: int | None) -> list[Value]:
        """Return the values of ``count`` targets that it is unpacked to; the one at ``star`` takes the rest."""
        each = self.each
        if each is None or (len(each) != count if star is None else len(each) < count - 1):
            return [Items(self.any) if index == star else self.any for index in range(count)]
        if star is None:
            return list(each)
        end = len(each) - (count - star - 1)
        return [*each[:star], Items(each=each[star:end]), *each[end:]]

    def with_item(self, value: Value) -> Items:
        """Return the collection with one more item."""
        return Items(value if self.is_empty else join(self.any, value))


@dataclass(frozen=True, slots=True)
class Mapping(Value):
    """A dictionary in memory."""

    item: Value = UNKNOWN
    entries: tuple[tuple[str, Value], ...] = ()
    is_empty: bool = False
    """True of ``{}``."""


EMPTY = Mapping(is_empty=True)


@dataclass(frozen=True, slots=True)
class Hop(Value):
    """A function that is run in a thread when it is called and awaited: ``sync_to_async(func)``."""

    function: Value


@dataclass(frozen=True, slots=True)
class Unhop(Value):
    """A coroutine function that is run on an event loop when it is called: ``async_to_sync(func)``."""

    function: Value


@dataclass(frozen=True, slots=True)
class Partial(Value):
    """``functools.partial`` of a function."""

    function: Value
    positional: tuple[Value, ...] = ()
    named: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True, slots=True)
class Choice(Value):
    """One of several functions, classes, managers or querysets: ``Book if request else Author``."""

    values: tuple[Value, ...]


_MOST: Final = 8
"""Values of which a choice may be; of more nothing is known."""


def join(one: Value, other: Value) -> Value:
    """Return what is known where either may be: of an optional value the value, of two rows what either has."""
    if other in {one, NONE}:
        return one
    if one == NONE:
        return other
    if isinstance(one, Row) and isinstance(other, Row) and one.model == other.model:
        via = one.via if one.via == other.via else ""
        return Row(one.model, one.loaded.united(other.loaded), one.origin if one.via == other.via else None, via)
    if isinstance(one, Rows) and isinstance(other, Rows) and one.model == other.model:
        return one if one.is_lazy is not True else other
    if _are_of_one_model(one, other):
        return UNKNOWN
    if isinstance(one, Items) and isinstance(other, Items):
        return _collected(one, other)
    if isinstance(one, Mapping) and isinstance(other, Mapping) and EMPTY in {one, other}:
        return one if other == EMPTY else other
    if isinstance(one, Mapping) and isinstance(other, Mapping) and not (one.entries or other.entries):
        return Mapping(join(one.item, other.item))
    return _choice(one, other)


def _collected(one: Items, other: Items) -> Items:
    if one.is_empty or other.is_empty:
        return other if one.is_empty else one
    return Items(join(one.any, other.any))


def any_of(values: Iterable[Value]) -> Value:
    """Return what is known where any of several values may be."""
    nothing: Value = NONE
    return reduce(join, values, nothing)


def _choice(one: Value, other: Value) -> Value:
    values = list(_alternatives(one))
    for value in _alternatives(other):
        alike = next((index for index, each in enumerate(values) if _are_of_one_model(each, value)), None)
        if alike is not None:
            values[alike] = join(values[alike], value)
        elif value not in values:
            values.append(value)
    return Choice(tuple(values)) if 1 < len(values) <= _MOST and all(map(_can_be_chosen, values)) else UNKNOWN


def _alternatives(value: Value) -> tuple[Value, ...]:
    return value.values if isinstance(value, Choice) else (value,)


def _are_of_one_model(one: Value, other: Value) -> bool:
    return isinstance(one, Rows | Manager) and isinstance(other, Rows | Manager) and one.model == other.model


def _can_be_chosen(value: Value) -> bool:
    """Return True for a value that is called, queried or asked for attributes; others have a state that may differ."""
    if isinstance(value, Object):
        return not isinstance(value.of, str) and not value.arguments
    return isinstance(value, Callable | ClassValue | Manager | Rows | Method | Partial | Hop | Unhop | Guarded)
