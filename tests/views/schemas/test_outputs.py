"""The output of a typed handler has only fields of the annotated type, at any depth, for any return value."""

import collections
import dataclasses
import datetime as dt
import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Generic, NamedTuple, NewType, Optional, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import core_schema

from daf_views import AsyncAPIView
from daf_views.schemas import schema_of
from daf_views.schemas.pydantic_schema import _filters_named_tuples

SECRET = "hunter2"
numbers = itertools.count()


class StructPublic(msgspec.Struct):
    id: int


class StructPrivate(StructPublic):
    secret: str = SECRET


class ModelPublic(pydantic.BaseModel):
    id: int


class ModelPrivate(ModelPublic, extra="allow"):
    secret: str = SECRET

    @pydantic.computed_field
    def more(self) -> str:
        return SECRET


@dataclasses.dataclass
class DataclassPublic:
    id: int


@dataclasses.dataclass
class DataclassPrivate(DataclassPublic):
    secret: str = SECRET


@attrs.define(slots=False)
class AttrsPublic:
    id: int


@attrs.define(slots=False)
class AttrsPrivate(AttrsPublic):
    secret: str = SECRET


class TypedDictPublic(TypedDict):
    id: int


KINDS = {
    "msgspec": (StructPublic, lambda: StructPrivate(id=1)),
    "pydantic": (ModelPublic, lambda: ModelPrivate(id=1, extra=SECRET)),
    "dataclass": (DataclassPublic, lambda: DataclassPrivate(id=1)),
    "attrs": (AttrsPublic, lambda: AttrsPrivate(id=1)),
    "TypedDict": (TypedDictPublic, lambda: {"id": 1, "secret": SECRET}),
}
MAKERS = {
    "msgspec": lambda fields: msgspec.defstruct(f"Made{next(numbers)}", fields),
    "pydantic": lambda fields: pydantic.create_model(f"Made{next(numbers)}", **{n: (k, ...) for n, k in fields}),
    "dataclass": lambda fields: dataclasses.make_dataclass(f"Made{next(numbers)}", fields),
    "attrs": lambda fields: _attrs_class(fields),
    "TypedDict": lambda fields: TypedDict(f"Made{next(numbers)}", dict(fields)),
}


def _attrs_class(fields):
    made = attrs.make_class(f"Made{next(numbers)}", [name for name, _ in fields])
    made.__annotations__ = dict(fields)
    return made


def shown(kind, value, *, is_checked=False):
    schema = schema_of(kind)
    schema.prepare_output()
    return schema.dump(schema.shape(value, is_checked=is_checked)).decode()


def promises(library):
    """Types, and values of them that hold secrets which those types have no field for."""
    public, private = KINDS[library]
    is_pydantic = library == "pydantic"

    def grown(inner):
        named = st.lists(inner, min_size=1, max_size=3)
        ways = [
            inner.map(lambda each: (list[each[0]], [each[1]])),
            inner.map(lambda each: (tuple[each[0], ...], (each[1],))),
            named.map(lambda many: (tuple[tuple(kind for kind, _ in many)], tuple(value for _, value in many))),
            inner.map(lambda each: (dict[str, each[0]], {"a": each[1]})),
            inner.map(lambda each: (Mapping[str, each[0]], {"a": each[1]})),
            inner.map(lambda each: (Sequence[each[0]], [each[1]])),
            inner.map(lambda each: (Optional[each[0]], each[1])),  # noqa: UP045 - of types without `|`
            inner.map(lambda each: (Annotated[each[0], "a note"], each[1])),
            named.map(lambda many: _as_record(MAKERS[library], many)),
        ]
        if not is_pydantic or _filters_named_tuples():
            ways.append(named.map(_as_named_tuple))
        if not is_pydantic:
            ways.append(named.map(_as_array))
        return st.one_of(ways)

    return st.recursive(st.just((public, private())), grown, max_leaves=6)


def _as_named_tuple(many):
    made = NamedTuple(f"Made{next(numbers)}", [(f"field{n}", kind) for n, (kind, _) in enumerate(many)])
    return made, made(*(value for _, value in many))


def _as_array(many):
    fields = [(f"field{n}", kind) for n, (kind, _) in enumerate(many)]
    made = msgspec.defstruct(f"Made{next(numbers)}", fields, array_like=True)
    return made, made(*(value for _, value in many))


