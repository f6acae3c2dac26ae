"""The plan of an UPDATE of one row, by ``Model.save()``."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from django.db.models.expressions import Col
from django.db.models.sql.where import WhereNode

from daf_orm._django.expression_shapes import Unkept, name_of
from daf_orm._django.row_updates import has_placeholder, readers_of_update
from daf_orm._plans.plan import Premises, readers_of, same_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daf_orm._django.row_updates import RowUpdate


class RowPlan(Premises):
    """The SQL of all updates of one row that write the same columns. It refers to no value and no connection."""

    __slots__ = ("hits", "is_checked", "sends_nulls", "sql")

    def __init__(self, update: RowUpdate, made: tuple[str, Sequence[Any]]) -> None:
        """Take what Django has compiled. Raises Unkept where it cannot be used for another row."""
        for field in update.fields:
            if has_placeholder(field):
                raise Unkept(f"field {name_of(type(field))}")
            if type(field.column) is not str:
                raise Unkept("a column whose name is no string")
        column, model = update.lookup.lhs, update.compiler.query.model
        if type(column.alias) is not str:
            raise Unkept("a table whose name is no string")
        kinds = (type(update.lookup), WhereNode, Col)
        super().__init__(
            (*update.fields, column.target),
            chain(readers_of({model}, kinds, update.compiler), readers_of_update(update.compiler)),
        )
        self.sql, parameters = made
        self.sends_nulls = len(parameters) == len(update.parameters)
        if not same_values(parameters, self.parameters_of(update)):
            raise Unkept("parameters of other parts")
        self.hits, self.is_checked = 0, False

    def parameters_of(self, update: RowUpdate) -> list[Any]:
        """Return the parameters of another row's SQL."""
        return update.parameters if self.sends_nulls else [each for each in update.parameters if each is not None]
