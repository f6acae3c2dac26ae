"""The Django methods that are wrapped while plans are kept.

``SQLCompiler.as_sql`` compiles a SELECT, ``Query.add_q`` adds a filter, ``Model._do_update`` writes a row.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings as django_settings
from django.core.exceptions import EmptyResultSet, FullResultSet
from django.core.signals import setting_changed
from django.db.models import Model
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.query import Query
from django.db.models.sql.subqueries import UpdateQuery

from daf_orm._django.expression_shapes import Replaced, Unkept, name_of
from daf_orm._django.known_sql import OPERATIONS_STATE
from daf_orm._django.local_filters import add_conditions, is_of_query, local_conditions
from daf_orm._django.local_filters import differences as differences_of_queries
from daf_orm._django.query_shapes import shape_of
from daf_orm._django.row_updates import compiled_by_django, execute, is_of_model, row_update
from daf_orm._plans.backends import backend_of
from daf_orm._plans.comparing import differences, differences_of_sql
from daf_orm._plans.plan import Plan, compile_plan, leave
from daf_orm._plans.row_plan import RowPlan
from daf_orm._plans.store import PlanStats, PlanStore
from daf_orm.patches import Patch, PatchTable
from daf_orm.settings import PlanSettings, problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daf_orm._django.row_updates import RowUpdate
    from daf_orm._plans.backends import Backend

    _Compiled = tuple[str, Any]

logger: Final = logging.getLogger("daf_orm")
_MAX_SQL: Final = (
    20_000  # characters: a client may choose the length of SQL, and must not choose how much memory it takes
)
_CREDIT: Final = 50.0
"""Plans of updates that may be made for one model, before updates have taken any."""
_EARNED: Final = 0.125


class _Keeper:
    """Compiles by plans, as the settings of ``KEEP_PLANS`` say."""

    def __init__(self, settings: PlanSettings) -> None:
        self.settings = settings
        self.check_every = settings.CHECK_EVERY
        self.first = 1 % settings.CHECK_EVERY
        self.store = PlanStore(settings.MAX_SIZE)
        self.keeps_filters = True
        self._credits: dict[Any, float] = {}

    def filtered(self, query: Any, condition: Any, reuse_all: bool, add: Callable[..., None]) -> None:  # noqa: FBT001 - Django's
        """Add a condition to a query, at once or by ``add``, which is Django's way."""
        conditions = local_conditions(query, condition) if self.keeps_filters else None
        if not conditions:
            add(query, condition, reuse_all)
            return
        store = self.store
        store.filters += 1
        if store.filters % self.check_every != self.first:
            add_conditions(query, conditions, reuse_all=reuse_all)
            return
        ours = query.clone()
        add_conditions(ours, conditions, reuse_all=reuse_all)
        add(query, condition, reuse_all)
        if found := [*differences_of_queries(ours, query)]:
            store.differed += 1
            self.keeps_filters = False
            logger.error(
                "A filter of %s differs from what Django makes of it, in %s. Django's is used, and so are those of all "
                "further filters. Please report it.",
                name_of(query.model),
                ", ".join(found),
            )

    def compiled(self, compiler: Any, compile_query: Callable[[Any], _Compiled]) -> _Compiled:
        """Return SQL and parameters of a compiler's query, by a plan or by ``compile_query``, which is Django's way."""
        store = self.store
        try:
            key, values = _key_of(compiler)
            plan = store.find(key)
        except Exception as error:  # noqa: BLE001 - Django raises it, or knows better
            store.count_django(_reason(error))
            return compile_query(compiler)
        if plan is None or (type(plan) is Plan and not plan.holds()):
            return self._made(compiler, compile_query, key, values)
        if type(plan) is not Plan:
            store.count_django(str(plan))
            return compile_query(compiler)
        plan.hits += 1
        store.hits += 1
        if not plan.is_checked or plan.hits % self.check_every == self.first:  # until one was alike, and one in so many
            return self._compared(plan, compiler, compile_query, key, values)
        plan.join(compiler.query)
        return plan.use(compiler, values)

    def _made(self, compiler: Any, compile_query: Callable[[Any], _Compiled], key: Any, values: list[Any]) -> _Compiled:
        compiled, plan = compile_plan(compiler, compile_query, values)
        if len(compiled[0]) > _MAX_SQL:
            self.store.count_django("SQL that is long")
            return compiled
        if isinstance(plan, Plan):
            self.store.made += 1
        else:
            self.store.count_django(str(plan))
        if not isinstance(plan, Replaced):
            self.store.put(key, plan)
        return compiled

    def _compared(
        self, plan: Plan, compiler: Any, compile_query: Callable[[Any], _Compiled], key: Any, values: list[Any]
    ) -> _Compiled:
        kept = plan.use(compiler, values)
        leave(compiler)
        made = compile_query(compiler)
        self.store.compared += 1
        self._note_differences(key, plan, compiler.query, differences(plan, kept, compiler, made))
        return made

    def _note_differences(self, key: Any, plan: Plan | RowPlan, query: Any, differences: Iterator[str]) -> None:
        found = list(differences)
        plan.is_checked = not found  # the store may leave the change below out, and other threads may have the plan
        if found:
            self.store.differed += 1
            self.store.put(key, Unkept("a plan that differed"))
            logger.error(
                "A kept query plan of %s differs from what Django compiles, in %s. Django's is used, and no plan is "
                "kept for this structure of a query. Please report it.",
                name_of(query.model),
                "; ".join(found),
            )

    def updated(self, queryset: Any, key: Any, values: Any) -> int | None:
        """Update one row by a plan, and return the number of rows; None where Django has to do it."""
        store = self.store
        try:
            update = row_update(queryset, key, values)
            place = (_backend_of(update.compiler, UpdateQuery, "update_compiler"), update.key)
            plan = store.find(place)
            if plan is None or (type(plan) is RowPlan and not plan.holds()):
                self._spend(update.compiler.query.model)
                plan = self._row_plan(update, compiled_by_django(queryset, key, values))
                if not isinstance(plan, Replaced):
                    store.put(place, plan)
        except Exception as error:  # noqa: BLE001 - Django raises it, or knows better
            store.count_django(_reason(error))
            return None
        if type(plan) is not RowPlan:
            store.count_django(str(plan))
            return None
        plan.hits += 1
        store.hits += 1
        model = update.compiler.query.model
        self._credits[model] = min(_CREDIT, self._credits.get(model, _CREDIT) + _EARNED)
        if plan.is_checked and plan.hits % self.check_every != self.first:
            return execute(update.compiler, plan.sql, plan.parameters_of(update))
        made = compiled_by_django(queryset, key, values)
        self.store.compared += 1
        kept = plan.sql, plan.parameters_of(update)
        self._note_differences(place, plan, update.compiler.query, differences_of_sql(kept, made))
        return execute(update.compiler, *made)

    def _spend(self, model: Any) -> None:
        """Allow for one more plan of a model's updates. Raises Unkept if most of its plans are of no use.

        A client may choose which columns are NULL, and so the SQL: each plan would be made and never taken.
        """
        if len(self._credits) > self.settings.MAX_SIZE:
            self._credits.clear()
        credit = self._credits.get(model, _CREDIT)
        if credit < 1:
            raise Unkept("UPDATE of other columns to NULL each time")
        self._credits[model] = credit - 1

    def _row_plan(self, update: RowUpdate, made: _Compiled) -> RowPlan | Unkept:
        try:
            plan = RowPlan(update, made)
        except Unkept as unkept:
            return unkept.with_traceback(None)
        self.store.made += 1
        return plan


