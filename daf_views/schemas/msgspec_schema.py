"""Types that msgspec checks: its Structs, dataclasses, TypedDicts, and Python's own types.

msgspec stops at the first mistake, and does not look further. So a value that it refuses is loaded a second time,
field by field: a client should learn of all its mistakes from one response. Each part is looked at once, and no more
than ``BUDGET`` of them, because a client's data may be large, and wrong at its very end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, get_args, get_origin

import msgspec
from django.core.files.uploadedfile import UploadedFile

from daf_views.schemas.annotations import Field, bare, is_list, is_set, is_truth, is_typed_dict, item_of, plain_fields
from daf_views.schemas.moments import refuse_inexpressible, seeker_of
from daf_views.schemas.msgspec_outputs import Outputs
from daf_views.schemas.violations import MOST, SchemaError, Violation, too_deep

if TYPE_CHECKING:
    from daf_views.schemas.readers import Reader

REF = "#/components/schemas/{name}"
BUDGET = 10_000
NOT_HASHABLE = "This cannot be in a set."
_DEPTH = 100
_LOOKED_OVER = 8
"""Steps from the whole as far as which a part is checked as one before its own parts are: most are right."""
_NO_FLOATS = frozenset({str, int, bool, type(None)})
_AT = " - at `"
_MISSING = "Object missing required field `"
_UNKNOWN = "Object contains unknown field `"
_LONGEST = 300
"""Characters of a message that are told: msgspec repeats what the client sent."""
_NOT_FINITE = re.compile(r"\s*[+-]?(s?nan\d*|inf(inity)?)\s*", re.IGNORECASE)
_REFUSED = (msgspec.ValidationError, TypeError)  # the latter for what cannot be in a set


def schema_of(kind: Any) -> MsgspecSchema:
    """Return it. Raises TypeError, with msgspec's reason, if it does not know the type."""
    try:
        msgspec.json.schema(kind, schema_hook=_hook)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise TypeError(f"msgspec: {str(error) or 'it knows no such type'}") from error
    return MsgspecSchema(kind)


def attributes_of(kind: Any) -> list[tuple[str, str, Any]] | None:
    """Return, for each field of a type, the attribute, the name that it is built with, and its type."""
    fields = _fields(kind)
    return None if fields is None else [(field.attribute, field.name, field.kind) for field in fields]


class MsgspecSchema:
    """A type that msgspec checks: see :class:`~daf_views.schemas.registry.Schema`."""

    __slots__ = ("_has_decimals", "_is_plain", "_outputs", "_seeker", "kind")

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self._outputs: Outputs | None = None
        self._is_plain = isinstance(kind, type) and get_origin(kind) is None and not is_typed_dict(kind)
        self._seeker = seeker_of(kind, _fields)
        self._has_decimals = _mentions(kind, Decimal, set())

    @property
    def reader(self) -> Reader | None:
        """The reader of values that are shown, once it has been made."""
        return None if self._outputs is None else self._outputs.read

    def load(self, value: Any, *, is_text: bool = False) -> Any:
        """Return the value as one of the type."""
        try:
            return self._loaded(value, is_text=is_text)
        except _REFUSED:
            return self._load_closely(value if is_text else _with_integers(value), is_text=is_text)
        except RecursionError:
            raise too_deep() from None

    def _load_closely(self, value: Any, *, is_text: bool) -> Any:
        """Load a value that has been refused once: read more closely, or with all its mistakes."""
        try:
            return self._loaded(value, is_text=is_text)
        except _REFUSED as error:
            raise SchemaError(_Look(is_text=is_text).mistakes(value, self.kind) or [_violation(error)]) from None
        except RecursionError:
            raise too_deep() from None

    def _loaded(self, value: Any, *, is_text: bool) -> Any:
        loaded = msgspec.convert(value, self.kind, strict=not is_text, str_keys=True)
        if self._has_decimals and (wrong := _Look(is_text=is_text).not_finite(value, self.kind)):
            raise SchemaError(wrong)
        if self._seeker is not None:
            refuse_inexpressible(loaded, self._seeker)
        return loaded

    def prepare_output(self) -> None:
        """Make the reader of values that are shown. Raises TypeError if that is impossible."""
        self._outputs = Outputs(msgspec.inspect.type_info(self.kind), no_default=msgspec.NODEFAULT)

    def shape(self, value: Any, *, is_checked: bool) -> Any:
        """Return a handler's return value as one of the type."""
        if self._outputs is None:
            self.prepare_output()
        outputs = self._outputs
        assert outputs is not None
        try:
            data = value if outputs.read is None else outputs.read(value)
            if is_checked and self._is_plain and type(data) is self.kind:
                msgspec.convert(msgspec.to_builtins(data, str_keys=True), self.kind, str_keys=True)
            shaped = msgspec.convert(data, self.kind)
        except msgspec.ValidationError as error:
            raise SchemaError([_violation(error)]) from None
        return outputs.read(shaped) if outputs.looks_twice and outputs.read is not None else shaped

    def dump(self, value: Any) -> bytes:
        """Return it as JSON."""
        return msgspec.json.encode(value)

    def plain(self, value: Any) -> Any:
        """Return it as dicts, lists, texts and numbers."""
        return msgspec.to_builtins(value, str_keys=True)

    def fields(self) -> Mapping[str, Any] | None:
        """Return the types of its fields."""
        return {field.name: field.kind for field in fields} if (fields := _fields(self.kind)) is not None else None

    def takes_unknown(self) -> bool:
        """Return True for a Struct that forbids unknown fields."""
        return _forbids_unknown(self.kind)

    def unchecked(self) -> list[frozenset[str]]:
        """Return the names of each truth value without a default."""
        return [frozenset([each.name]) for each in _fields(self.kind) or () if is_truth(each.kind) and each.is_required]

    def json_schema(self, *, is_output: bool) -> tuple[dict[str, Any], dict[str, Any]]:  # noqa: ARG002 - the same
        """Return its JSON Schema."""
        [schema], components = msgspec.json.schema_components([self.kind], schema_hook=_hook, ref_template=REF)
        return schema, components


