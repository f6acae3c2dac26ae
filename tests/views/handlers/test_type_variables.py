"""Generic base views: the argument for a type variable is checked and shown, or the view is refused."""

import dataclasses
import sys
import textwrap
from typing import Annotated, Any, Generic

import msgspec
import pydantic
import pytest
from django.test import AsyncRequestFactory
from django.urls import path
from typing_extensions import TypeVar

from daf_views import AsyncAPIView
from daf_views.api import Query, Status
from daf_views.openapi.document import document

requests = AsyncRequestFactory()

SECRET = "pbkdf2$hash"


class UserOut(msgspec.Struct):
    id: int


class UserIn(msgspec.Struct):
    name: str


class UserModel(pydantic.BaseModel):
    id: int


class AdminModel(UserModel):
    password: str = SECRET


@dataclasses.dataclass
class UserData:
    id: int


T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 - for input
Bound = TypeVar("Bound", bound=UserModel)
OneOf = TypeVar("OneOf", UserOut, int)
Defaulted = TypeVar("Defaulted", default=UserOut)


class ListOf(AsyncAPIView, Generic[T, I]):
    enforces_csrf = False

    async def get(self, request) -> list[T]:
        return [{"id": 1, "password": SECRET}]

    async def post(self, request, body: I) -> Annotated[T, Status(201)]:
        return {"id": 1, "password": SECRET}


def types_of(view, method="get"):
    signature = view.handler_signatures[method]
    return [each.kind for each in signature.parameters], signature.returns


async def answer(view, method="GET", body=b""):
    request = requests.generic(method, "/", body, content_type="application/json" if body else "")
    return await view.as_view()(request)


@pytest.mark.parametrize("kind", [UserOut, UserModel, UserData])
async def test_output_is_filtered_by_what_the_subclass_gives(kind):
    class Users(ListOf[kind, UserIn]):
        pass

    assert (await answer(Users)).content == b'[{"id":1}]'
    created = await answer(Users, "POST", b'{"name": "ada"}')
    assert (created.status_code, created.content) == (201, b'{"id":1}')


@pytest.mark.parametrize("kind", [UserIn, pydantic.create_model("Model", name=(str, ...))])
async def test_input_is_checked_by_what_the_subclass_gives(kind):
    class Users(ListOf[UserOut, kind]):
        pass

    assert (await answer(Users, "POST", b'{"is_staff": true}')).status_code == 422


def test_several_levels():
    class OneGiven(ListOf[T, UserIn]):
        pass

    class Nested(OneGiven[list[T]], Generic[T]):
        pass

    class Users(Nested[UserOut]):
        pass

    class Admins(Users):
        pass

    assert types_of(Admins) == ([], list[list[UserOut]])
    assert types_of(Admins, "post")[0] == [UserIn]


def test_variables_that_swap_their_places():
    class Swapped(ListOf[I, T], Generic[T, I]):
        pass

    class Users(Swapped[UserIn, UserOut]):
        pass

    assert types_of(Users) == ([], list[UserOut])
    assert types_of(Users, "post")[0] == [UserIn]


def test_handlers_of_a_generic_mixin():
    class Lists(Generic[T]):
        async def get(self, request, limit: Annotated[int, Query()] = 1) -> dict[str, T] | None: ...

    class Users(Lists[UserOut], AsyncAPIView):
        pass

    assert types_of(Users)[1] == dict[str, UserOut] | None


def test_a_generic_type_with_the_variable_in_it():
    class Page(msgspec.Struct, Generic[T]):
        items: list[T]

    class Envelope(pydantic.BaseModel, Generic[T]):
        items: list[T]

    class Pages(AsyncAPIView, Generic[T, I]):
        async def get(self, request) -> Page[T]: ...
        async def put(self, request, body: Envelope[I]) -> None: ...

    class Users(Pages[UserOut, UserModel]):
        pass

    assert types_of(Users)[1] == Page[UserOut]
    assert types_of(Users, "put")[0] == [Envelope[UserModel]]


def test_a_handler_that_a_subclass_overrides_has_its_own_annotations():
    class Users(ListOf[UserOut, UserIn]):
        async def get(self, request) -> UserIn: ...

    assert types_of(Users)[1] is UserIn


class Bounded(AsyncAPIView, Generic[Bound]):
    async def get(self, request) -> Bound:
        return AdminModel(id=1)