def _key_of(compiler: Any) -> tuple[Any, list[Any]]:
    backend = _backend_of(compiler, Query, "compiler")
    if compiler.using is None:
        raise Unkept("part of another query")
    return shape_of(compiler, backend)


def _backend_of(compiler: Any, query: type, kind_of_compiler: str) -> Backend:
    """Return the backend of a compiler. Raises Unkept if it, the query or the compiler is of another class."""
    connection = compiler.connection
    backend = backend_of(connection)
    if backend is None:
        raise Unkept(f"compiler of {name_of(type(connection))}")
    kinds: tuple[type, ...] = (type(compiler.query), type(compiler), type(connection.ops))
    for kind, known in zip(kinds, (query, getattr(backend, kind_of_compiler), backend.ops), strict=True):
        if kind is not known:
            raise Unkept(name_of(kind))
    if not vars(connection.ops).keys() <= OPERATIONS_STATE:
        raise Unkept("operations of a connection, changed")
    return backend


def _reason(error: Exception) -> str:
    if isinstance(error, Unkept):
        return str(error)
    return "no rows or all" if isinstance(error, EmptyResultSet | FullResultSet) else type(error).__name__


_keeper: _Keeper | None = None


def _keeping(original: Callable[..., _Compiled]) -> Callable[..., _Compiled]:
    @functools.wraps(original)
    def as_sql(self: Any, with_limits: bool = True, with_col_aliases: bool = False) -> _Compiled:  # noqa: FBT001, FBT002 - Django's
        keeper = _keeper
        if "get_converters" in vars(self):  # it compiles again, and its query may be another one by now
            leave(self)
        if keeper is None or not with_limits or with_col_aliases:
            return original(self, with_limits, with_col_aliases)
        return keeper.compiled(self, original)

    return as_sql


