"""Classes that ``collections.namedtuple`` makes, and their instances."""

from __future__ import annotations

from dataclasses import dataclass

from daf_orm.static.inference.values import UNKNOWN, Constant, Items, Object, Value


@dataclass(frozen=True, slots=True)
class TupleMaker(Value):
    """A class that ``collections.namedtuple`` has made."""

    fields: tuple[str, ...]

    @classmethod
    def of(cls, arguments: tuple[Value, ...]) -> Value:
        """Return the class with the fields that are written as the second argument; unknown if they are not."""
        given = arguments[0] if arguments else UNKNOWN
        if isinstance(given, Constant) and isinstance(given.value, str):
            return cls(tuple(given.value.replace(",", " ").split()))
        each = given.each if isinstance(given, Items) else None
        names = tuple(str(name.value) for name in each or () if isinstance(name, Constant))
        return cls(names) if names and each is not None and len(names) == len(each) else UNKNOWN

    def make(self, positional: tuple[Value, ...], named: dict[str, Value]) -> Value:
        """Return an instance."""
        given = dict(zip(self.fields, positional, strict=False)) | named
        return Object("collections.namedtuple", tuple((f".{name}", value) for name, value in given.items()))