async def test_a_bound_variable_is_what_the_subclass_gives():
    class Admins(Bounded[AdminModel]):
        pass

    assert SECRET in (await answer(Admins)).content.decode()


async def test_a_bound_variable_of_which_nothing_is_said_is_its_bound():
    class Users(Bounded):
        pass

    for view in (Users, Bounded):
        assert (await answer(view)).content == b'{"id":1}'


def test_a_default_of_which_nothing_is_said():
    class Defaults(AsyncAPIView, Generic[Defaulted]):
        async def get(self, request) -> list[Defaulted]: ...

    class Users(Defaults):
        pass

    class Numbers(Defaults[int]):
        pass

    assert [types_of(view)[1] for view in (Defaults, Users, Numbers)] == [list[UserOut], list[UserOut], list[int]]


def test_constraints_of_which_nothing_is_said():
    class Some(AsyncAPIView, Generic[OneOf]):
        async def get(self, request) -> OneOf: ...

    assert types_of(Some)[1] == UserOut | int


def test_a_generic_class_that_leaves_its_variable_open_is_no_view():
    with pytest.raises(TypeError, match=r"ListOf\.get\(\) has the type variable T, .*derive a class from ListOf"):
        ListOf.as_view()


def test_a_subclass_that_gives_nothing_is_refused_when_it_is_made():
    with pytest.raises(TypeError, match=r"Users\.get\(\) has the type variable T"):

        class Users(ListOf):
            pass


def test_a_variable_of_that_name_of_another_class_gives_nothing():
    with pytest.raises(TypeError, match="has the type variable T"):

        class Users(ListOf, Generic[T]):
            pass


def test_a_subclass_that_gives_a_part_stays_open():
    class Half(ListOf[T, UserIn]):
        pass

    with pytest.raises(TypeError, match=r"Half\.get\(\) has the type variable T"):
        Half.as_view()


def test_a_variable_of_a_handler_alone_is_refused():
    with pytest.raises(TypeError, match="has the type variable T"):

        class View(AsyncAPIView):
            async def get(self, request) -> T: ...


def test_a_name_that_is_not_known_yet_is_refused():
    with pytest.raises(TypeError, match="not known when the class is made"):

        class Users(ListOf["Later", UserIn]):
            pass


def test_a_name_that_is_known_is_found():
    class Users(ListOf["UserOut", list["UserIn"]]):
        pass

    assert types_of(Users, "post") == ([list[UserIn]], Annotated[UserOut, Status(201)])


def test_any_is_given_on_purpose():
    class Users(ListOf[Any, UserIn]):
        pass

    assert types_of(Users)[1] == list[Any]


PEP_695 = """
{future}
from typing import Annotated
from daf_views import AsyncAPIView
from tests.views.handlers.test_type_variables import UserIn, UserModel, UserOut

type Rows[R] = list[R]

class ListOf[T, I = UserIn](AsyncAPIView):
    async def get(self, request) -> list[T]: ...
    async def put(self, request) -> Rows[T]: ...
    async def post(self, request, body: I) -> T | None: ...

class Mid[T](ListOf[T, UserIn]): ...
class Users(Mid[UserOut]): ...
class Bounded[B: UserModel](AsyncAPIView):
    async def get(self, request) -> B: ...
class Named(Bounded): ...
"""


@pytest.mark.skipif(sys.version_info < (3, 13), reason="type parameters with defaults came with Python 3.13")
@pytest.mark.parametrize("future", ["", "from __future__ import annotations"])
def test_type_parameters(future):
    module = {"__name__": __name__}
    exec(textwrap.dedent(PEP_695).format(future=future), module)
    users = module["Users"]
    assert types_of(users)[1] == list[UserOut]
    assert types_of(users, "post") == ([UserIn], UserOut | None)
    assert users.handler_signatures["put"].answer.fields() is None
    assert types_of(module["Named"])[1] is UserModel
    with pytest.raises(TypeError, match="has the type variable T"):
        module["ListOf"].as_view()


def test_the_document_names_the_type(urlpatterns_of_the_module):
    assert "UserOut" in str(document()["components"]["schemas"])


class ServedUsers(ListOf[UserOut, UserIn]):
    pass


urlpatterns = [path("users", ServedUsers.as_view())]
