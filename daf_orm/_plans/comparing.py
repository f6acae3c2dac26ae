"""A plan beside what Django has just compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from daf_orm._plans.plan import has_converters, same_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daf_orm._plans.plan import Plan

_PLACES: Final = ("annotation_col_map", "col_count", "has_extra_select", "having", "qualify")


def differences(
    plan: Plan, kept: tuple[str, Sequence[Any]], compiler: Any, made: tuple[str, Sequence[Any]]
) -> Iterator[str]:
    """Yield what differs, by its name. Parameters are not shown: they are the users' values."""
    yield from differences_of_sql(kept, made)
    of_plan = plan.compiled
    if not _same_select(of_plan["select"], compiler.select):
        yield "the columns"
    if not _same_info(of_plan["klass_info"], compiler.klass_info):
        yield "the models of the columns"
    if any(of_plan[name] != getattr(compiler, name) for name in _PLACES):
        yield "the places of the columns"
    if "get_converters" in of_plan and has_converters(compiler):
        yield "the converters of the columns"


def differences_of_sql(kept: tuple[str, Sequence[Any]], made: tuple[str, Sequence[Any]]) -> Iterator[str]:
    """Yield what differs in SQL and parameters."""
    if kept[0] != made[0]:
        yield f"the SQL, kept {kept[0]!r}, compiled {made[0]!r}"
    if not same_values(kept[1], made[1]):
        yield "the parameters"


def _same_select(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return len(one) == len(other) and all(
        type(left[0]) is type(right[0])
        and type(left[0].output_field) is type(right[0].output_field)
        and getattr(left[0], "target", None) is getattr(right[0], "target", None)
        and left[1][0] == right[1][0]
        and same_values(left[1][1], right[1][1])
        and left[2] == right[2]
        for left, right in zip(one, other, strict=True)
    )


def _same_info(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return one.keys() == other.keys() and all(_same_entry(one[name], other[name]) for name in one)


def _same_entry(one: Any, other: Any) -> bool:
    if isinstance(one, list) and one and isinstance(one[0], dict):
        return len(one) == len(other) and all(map(_same_info, one, other))
    code = getattr(one, "__code__", None)  # Django makes a setter anew for each query
    return one == other or (code is not None and code is getattr(other, "__code__", None))