def _as_record(make, many):
    made = make([(f"field{n}", kind) for n, (kind, _) in enumerate(many)])
    return made, made(**{f"field{n}": value for n, (_, value) in enumerate(many)})


@pytest.mark.parametrize("library", KINDS)
@settings(max_examples=25)
@given(data=st.data())
def test_no_type_shows_what_it_has_no_field_for(library, data):
    kind, value = data.draw(promises(library))
    answer = shown(kind, value)
    assert SECRET not in answer
    assert '"id":1' in answer


class Cat(msgspec.Struct, tag="cat"):
    owner: StructPublic


class Dog(msgspec.Struct, tag="dog"):
    owner: StructPublic


class DarkCat(Cat, tag="dark"):
    secret: str = SECRET


class ArrayCat(msgspec.Struct, tag="cat", array_like=True):
    owner: StructPublic


class ArrayDog(msgspec.Struct, tag="dog", array_like=True):
    owner: StructPublic


UNIONS = [
    (StructPublic | list[StructPublic], lambda: [StructPrivate(id=1)]),
    (StructPublic | list[StructPublic], lambda: StructPrivate(id=1)),
    (StructPublic | int | str, lambda: StructPrivate(id=1)),
    (dict[str, StructPublic] | list[StructPublic], lambda: {"a": StructPrivate(id=1)}),
    (list[StructPublic | None] | None, lambda: [StructPrivate(id=1), None]),
    (dict[str, StructPublic | tuple[StructPublic, int]], lambda: {"a": (StructPrivate(id=1), 1)}),
    (Cat | Dog, lambda: DarkCat(owner=StructPrivate(id=1))),
    (Cat | Dog, lambda: {"type": "dog", "owner": StructPrivate(id=1), "secret": SECRET}),
    (list[Cat | Dog], lambda: [Dog(owner=StructPrivate(id=1))]),
    (ArrayCat | ArrayDog, lambda: ArrayDog(owner=StructPrivate(id=1))),
    (ArrayCat | ArrayDog, lambda: ["dog", StructPrivate(id=1)]),
    (Annotated[Cat | Dog, msgspec.Meta(description="A pet.")] | None, lambda: Dog(owner=StructPrivate(id=1))),
    (ModelPublic | list[ModelPublic], lambda: [ModelPrivate(id=1)]),
    (ModelPublic | int, lambda: ModelPrivate(id=1)),
    (list[ModelPublic] | dict[str, ModelPublic], lambda: {"a": ModelPrivate(id=1)}),
    (DataclassPublic | tuple[DataclassPublic, int], lambda: (DataclassPrivate(id=1), 1)),
]


@pytest.mark.parametrize(("kind", "value"), UNIONS, ids=lambda each: "" if callable(each) else str(each))
def test_a_union_shows_what_its_member_has_fields_for(kind, value):
    answer = shown(kind, value())
    assert SECRET not in answer
    assert '"id":1' in answer


def test_an_instance_is_read_by_its_nearest_class_in_a_union():
    class Detailed(ModelPublic):
        detail: str

    class MoreDetailed(Detailed):
        secret: str = SECRET

    assert shown(ModelPublic | Detailed, MoreDetailed(id=1, detail="x")) == '{"id":1,"detail":"x"}'


def test_a_date_in_a_union_with_fields_is_a_date():
    class Empty(msgspec.Struct):
        name: str = ""

    assert shown(Empty | dt.date, dt.date(2026, 1, 1)) == '"2026-01-01"'


def test_a_mapping_for_a_type_that_forbids_other_fields_loses_them():
    class Strict(msgspec.Struct, forbid_unknown_fields=True):
        id: int

    assert shown(Strict, {"id": 1, "secret": SECRET}) == '{"id":1}'


def test_a_default_that_is_an_instance_of_a_subclass_shows_what_the_field_promises():
    class Holder(msgspec.Struct, rename="camel"):
        the_one: StructPublic = msgspec.field(default_factory=lambda: StructPrivate(id=1))

    assert shown(Holder, {}) == '{"theOne":{"id":1}}'


def test_post_init_cannot_put_in_what_is_not_shown():
    class Holder(msgspec.Struct, tag=True):
        one: StructPublic

        def __post_init__(self):
            self.one = StructPrivate(id=2)

    assert shown(Holder, {"one": {"id": 1}}) == '{"type":"Holder","one":{"id":2}}'


def test_an_attribute_that_was_set_on_an_instance_is_not_shown():
    value = AttrsPublic(id=1)
    value.secret = SECRET
    assert shown(AttrsPublic, value) == '{"id":1}'