def _filtering(original: Callable[..., None]) -> Callable[..., None]:
    if not is_of_query(original):  # other code has replaced it, and is to see every filter
        return original

    @functools.wraps(original)
    def add_q(self: Any, q_object: Any, reuse_all: bool = False) -> None:  # noqa: FBT001, FBT002 - Django's
        keeper = _keeper
        if keeper is None:
            original(self, q_object, reuse_all)
        else:
            keeper.filtered(self, q_object, reuse_all, original)

    return add_q


def _updating(original: Callable[..., Any]) -> Callable[..., Any]:
    if not is_of_model(original):
        return original

    @functools.wraps(original)
    def _do_update(self: Any, *args: Any, **kwargs: Any) -> Any:
        keeper = _keeper
        if keeper is not None and keeper.keeps_filters and not kwargs:
            queryset, _, key, values, _, is_forced, *returning = args  # Django 6.0 and later can return columns
            if values and not any(returning) and (is_forced or not self._meta.select_on_save):
                rows = keeper.updated(queryset, key, values)
                if rows is not None:
                    return [()] * rows if returning else rows > 0
        return original(self, *args, **kwargs)

    return _do_update


_PATCHES: Final = PatchTable(
    Patch(owner=SQLCompiler, name="as_sql", wrapper=_keeping, why="a query of a known structure is not compiled again"),
    Patch(owner=Query, name="add_q", wrapper=_filtering, why="a column of the query's own table needs no search"),
    Patch(owner=Model, name="_do_update", wrapper=_updating, why="an UPDATE of a row is not compiled again"),
)


def activate(settings: PlanSettings) -> None:
    """Keep plans from now on. Only log a warning if other code has replaced ``as_sql``."""
    global _keeper  # noqa: PLW0603 - one for the process
    if not _PATCHES.is_active and SQLCompiler.as_sql.__module__ != SQLCompiler.__module__:
        logger.warning(
            "DAF_ORM['KEEP_PLANS'] has no effect: %s has replaced SQLCompiler.as_sql().", SQLCompiler.as_sql.__module__
        )
        return
    _keeper = _Keeper(settings)
    _PATCHES.activate()


def deactivate() -> None:
    """Put Django back as it was, and forget all plans."""
    global _keeper  # noqa: PLW0603 - as above
    _PATCHES.deactivate()
    _keeper = None


def clear() -> None:
    """Forget all plans and counts, as after a change of Django classes at run time."""
    if _keeper is not None:
        _keeper.store = PlanStore(_keeper.settings.MAX_SIZE)


def get_stats() -> PlanStats | None:
    """Return the counts, or None while no plans are kept."""
    return None if _keeper is None else _keeper.store.stats()


def follow_settings() -> None:
    """Keep plans, or do not, as ``DAF_ORM`` says; not where it is wrong."""
    raw = getattr(django_settings, "DAF_ORM", {})
    wanted = None if problems(raw) else raw.get("KEEP_PLANS")
    settings = None if wanted is None else PlanSettings(**wanted)
    if settings is None:
        deactivate()
    elif _keeper is None or _keeper.settings != settings:
        activate(settings)


def _follow(*, setting: str, **_: object) -> None:
    if setting == "DAF_ORM":
        follow_settings()


setting_changed.connect(_follow, dispatch_uid="daf_orm.plans")
