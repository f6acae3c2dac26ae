import functools
from types import SimpleNamespace

import pytest

from daf_orm.patches import Patch, PatchTable

pytestmark = pytest.mark.no_database


class Base:
    def greet(self) -> str:
        return "hello"


class Child(Base):
    own = "own"


def test_an_own_attribute_is_replaced_and_restored() -> None:
    table = PatchTable(Patch(owner=Child, name="own", replacement="ours", why="a test"))

    table.activate()
    assert Child.own == "ours"
    assert table.is_active
    table.deactivate()
    assert vars(Child)["own"] == "own"
    assert not table.is_active


def test_an_inherited_attribute_is_inherited_again() -> None:
    table = PatchTable(
        Patch(owner=Child, name="greet", wrapper=lambda greet: lambda self: greet(self) + "!", why="a test")
    )

    table.activate()
    assert (Child().greet(), Base().greet()) == ("hello!", "hello")
    table.deactivate()
    assert "greet" not in vars(Child)


def test_activating_twice_wraps_once() -> None:
    owner = SimpleNamespace(number=1)
    table = PatchTable(Patch(owner=owner, name="number", wrapper=lambda number: number + 1, why="a test"))

    table.activate()
    table.activate()
    assert owner.number == 2
    table.deactivate()
    table.deactivate()
    assert owner.number == 1


def test_a_missing_attribute_undoes_the_rows_before_it() -> None:
    owner = SimpleNamespace(number=1)
    table = PatchTable(
        Patch(owner=owner, name="number", replacement=2, why="a test"),
        Patch(owner=owner, name="renamed", replacement=2, why="a test"),
    )

    with pytest.raises(AttributeError, match="renamed"):
        table.activate()
    assert owner.number == 1
    assert not table.is_active


def test_an_optional_row_may_be_missing() -> None:
    owner = SimpleNamespace(number=1)
    table = PatchTable(
        Patch(owner="no_such_module", name="number", replacement=2, why="a test", is_optional=True),
        Patch(owner=owner, name="number", replacement=2, why="a test"),
    )

    table.activate()
    assert owner.number == 2
    table.deactivate()


def test_rows_can_be_activated_one_by_one() -> None:
    owner = SimpleNamespace(first=1, second=1)
    first, second = (Patch(owner=owner, name=name, replacement=2, why="a test") for name in ("first", "second"))
    table = PatchTable(first, second)

    table.activate([first])
    assert (owner.first, owner.second) == (2, 1)
    table.activate()
    assert (owner.first, owner.second) == (2, 2)
    table.deactivate()
    assert (owner.first, owner.second) == (1, 1)


def test_a_replacement_that_other_code_has_wrapped_is_seen() -> None:
    owner = SimpleNamespace(number=1)
    table = PatchTable(Patch(owner=owner, name="number", replacement=2, why="a test"))

    table.activate()
    assert table.is_outermost()
    owner.number = 3
    assert not table.is_outermost()
    table.deactivate()


def test_a_path_names_a_module_or_something_in_it() -> None:
    assert Patch(owner="daf_orm.patches", name="Patch", why="a test").resolve_owner().Patch is Patch
    assert Patch(owner="daf_orm.patches:Patch", name="why", why="a test").resolve_owner() is Patch


def test_a_replacement_that_others_have_thrown_away_is_put_back() -> None:
    owner = SimpleNamespace(number=1)
    table = PatchTable(Patch(owner=owner, name="number", replacement=2, why="a test"))

    table.activate()
    owner.number = 1
    table.forget_lost()
    table.activate()
    assert owner.number == 2
    table.deactivate()


def test_one_that_others_have_wrapped_is_not_replaced_again() -> None:
    owner = SimpleNamespace(greet=lambda: "hello")
    table = PatchTable(Patch(owner=owner, name="greet", wrapper=lambda greet: lambda: greet() + "!", why="a test"))

    table.activate()
    ours = owner.greet
    owner.greet = functools.wraps(ours)(lambda: ours())
    table.forget_lost()
    table.activate()
    assert owner.greet() == "hello!"
    table.deactivate()


def test_a_row_that_cannot_be_undone_is_still_known() -> None:
    def assign(owner: object, name: str, value: object) -> None:
        if value == 1 and is_stuck:
            raise TypeError(name)
        setattr(owner, name, value)

    owner, is_stuck = SimpleNamespace(number=1), True
    table = PatchTable(Patch(owner=owner, name="number", replacement=2, why="a test"), assign=assign)

    table.activate()
    with pytest.raises(TypeError):
        table.deactivate()
    assert table.is_active
    is_stuck = False
    table.deactivate()
    assert owner.number == 1