def _hook(kind: type) -> dict[str, Any]:
    if issubclass(kind, UploadedFile):
        return {"type": "string", "format": "binary"}
    raise NotImplementedError


def _with_integers(value: Any, depth: int = 0) -> Any:
    """Return the value with 1 for 1.0: to JSON Schema, and so to our documents, that is an integer (§6.1.1).

    Values nested deeper than any type are left alone: clients may nest as deep as they like.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if depth < _DEPTH and isinstance(value, list):
        return [each if type(each) in _NO_FLOATS else _with_integers(each, depth + 1) for each in value]
    if depth < _DEPTH and isinstance(value, dict):
        return {
            name: each if type(each) in _NO_FLOATS else _with_integers(each, depth + 1) for name, each in value.items()
        }
    return value


class _Look:
    """A look at the parts of a value."""

    def __init__(self, *, is_text: bool) -> None:
        self._is_text = is_text
        self._left = BUDGET
        self._found: list[Violation] = []

    def mistakes(self, value: Any, kind: Any) -> list[Violation]:
        """Return the mistakes in its parts; none if only the whole is wrong, or it cannot be taken apart."""
        try:
            self._look(value, kind, ())
        except RecursionError:
            return []
        return self._found

    def not_finite(self, value: Any, kind: Any) -> list[Violation]:
        """Return the decimals that are spelt NaN or Infinity, which fail in comparisons."""
        self._seek(value, kind, ())
        return self._found

    def _seek(self, value: Any, kind: Any, place: tuple[str | int, ...]) -> None:
        if self._is_over():
            return
        if bare(kind) is Decimal and isinstance(value, str) and _NOT_FINITE.fullmatch(value):
            self._found.append(Violation(place, "Expected a finite number."))
        for name, part, part_kind in _parts(value, kind):
            self._seek(part, part_kind, (*place, name))

    def _look(self, value: Any, kind: Any, place: tuple[str | int, ...]) -> None:
        if self._is_over() or (0 < len(place) <= _LOOKED_OVER and self._is_right(value, kind)):
            return
        parts, fields, before = _parts(value, kind), _fields_in(value, kind), len(self._found)
        for name, part, part_kind in parts:
            self._look(part, part_kind, (*place, name))
        for field in fields or ():
            if field.is_required and field.name not in value:
                self._found.append(Violation((*place, field.name), "This field is required.", "required"))
        if fields is not None and _forbids_unknown(kind):
            names = {field.name for field in fields}
            for name in islice((each for each in value if each not in names), MOST):
                self._found.append(Violation((*place, name), "There is no such field.", "unknown"))
        # A whole is not looked at beside its parts, but a set, of which those must be that it can hold.
        if fields is None and (not parts or (is_set(kind) and len(self._found) == before)):
            self._convert(value, kind, place)

    def _is_right(self, value: Any, kind: Any) -> bool:
        try:
            msgspec.convert(value, _convertible(kind), strict=not self._is_text, str_keys=True)
        except _REFUSED:
            return False
        return True

    def _convert(self, value: Any, kind: Any, place: tuple[str | int, ...]) -> None:
        try:
            msgspec.convert(value, _convertible(kind), strict=not self._is_text, str_keys=True)
        except _REFUSED as error:
            self._found += self._unhashable(value, kind, place) or [_violation(error, place)]

    def _unhashable(self, value: Any, kind: Any, place: tuple[str | int, ...]) -> list[Violation]:
        """Return the items that a set cannot hold: msgspec names the first of them, and before 0.23 none."""
        if not (is_set(kind) and isinstance(value, list)):
            return []
        item = item_of(kind) or Any
        wrong = (index for index, part in enumerate(value[:BUDGET]) if not self._is_hashable(part, item))
        return [Violation((*place, index), NOT_HASHABLE) for index in islice(wrong, MOST)]

    def _is_hashable(self, part: Any, kind: Any) -> bool:
        try:
            hash(msgspec.convert(part, kind, strict=not self._is_text, str_keys=True))
        except TypeError:
            return False
        except msgspec.ValidationError:  # wrong, but not for this reason
            pass
        return True

    def _is_over(self) -> bool:
        self._left -= 1
        return self._left < 0 or len(self._found) >= MOST


def _parts(value: Any, kind: Any) -> list[tuple[str | int, Any, Any]]:
    if (fields := _fields_in(value, kind)) is not None:
        return [(field.name, value[field.name], field.kind) for field in fields if field.name in value]
    kind = bare(kind)
    if isinstance(value, dict) and get_origin(kind) in {dict, Mapping} and get_args(kind)[:1] == (str,):
        return [(name, part, get_args(kind)[1]) for name, part in islice(value.items(), BUDGET)]
    if isinstance(value, list) and is_list(kind) and (item := item_of(kind)) is not None:
        return [(index, part, item) for index, part in enumerate(value[:BUDGET])]
    return []


def _fields_in(value: Any, kind: Any) -> tuple[Field, ...] | None:
    return _fields(kind) if isinstance(value, dict) else None


def _fields(kind: Any) -> tuple[Field, ...] | None:
    """Return the fields that a type has in JSON's objects, or None if it has none."""
    kind = bare(kind)
    try:
        return _struct_fields(kind) or plain_fields(kind)
    except TypeError:  # a type that cannot be hashed has none
        return None