def test_an_unset_field_is_left_out():
    class Patch(msgspec.Struct):
        id: int | msgspec.UnsetType = msgspec.UNSET
        one: StructPublic | msgspec.UnsetType = msgspec.UNSET

    class PrivatePatch(Patch):
        secret: str = SECRET

    assert shown(Patch, PrivatePatch(id=1)) == '{"id":1}'


def test_a_type_that_refers_to_itself_is_filtered_all_the_way_down():
    assert SECRET not in shown(Tree, SecretTree([SecretTree([])]))


class Tree(msgspec.Struct):
    children: list["Tree"]


class SecretTree(Tree):
    secret: str = SECRET


T = TypeVar("T")
Bound = TypeVar("Bound", bound=ModelPublic)
BoundStruct = TypeVar("BoundStruct", bound=StructPublic)


class Box(msgspec.Struct, Generic[T]):
    item: T


class BoundBox(msgspec.Struct, Generic[BoundStruct]):
    item: BoundStruct


class ModelBox(pydantic.BaseModel, Generic[Bound]):
    item: Bound


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Box[StructPublic], Box(StructPrivate(id=1))),
        (Box[list[StructPublic]], Box([StructPrivate(id=1)])),
        (BoundBox, BoundBox(StructPrivate(id=1))),
        (NewType("Named", StructPublic), StructPrivate(id=1)),
        (ModelBox[ModelPublic], ModelBox(item=ModelPrivate(id=1))),
    ],
)
def test_a_generic_type_shows_what_its_argument_has_fields_for(kind, value):
    assert SECRET not in shown(kind, value)


# Refused types


class Plain:
    pass


class Arbitrary(pydantic.BaseModel, arbitrary_types_allowed=True):
    it: Plain


class InDeque(pydantic.BaseModel):
    them: collections.deque[ModelPublic]


@pytest.mark.parametrize(
    "kind",
    [
        pydantic.SerializeAsAny[ModelPublic],
        list[pydantic.SerializeAsAny[ModelPublic]],
        ModelBox,
        Arbitrary,
        dict[tuple[StructPublic, int], int],
        collections.deque[StructPublic],
        Box[ModelPublic],
    ],
    ids=str,
)
def test_a_type_that_may_show_more_is_refused_when_the_class_is_made(kind):
    async def get(self, request):
        return None

    get.__annotations__["return"] = kind
    with pytest.raises(TypeError, match=r"get\(\) returns"):
        type("View", (AsyncAPIView,), {"get": get, "__module__": __name__})


def test_polymorphic_serialization_is_refused():
    if "polymorphic_serialization" not in core_schema.CoreConfig.__annotations__:
        pytest.skip("this pydantic has no such option")

    class Shape(pydantic.BaseModel, polymorphic_serialization=True):
        id: int

    with pytest.raises(TypeError, match="polymorphic_serialization"):
        schema_of(Shape).prepare_output()


def test_a_named_tuple_is_filtered_or_refused():
    """The release of pydantic decides between the two."""
    schema = schema_of(Pair)
    if not _filters_named_tuples():
        with pytest.raises(TypeError, match="install a newer one"):
            schema.prepare_output()
    else:
        assert shown(Pair, Pair(ModelPrivate(id=1), 1)) == '[{"id":1},1]'
    assert shown(Holder, Holder(at=Point(1, 2))) == '{"at":[1,2]}'


class Pair(NamedTuple):
    first: ModelPublic
    second: int


class Point(NamedTuple):
    x: int
    y: int


class Holder(pydantic.BaseModel):
    at: Point


def test_such_a_type_may_still_be_a_body():
    class Take(AsyncAPIView):
        async def post(self, request, body: Arbitrary) -> None: ...

    assert Take.handler_signatures["post"].body is not None


def test_types_that_pydantic_spells_in_its_own_way_are_not_refused():
    assert SECRET not in shown(InDeque, InDeque(them=[ModelPrivate(id=1)]))


def test_a_value_put_into_a_model_after_its_validation_is_not_shown():
    class Holder(pydantic.BaseModel):
        one: ModelPublic

    value = Holder(one=ModelPublic(id=1))
    value.one = {"secret": SECRET}
    with pytest.raises(TypeError):
        shown(Holder, value)


def test_any_is_what_it_says():
    assert SECRET in shown(Any, {"secret": SECRET})
