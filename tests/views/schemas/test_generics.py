"""Generic types and aliases in the annotations of handlers mean the types that they stand for, or are refused."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import attrs
import msgspec
import pydantic
import pytest
from django import forms
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.test import AsyncRequestFactory
from typing_extensions import TypeAliasType, TypedDict

from daf_views import AsyncAPIView
from daf_views.schemas.generics import unaliased

pytestmark = pytest.mark.no_database

T = TypeVar("T")
U = TypeVar("U")
SECRET = "hunter2"


class Public(msgspec.Struct):
    id: int


class Private(Public):
    secret: str = SECRET


Bounded = TypeVar("Bounded", bound=Public)


class StructOf(msgspec.Struct, Generic[T]):
    item: T


class ModelOf(pydantic.BaseModel, Generic[T]):
    item: T


@dataclasses.dataclass
class DataclassOf(Generic[T]):
    item: T


class DictOf(TypedDict, Generic[T]):
    item: T


@attrs.define
class AttrsOf(Generic[T]):
    item: T


class NamedOf(NamedTuple, Generic[T]):
    item: T


class ListsOf(msgspec.Struct, Generic[T]):
    items: list[T]


class Derived(StructOf[T], Generic[T]):
    more: int = 0


class Settled(StructOf[Public]):
    more: int = 0


class WithOpenField(msgspec.Struct):
    page: StructOf


class OfBounded(msgspec.Struct, Generic[Bounded]):
    item: Bounded


@dataclasses.dataclass(frozen=True)
class Hashable:
    id: int


Alias = TypeAliasType("Alias", Public)
AliasOfList = TypeAliasType("AliasOfList", list[Public])
AliasOfAlias = TypeAliasType("AliasOfAlias", Alias | None)
ListOf = TypeAliasType("ListOf", list[T], type_params=(T,))
PairOf = TypeAliasType("PairOf", tuple[T, U], type_params=(T, U))
Json = TypeAliasType("Json", dict[str, "Json"] | list["Json"] | str | None)


def view_that_returns(kind: Any, value: Any = None) -> type[AsyncAPIView]:
    async def get(self: Any, request: Any) -> Any:
        return value

    get.__annotations__ = {"return": kind}
    return type("View", (AsyncAPIView,), {"get": get})


def view_that_takes(kind: Any) -> type[AsyncAPIView]:
    async def post(self: Any, request: Any, body: Any) -> None:
        pass

    post.__annotations__ = {"body": kind, "return": None}
    return type("View", (AsyncAPIView,), {"post": post})


OPEN = [
    *(StructOf, ModelOf, DataclassOf, DictOf, AttrsOf, NamedOf, ListsOf, Derived, WithOpenField),
    *(list[StructOf], StructOf | None, dict[str, ListsOf], StructOf[StructOf], Annotated[StructOf, "metadata"]),
    *(tuple[int, StructOf], Sequence[DictOf], Mapping[str, DataclassOf], TypeAliasType("Unclear", StructOf)),
]


@pytest.mark.parametrize("kind", OPEN, ids=repr)
def test_a_type_with_a_variable_that_has_no_type_is_refused_when_the_class_is_made(kind):
    with pytest.raises(TypeError, match="the type variable T, which has no type"):
        view_that_returns(kind)
    with pytest.raises(TypeError, match=r"post\(\): 'body': .* the type variable T, which has no type"):
        view_that_takes(kind)


CLOSED = [
    *(StructOf[Public], DataclassOf[Public], DictOf[Public], AttrsOf[Public], Derived[Public], Settled),
    *(StructOf[Alias], OfBounded, OfBounded[Public]),
]


@pytest.mark.parametrize("kind", CLOSED, ids=repr)
async def test_a_type_with_a_type_for_each_variable_shows_its_fields_alone(kind):
    view = view_that_returns(kind, {"item": Private(1)})

    response = await view.as_view()(AsyncRequestFactory().get("/"))

    assert msgspec.json.decode(response.content)["item"] == {"id": 1}


ALIASES = [
    (Alias, Private(1)),
    (AliasOfAlias, Private(1)),
    (AliasOfList, [Private(1)]),
    (list[Alias], [Private(1)]),
    (ListOf[Public], [Private(1)]),
    (ListOf[Alias], [Private(1)]),
    (PairOf[Alias, ListOf[Public]], (Private(1), [Private(2)])),
    (dict[str, Alias], {"a": Private(1)}),
    (Annotated[Alias, "metadata"], Private(1)),
    (Alias | None, Private(1)),
    (collections.abc.Sequence[Alias], [Private(1)]),
]


@pytest.mark.parametrize(("kind", "value"), ALIASES, ids=repr)
async def test_an_alias_is_what_it_stands_for(kind, value):
    response = await view_that_returns(kind, value).as_view()(AsyncRequestFactory().get("/"))

    assert response.status_code == 200
    assert b'"id":1' in response.content
    assert SECRET.encode() not in response.content


def test_an_alias_of_a_type_with_fields_is_a_body_under_any_name():
    async def post(self: Any, request: Any, order: Any) -> None:
        pass

    post.__annotations__ = {"order": Alias, "return": None}
    view = type("View", (AsyncAPIView,), {"post": post})

    assert view.handler_signatures["post"].body.name == "order"


def test_an_alias_that_refers_to_itself_stays_there():
    assert unaliased(Json) == Json.__value__
    assert unaliased(list[Json]) == list[Json.__value__]


class Orders(forms.Form):
    pass


ROWS = [User, list[User], QuerySet, QuerySet[User], User | None, dict[str, User], Orders, tuple[int, Orders]]


@pytest.mark.parametrize("kind", ROWS, ids=repr)
def test_a_model_queryset_or_form_is_refused_as_a_type_and_the_message_says_why(kind):
    message = r"is a (model|queryset|form) of Django, which does not say which fields clients send and see: name a type"
    with pytest.raises(TypeError, match=rf"get\(\) returns .*{message}"):
        view_that_returns(kind)
    with pytest.raises(TypeError, match=rf"post\(\): 'body': .*{message}"):
        view_that_takes(kind)


SETS = [set[Public], frozenset[Public], AbstractSet[DictOf[int]], set[list[int]], list[set[AttrsOf[int]]]]


@pytest.mark.parametrize("kind", SETS, ids=repr)
def test_an_output_that_is_a_set_of_what_has_no_hash_is_refused(kind):
    with pytest.raises(TypeError, match=r"a set cannot hold .*, which has no hash: write list"):
        view_that_returns(kind)


async def test_a_set_of_what_has_a_hash_is_shown():
    view = view_that_returns(set[Hashable], [Hashable(1), Hashable(1)])

    response = await view.as_view()(AsyncRequestFactory().get("/"))

    assert response.content == b'[{"id":1}]'


@pytest.mark.parametrize("kind", [collections.deque[ModelOf[int]], list[ModelOf[int]]], ids=repr)
async def test_a_deque_is_a_list(kind):
    view = view_that_returns(kind, collections.deque([{"item": 1, "secret": SECRET}]))

    response = await view.as_view()(AsyncRequestFactory().get("/"))

    assert response.content == b'[{"item":1}]'