@lru_cache(maxsize=1024)
def _struct_fields(kind: Any) -> tuple[Field, ...] | None:
    cls: Any = get_origin(kind) or kind
    if not (isinstance(cls, type) and issubclass(cls, msgspec.Struct)) or cls.__struct_config__.array_like:
        return None
    return tuple(Field(each.name, each.encode_name, each.type, each.required) for each in msgspec.structs.fields(kind))


def _forbids_unknown(kind: Any) -> bool:
    kind = bare(kind)
    config = getattr(get_origin(kind) or kind, "__struct_config__", None)
    return config is not None and config.forbid_unknown_fields and config.tag is None


def _convertible(kind: Any) -> Any:
    """Return the type, where it is one of a TypedDict's that need not be there, without that."""
    return get_args(kind)[0] if str(get_origin(kind)).endswith("Required") else kind


def _mentions(kind: Any, wanted: type, seen: set[int]) -> bool:
    if id(kind) in seen:
        return False
    seen.add(id(kind))
    kind = bare(kind)
    within = [*get_args(kind), *(field.kind for field in _fields(kind) or ())]
    return kind is wanted or any(_mentions(each, wanted, seen) for each in within)


def _violation(error: Exception, place: tuple[str | int, ...] = ()) -> Violation:
    """Read msgspec's message, which holds text of the client: only its two ends are matched with patterns."""
    if not isinstance(error, msgspec.ValidationError):
        return Violation(place, NOT_HASHABLE)
    text = str(error)
    message, at, path = text.rpartition(_AT)
    steps = path[:-1].removeprefix("key in ")
    if at and path.endswith("`") and steps.startswith("$") and "`" not in steps:
        text, place = message, (*place, *_steps(steps))
    for start, detail, code in _ABOUT_NAMES:
        if text.startswith(start) and text.endswith("`"):
            return Violation((*place, text[len(start) : -1]), detail, code)
    return Violation(place, text[:_LONGEST].replace("`", "").rstrip(".") + ".")


_ABOUT_NAMES = (
    (_MISSING, "This field is required.", "required"),
    (_UNKNOWN, "There is no such field.", "unknown"),
)


def _steps(path: str) -> list[str | int]:
    """Return the steps of a path by msgspec, such as ``.lines[0].quantity``; ``[...]`` is any key of a dict."""
    return [name or int(index) for name, index in re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", path)]
