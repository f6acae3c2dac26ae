"""Readers made from msgspec's knowledge of a type (``msgspec.inspect``): they show nothing without a field in it.

msgspec encodes an instance of a subclass with all of the subclass's fields, at any depth. So values
are read by the promised type, at every depth, before msgspec makes them values of it. A type of which no reader
can be made is refused when the view's class is made.
"""

from __future__ import annotations

from typing import Any, get_origin

from daf_views.schemas.readers import (
    ArrayObjectReader,
    Choice,
    ListReader,
    ObjectReader,
    Part,
    Reader,
    TupleReader,
    Values,
)

_ATOMIC = frozenset(
    "AnyType BoolType ByteArrayType BytesType DateTimeType DateType DecimalType EnumType ExtType FloatType IntType "
    "LiteralType MemoryViewType NoneType RawType StrType TimeDeltaType TimeType UUIDType".split()
)
"""Types that hold nothing else. ``Any`` promises nothing, and shows everything."""
_HARMLESS = (str, bytes, int, float, type(None))
_EMPTY = (list, dict, set, tuple, frozenset)


class Outputs:
    """The reader of one type. Raises TypeError, with the reason, for a type of which there can be none.

    ``looks_twice``: msgspec may put things into a value that no reader has read: defaults that are instances, and the
    results of a ``__post_init__``.
    """

    def __init__(self, info: Any, *, no_default: object) -> None:
        self.looks_twice = False
        self._no_default = no_default
        self._known: dict[int, ObjectReader] = {}
        self.read = self._reader_of(info)

    def _reader_of(self, info: Any) -> Reader | None:
        name = type(info).__name__
        if name == "Metadata":
            return self._reader_of(info.type)
        if name in _ATOMIC:
            return None
        if (make := _MAKERS.get(name)) is None:
            raise TypeError(f"the output of {_named(info)} cannot be told from its annotation")
        reader: Reader | None = getattr(self, make)(info)
        return reader

    def _record(self, info: Any) -> Reader:
        if (known := self._known.get(id(info))) is not None:  # it refers to itself
            return known
        cls = get_origin(info.cls) or info.cls
        is_array = type(info).__name__ == "NamedTupleType" or getattr(info, "array_like", False)
        tag = (info.tag_field or "", info.tag) if getattr(info, "tag", None) is not None else None
        # msgspec encodes what an instance of attrs has, declared or not.
        made = (ArrayObjectReader if is_array else ObjectReader)(
            cls, tag=tag, keeps_exact=not hasattr(cls, "__attrs_attrs__")
        )
        self._known[id(info)] = made
        made.find([self._part(each) for each in info.fields])
        if hasattr(cls, "__post_init__") and any(each.reader is not None for each in made.parts):
            self.looks_twice = True
        return made

    def _part(self, field: Any) -> Part:
        reader = self._reader_of(field.type)
        if reader is not None and not self._is_harmless(field):
            self.looks_twice = True
        has_default = field.default is not self._no_default or field.default_factory is not self._no_default
        return Part(field.name, field.encode_name, reader, may_be_unset=not (field.required or has_default))

    def _is_harmless(self, field: Any) -> bool:
        """Return True if a default of the field can hold nothing that its type has no field for."""
        return isinstance(field.default, _HARMLESS) or (
            field.default is self._no_default and (field.default_factory in (self._no_default, *_EMPTY))
        )

    def _items(self, info: Any) -> Reader:
        return ListReader(self._reader_of(info.item_type))

    def _places(self, info: Any) -> Reader:
        return TupleReader([self._reader_of(each) for each in info.item_types])

    def _values(self, info: Any) -> Reader:
        if self._reader_of(info.key_type) is not None:
            raise TypeError(f"keys of a dict cannot be {_named(info.key_type)}")
        return Values(self._reader_of(info.value_type))

    def _choice(self, info: Any) -> Reader | None:
        readers = [reader for each in info.types if (reader := self._reader_of(each)) is not None]
        return Choice(readers) if len(readers) > 1 else readers[0] if readers else None


_MAKERS = {
    "StructType": "_record",
    "DataclassType": "_record",
    "TypedDictType": "_record",
    "NamedTupleType": "_record",
    "ListType": "_items",
    "SetType": "_items",
    "FrozenSetType": "_items",
    "CollectionType": "_items",
    "VarTupleType": "_items",
    "TupleType": "_places",
    "DictType": "_values",
    "FrozenDictType": "_values",
    "UnionType": "_choice",
}


def _named(info: Any) -> str:
    return repr(getattr(info, "cls", info))
