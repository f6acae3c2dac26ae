"""Calls of methods of querysets and managers."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from daf_orm.static.inference.loaded import EVERYTHING, ORDERED, Loaded
from daf_orm.static.inference.managers import SUPERS_ROWS, first_rows, rows_of
from daf_orm.static.inference.values import (
    UNKNOWN,
    Constant,
    Coroutine,
    Items,
    Lazy,
    Manager,
    Mapping,
    Method,
    Object,
    Origin,
    Row,
    Rows,
    Value,
)
from daf_orm.static.names import orm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from daf_orm.static.findings import Fix
    from daf_orm.static.inference.frame import Frame

Arguments = tuple[tuple[Value, ...], dict[str, Value]]
_RESTORED = frozenset({"values", "values_list", "dates", "datetimes"})


def call(frame: Frame, method: Method, arguments: Arguments, node: ast.Call) -> Value:
    """Return what a method of a queryset or manager returns; report it if it queries."""
    owner, name = method.owner, method.name
    assert isinstance(owner, Rows | Manager)
    if isinstance(owner, Manager) and owner.accessor and name in orm.RELATED:
        return _write(frame, owner, name, node)
    if name == SUPERS_ROWS and isinstance(owner, Manager):
        return first_rows(owner, Loaded())
    special = _special(frame, owner, name, node) if isinstance(owner, Manager) else None
    if special is not None:
        return special
    rows = _with_origin(frame, rows_of(frame, owner) if isinstance(owner, Manager) else owner, node)
    if name in orm.LAZY or name in {"get_queryset", "_clone", "_chain"}:
        return chained(rows, name, arguments)
    if name == "raw":
        return replace(rows, is_raw=True, is_prefetched=False)
    if name == "iterator":
        return Lazy(replace(rows, is_evaluated=False)) if not rows.is_empty else Items()
    if name in orm.TERMINALS:
        _terminal(frame, owner, rows, name, node)
        return result(_given(rows, name, arguments[1]), name)
    if name == "alist" and method.node is not None and isinstance(owner, Rows):
        frame.refine(method.node, replace(owner, is_evaluated=True))
    if name[:1] == "a" and (name[1:] in orm.TERMINALS | orm.RELATED or name in {"alist", "aiterator"}):
        return (
            Items(rows.row)
            if name == "aiterator"
            else Coroutine(result(_given(rows, name[1:], arguments[1]), name[1:]), is_query=True)
        )
    return Coroutine(is_query=True) if name[:1] == "a" and name[1:] in orm.USER_MANAGER | orm.CONTENT_TYPES else UNKNOWN


def _given(rows: Rows, name: str, named: dict[str, Value]) -> Rows:
    """Return the rows with the relations that ``get_or_create`` and its like may set."""
    if name not in orm.ROW_AND_FLAG:
        return rows
    names = set(named)
    for each in ("defaults", "create_defaults"):
        given = named.get(each)
        if isinstance(given, Mapping):
            names |= {key for key, _ in given.entries}
        elif given is not None:
            return replace(rows, loaded=replace(rows.loaded, is_known=False))
    return replace(rows, loaded=replace(rows.loaded, joined=rows.loaded.joined | names))


def _with_origin(frame: Frame, rows: Rows, node: ast.Call) -> Rows:
    """Remember where ``select_related`` could be called: on what the method is called on."""
    if not isinstance(node.func, ast.Attribute) or rows.takes_no_joins or rows.loaded.only or rows.loaded.deferred:
        return replace(rows, origin=None)
    receiver = node.func.value
    return replace(rows, origin=Origin(frame.module.shown, frame.qualname, frame.fix("", receiver)))


def chained(rows: Rows, name: str, arguments: Arguments) -> Rows:
    """Return the queryset that a lazy method returns."""
    if name == "all" and rows.is_prefetched is not False:
        return replace(rows, is_evaluated=False)
    rows = replace(rows, is_evaluated=False)
    if name == "all":
        return rows
    rows = replace(rows, is_prefetched=False, is_ordered=name in orm.ORDERING or rows.is_ordered)
    if name == "none":
        return replace(rows, is_empty=True)
    if name in _RESTORED:
        return replace(rows, gives="values")
    if name in {"select_for_update", "union", "intersection", "difference"}:
        return replace(rows, takes_no_joins=True)
    if name in {"select_related", "prefetch_related", "defer", "only"}:
        return replace(rows, loaded=_loading(rows.loaded, name, arguments[0]))
    return rows


def _loading(loaded: Loaded, name: str, arguments: tuple[Value, ...]) -> Loaded:
    if any(isinstance(each, Constant) and each.value is None for each in arguments):
        cleared: dict[str, Any] = {_FIELDS[name]: frozenset()}
        return replace(loaded, **cleared)
    texts = [each.value for each in arguments if isinstance(each, Constant) and isinstance(each.value, str)]
    prefetches = [each for each in arguments if isinstance(each, Object) and each.of == PREFETCH]
    if len(texts) + len(prefetches) < len(arguments):  # of names that are not written here
        return replace(loaded, is_known=False) if name != "only" else replace(loaded, only=frozenset())
    if name == "select_related":
        return replace(loaded, joined=loaded.joined | (lookups(texts) if texts else {EVERYTHING}))
    if name == "prefetch_related":
        return _prefetching(loaded, texts, prefetches)
    return replace(loaded, **{_FIELDS[name]: getattr(loaded, _FIELDS[name]) | frozenset(texts)})


PREFETCH = "django.db.models.Prefetch"
_FIELDS = {"select_related": "joined", "prefetch_related": "prefetched", "defer": "deferred", "only": "only"}


def _prefetching(loaded: Loaded, texts: list[str], prefetches: list[Object]) -> Loaded:
    joined, prefetched = set(loaded.joined), set(loaded.prefetched) | lookups(texts)
    listed = set(loaded.listed)
    for prefetch in prefetches:
        lookup = prefetch.argument("0") or prefetch.argument("lookup")
        if not isinstance(lookup, Constant):
            return replace(loaded, is_known=False)
        place = str(lookup.value)
        if (name := prefetch.argument("to_attr")) is not None:
            if not (isinstance(name, Constant) and isinstance(name.value, str)):
                continue
            *through, relation = place.split("__")
            place = "__".join([*through, name.value])
            listed.add((place, relation))
            prefetched |= lookups(["__".join(through)]) if through else set()
        else:
            prefetched |= {*lookups([place]), f"{place}__{ORDERED}"}
        rows = prefetch.argument("1") or prefetch.argument("queryset")
        if isinstance(rows, Rows):
            joined |= {f"{place}__{each}" for each in rows.loaded.joined}
            prefetched |= {f"{place}__{each}" for each in rows.loaded.prefetched}
        elif rows is not None:
            return replace(loaded, is_known=False)
    return replace(loaded, joined=frozenset(joined), prefetched=frozenset(prefetched), listed=frozenset(listed))


def lookups(names: Iterable[str]) -> frozenset[str]:
    """Return the names, and those of the relations that they go through."""
    found = set()
    for name in names:
        parts = name.split("__")
        found |= {"__".join(parts[:count]) for count in range(1, len(parts) + 1)}
    return frozenset(found)


def result(rows: Rows, name: str) -> Value:
    """Return what a method that queries returns."""
    if name == "create":
        return Row(rows.model, Loaded(frozenset({EVERYTHING})))
    if name in orm.ONE_ROW:
        return rows.row
    if name in orm.ROW_AND_FLAG:
        row = replace(rows.row, origin=None) if isinstance(rows.row, Row) else UNKNOWN
        return Items(each=(row, UNKNOWN))
    if name == "list":
        return Items(rows.row)
    if name == "bulk_create":
        return Items(Row(rows.model, Loaded(frozenset({EVERYTHING}))))
    if name == "in_bulk":
        return Mapping(rows.row)
    return UNKNOWN


# Methods that query


def _terminal(frame: Frame, owner: Rows | Manager, rows: Rows, name: str, node: ast.Call) -> None:
    if name in orm.ANSWERED_BY_CACHE or (name == "first" and _may_be_ordered(frame, rows)):
        if rows.is_lazy is False or (rows.is_lazy is None and not frame.engine.is_strict):
            return
    elif rows.is_empty or (name in {"first", "last"} and rows.is_lazy is None and not frame.engine.is_strict):
        return
    if not rows.model.is_known and frame.engine.is_awaited(node):
        return  # its manager is another library's, whose methods are coroutine functions
    operation = _operation(owner, name)
    fix = twin_fix(frame, node, f"a{name}")
    frame.report(
        "DAF010",
        node,
        operation,
        f"runs {operation} of {rows.model.name}",
        f"Use {twin_text(frame, node, name)}.",
        fix=fix,
    )


def _may_be_ordered(frame: Frame, rows: Rows) -> bool:
    """Return False if ``first`` orders the rows by their keys, which asks the database anew."""
    if rows.is_ordered is not False or ORDERED in rows.loaded.prefetched or rows.model.cls is None:
        return True
    classes, external = frame.engine.project.ancestors(rows.model.cls)
    return (
        not all(path.startswith(("django.db.models", "builtins.", "daf_orm")) for path in external)
        or any("Meta" in cls.inner and "ordering" in cls.inner["Meta"].attributes for cls in classes)
        or (rows.cls is not None and frame.engine.project.method(rows.cls, "get_queryset") is not None)
    )


def _operation(owner: Rows | Manager, name: str) -> str:
    if isinstance(owner, Manager) and owner.accessor:
        overrides = orm.RELATED_OVERRIDES | (orm.COUNTS_OF_MANY if owner.is_many else frozenset())
        if name in overrides:
            return f"{'ManyRelatedManager' if owner.is_many else 'RelatedManager'}.{name}"
    return f"QuerySet.{name}"


def _write(frame: Frame, owner: Manager, name: str, node: ast.Call) -> Value:
    operation = _operation(owner, name)
    effect = f"runs {operation} of {owner.accessor}"
    remedy = f"Use {twin_text(frame, node, name)}."
    frame.report("DAF011", node, operation, effect, remedy, fix=twin_fix(frame, node, f"a{name}"))
    return UNKNOWN


def _special(frame: Frame, owner: Manager, name: str, node: ast.Call) -> Value | None:
    """Return the result of a method that only managers in ``django.contrib`` have; None for others."""
    model = owner.model
    if name in orm.USER_MANAGER and (model is frame.engine.models.user or model.name == "User"):
        operation = f"UserManager.{name}"
        remedy = f"Use {twin_text(frame, node, name)}."
        frame.report("DAF052", node, operation, f"runs {operation}", remedy, fix=twin_fix(frame, node, f"a{name}"))
        return Row(model, Loaded(frozenset({EVERYTHING})))
    if model.cls is not None:
        return None
    if model.name == "ContentType" and name in orm.CONTENT_TYPES:
        _content_type(frame, name, node)
        return Row(model)
    if model.name == "Site" and name in orm.SITES:
        operation = "SiteManager.get_current"
        frame.report("DAF053", node, operation, f"runs {operation}", _hop_of(frame, node))
        return Row(model)
    return None


def _content_type(frame: Frame, name: str, node: ast.Call) -> None:
    key = f"<content type of {', '.join(frame.text(each) for each in node.args)}>"
    if frame.scope.find(key) is None:
        operation = f"ContentTypeManager.{name}"
        frame.report("DAF053", node, operation, f"runs {operation}", _hop_of(frame, node))
    frame.scope.values[key] = UNKNOWN


def _hop_of(frame: Frame, node: ast.Call) -> str:
    arguments = ", ".join(frame.text(each) for each in node.args)
    return f"Do it in one hop: await database_sync_to_async({frame.text(node.func)})({arguments})."


def twin_text(frame: Frame, node: ast.Call, name: str) -> str:
    """Return a call with its function replaced by its twin, awaited."""
    arguments = ", ".join(argument_texts(frame, node))
    receiver = f"{frame.text(node.func.value)}." if isinstance(node.func, ast.Attribute) else ""
    return f"await {receiver}a{name}({arguments})"


def argument_texts(frame: Frame, node: ast.Call) -> list[str]:
    """Return the source of each argument of a call."""
    return [frame.text(each) for each in node.args] + [_keyword(frame, each) for each in node.keywords]


def _keyword(frame: Frame, keyword: ast.keyword) -> str:
    return f"{keyword.arg}={frame.text(keyword.value)}" if keyword.arg else f"**{frame.text(keyword.value)}"


def twin_fix(frame: Frame, node: ast.Call, twin: str) -> Fix | None:
    """Return the fix that calls a method's twin and awaits it."""
    return frame.fix("twin", node, twin) if isinstance(node.func, ast.Attribute) else None
