"""Calls of methods of rows, requests, sessions, forms, connections and collections."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from daf_orm.static.inference import blocks, consume, generic, querysets, serializers
from daf_orm.static.inference.given import call_given
from daf_orm.static.inference.loaded import Loaded
from daf_orm.static.inference.objects import FILE, FUTURE, PAGE, SESSION, USER, hopped, warm
from daf_orm.static.inference.values import (
    UNKNOWN,
    Constant,
    Coroutine,
    Cursor,
    Items,
    Manager,
    Mapping,
    Method,
    Object,
    Row,
    Rows,
    Value,
    join,
)
from daf_orm.static.names import functions, orm
from daf_orm.static.names.functions import OPENING, READING, WAITING
from daf_orm.static.project.definitions import dotted

if TYPE_CHECKING:
    from daf_orm.static.inference.frame import Frame
    from daf_orm.static.inference.querysets import Arguments

_PUTTING: Final = frozenset({"append", "appendleft", "add", "insert"})
_TAKES_ITERABLE: Final = frozenset(
    """join extend extendleft writerows update union intersection difference symmetric_difference
    difference_update intersection_update issubset issuperset isdisjoint""".split()
)
_HASHING: Final = {"set_password": "make_password", "check_password": "check_password"}
LOGGING: Final = frozenset("debug info warning error critical exception log".split())
TEMPLATES: Final = frozenset({"django.template.Template", "django.template.base.Template"})
_CURSOR_REMEDY: Final = (
    "Use async with daf_orm.cursor() as cur, or do it all in one hop: await database_sync_to_async(func)(…)."
)


def call(frame: Frame, method: Method, arguments: Arguments, node: ast.Call) -> Value:
    """Return what a method returns that is not the project's own; report it if it blocks."""
    owner = method.owner
    if isinstance(owner, Rows | Manager):
        return querysets.call(frame, method, arguments, node)
    if isinstance(owner, Row):
        return _of_row(frame, owner, method, arguments, node)
    if isinstance(owner, Cursor):
        if method.name in orm.CURSOR and not owner.is_reported:
            frame.report("DAF060", node, f"cursor.{method.name}", f"runs cursor.{method.name}", _CURSOR_REMEDY)
        return owner if method.name == "__enter__" else UNKNOWN
    if isinstance(owner, Object):
        return _of_object(frame, owner, method, arguments, node)
    if isinstance(owner, Coroutine):
        return owner.result
    if isinstance(owner, Items) and method.name in _PUTTING and arguments[0] and method.node is not None:
        _put(frame, method.node, owner.with_item(arguments[0][-1]))
        return UNKNOWN
    if isinstance(owner, Items) and method.name in {"extend", "update"} and method.node is not None:
        given = arguments[0][0] if arguments[0] else UNKNOWN
        frame.refine(method.node, join(owner, given) if isinstance(given, Items) else Items())
    if isinstance(owner, Items) and method.name == "sort":
        for keyword in node.keywords:
            if keyword.arg == "key":
                call_given(frame, arguments[1]["key"], (owner.any,), keyword.value, node)
    return _of_collection(frame, owner, method.name, arguments, node)


def _put(frame: Frame, node: ast.expr, items: Items) -> None:
    """Take note of a collection that was given an item, also of ``groups.setdefault(key, [])`` and ``groups[key]``."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setdefault":
        owner = node.func.value
    elif isinstance(node, ast.Subscript):
        owner = node.value
    else:
        frame.refine(node, items)
        return
    groups = frame.scope.find(dotted(owner) or "")
    if isinstance(groups, Mapping) and not groups.entries:
        frame.refine(owner, Mapping(items if groups.item == UNKNOWN else join(groups.item, items)))


# Rows


def _of_row(frame: Frame, row: Row, method: Method, arguments: Arguments, node: ast.Call) -> Value:
    name = method.name
    if name == "afetch_related":
        return Coroutine(_fetched(frame, row, method, arguments), is_query=True)
    if name[:1] == "a" and (name[1:] in {*orm.INSTANCE, *orm.VALIDATION, *orm.PERMISSIONS}):
        if name == "arefresh_from_db":
            _refreshed(frame, row, method, is_whole=arguments == ((), {}))
        return Coroutine(is_query=True)
    if name in orm.INSTANCE:
        _instance(frame, name, orm.INSTANCE[name], node)
    elif name in orm.VALIDATION:
        twin = f"Use {querysets.twin_text(frame, node, name)}."
        has_twin = row.model.is_ours and name in orm.VALIDATION_TWINS
        fix = querysets.twin_fix(frame, node, f"a{name}") if has_twin else None
        remedy = twin if has_twin else hopped(frame, node)
        frame.report("DAF031", node, f"Model.{name}", f"runs Model.{name}", remedy, fix=fix)
    elif name.startswith(orm.NEIGHBOURS):
        frame.report("DAF032", node, f"Model.{name}", f"runs Model.{name}", hopped(frame, node))
        return replace(row, origin=None, via="")
    elif name in {"set_password", "check_password"} and frame.engine.is_user(row.model):
        frame.report("DAF084", node, _HASHING[name], f"runs {_HASHING[name]}", _in_thread(frame, node))
    elif name in orm.PERMISSIONS and frame.engine.is_user(row.model):
        operation, remedy = f"User.{name}", f"Use {querysets.twin_text(frame, node, name)}."
        fix = querysets.twin_fix(frame, node, f"a{name}")
        frame.report("DAF052", node, operation, f"runs {operation}", remedy, fix=fix)
    return UNKNOWN


def _instance(frame: Frame, name: str, twin: str, node: ast.Call) -> None:
    remedy = f"Use {querysets.twin_text(frame, node, name)}."
    fix = querysets.twin_fix(frame, node, twin)
    frame.report("DAF030", node, f"Model.{name}", f"runs Model.{name}", remedy, fix=fix)


def _fetched(frame: Frame, row: Row, method: Method, arguments: Arguments) -> Row:
    names = querysets.lookups(str(each.value) for each in arguments[0] if isinstance(each, Constant))
    loaded = replace(row.loaded, joined=row.loaded.joined | names, prefetched=row.loaded.prefetched | names)
    fetched = replace(row, loaded=loaded)
    if method.node is not None:
        frame.refine(method.node, fetched)
    return fetched


def _refreshed(frame: Frame, row: Row, method: Method, *, is_whole: bool) -> None:
    """Take note that fields are there; without arguments, that Django has forgotten all relations."""
    if method.node is not None:
        loaded = replace(row.loaded, deferred=frozenset(), only=frozenset())
        if is_whole:
            loaded = Loaded(is_known=loaded.is_known)
            prefix = f"{dotted(method.node)}."
            frame.scope.values = {key: value for key, value in frame.scope.values.items() if not key.startswith(prefix)}
        frame.refine(method.node, replace(row, loaded=loaded))


# Django's objects


def _of_object(frame: Frame, owner: Object, method: Method, arguments: Arguments, node: ast.Call) -> Value:
    name = method.name
    if owner.of == USER:
        return UNKNOWN
    if owner.of == "pathlib.Path" and name in OPENING:
        frame.report("DAF082", node, "open", "opens a file", _in_thread(frame, node))
        mode = arguments[0][0] if arguments[0] else arguments[1].get("mode", Constant("r"))
        return Object(FILE, (("mode", mode),)) if name == "open" else UNKNOWN
    if owner.of == FILE:
        return _of_file(frame, owner, name, node)
    if owner.of in functions.CLIENTS and name in functions.REQUESTS:
        operation = f"{owner.of}.{name}"
        frame.report("DAF081", node, operation, f"runs {operation}", functions.HTTP)
        return UNKNOWN
    waiting = _waiting(frame.engine.objects.bases(owner), name, arguments)
    if waiting is not None and (owner.of != FUTURE or isinstance(method.node, ast.Call)):  # it may be done by then
        frame.report("DAF083", node, waiting, f"runs {waiting}", _in_thread(frame, node))
        return UNKNOWN
    return _of_kind(frame, owner, method, arguments, node)


def _of_kind(frame: Frame, owner: Object, method: Method, arguments: Arguments, node: ast.Call) -> Value:
    kinds, name = frame.engine.objects.kinds(owner), method.name
    if "session" in kinds:
        return _of_session(frame, owner, method, node)
    if "request" in kinds and name == "auser":
        _session_is_loaded(frame, method)
        return Coroutine(frame.engine.user_row)
    if "form" in kinds:
        return _of_form(frame, owner, method, node)
    if "paginator" in kinds and name in orm.PAGINATOR:
        return _of_paginator(frame, owner, name, node)
    if "serializer" in kinds and name in serializers.METHODS:
        serializers.call(frame, owner, name, arguments[0], node)
    elif "generic_view" in kinds and name in orm.GENERIC_VIEW and not frame.engine.is_awaited(node):
        operation = f"SingleObjectMixin.{name}"
        frame.report("DAF043", node, operation, f"runs {operation}", hopped(frame, node))
        rows = generic.queryset(frame, owner)
        return rows.row if isinstance(rows, Rows) else UNKNOWN
    elif "generic_view" in kinds and name == "get_queryset":
        return generic.queryset(frame, owner)
    elif "signal" in kinds and name in {"send", "send_robust"}:
        frame.engine.send_signal(frame, owner, node)
    elif name == "render" and owner.of in TEMPLATES:
        _render(frame, owner, arguments, node)
    elif owner.of == functions.TASKS and name == "create_task" and arguments[0]:
        made = arguments[0][0]
        return replace(made, is_task=True) if isinstance(made, Coroutine) else Coroutine(is_task=True)
    elif owner.of in functions.STACKS and name in {"enter_context", "enter_async_context"} and arguments[0]:
        return _entered(frame, name, arguments[0][0], node)
    elif owner.of == "copied connection":
        _of_connection(frame, name, node, is_copy=True)
    elif name in LOGGING:
        log(frame, arguments, node)
    return Coroutine() if name in {"asend", "aset", "aget", "adelete"} else UNKNOWN


def _entered(frame: Frame, name: str, value: Value, node: ast.Call) -> Value:
    """Return what an ``ExitStack`` enters: as ``with`` and ``async with`` do."""
    if name == "enter_async_context":
        return Coroutine(blocks.enter_async(frame, value, node))
    if isinstance(value, Object) and value.of in functions.ATOMIC:
        remedy = "Use async with daf_orm.transaction.atomic()."
        frame.report("DAF061", node, "atomic", "opens a transaction", remedy)
    entered = blocks.enter(frame, value, node)
    return value if isinstance(value, Cursor | Object) else entered


def _of_file(frame: Frame, owner: Object, name: str, node: ast.Call) -> Value:
    """Report that an open file is read or written; one of an unknown mode as text."""
    given = owner.argument("mode")
    mode = given.value if isinstance(given, Constant) and isinstance(given.value, str) else "r"
    kind = "TextIOWrapper" if "b" not in mode else "BufferedReader" if "r" in mode else "BufferedWriter"
    if name in READING:
        operation = f"io.{kind}.{name}"
        frame.report("DAF082", node, operation, f"runs {operation}", _in_thread(frame, node))
    return owner if name == "__enter__" else UNKNOWN


def _waiting(bases: frozenset[str], name: str, arguments: Arguments) -> str | None:
    """Return what waits for another thread or process; None if that does not, or does not for long."""
    operation = next((WAITING[base][name] for base in bases if name in WAITING.get(base, ())), None)
    given = [*arguments[0], *arguments[1].values()]
    return None if any(isinstance(each, Constant) and each.value is False for each in given) else operation


def _in_thread(frame: Frame, node: ast.Call) -> str:
    arguments = ", ".join([frame.text(node.func), *querysets.argument_texts(frame, node)])
    return f"Do it in a thread: await asyncio.to_thread({arguments})."


def _render(frame: Frame, owner: Object, arguments: Arguments, node: ast.Call) -> None:
    text, context = owner.argument("0"), arguments[0][0] if arguments[0] else UNKNOWN
    if isinstance(context, Object):
        context = context.argument("0") or UNKNOWN
    if isinstance(text, Constant) and isinstance(text.value, str):
        frame.engine.templates.follow_text(frame, text.value, context, node)


def _of_session(frame: Frame, owner: Object, method: Method, node: ast.Call) -> Value:
    name = method.name
    if name[:1] == "a" and name[1:] in {*orm.SESSION_TWINS, "set", "update"}:
        if method.node is not None:
            frame.refine(method.node, warm(owner, "loaded"))
        return Coroutine()
    reads = name in orm.SESSION_READS and owner.argument("loaded") is None
    if reads or name in orm.SESSION_WRITES:
        has_twin = name in orm.SESSION_TWINS
        remedy = f"Use {querysets.twin_text(frame, node, name)}." if has_twin else hopped(frame, node)
        fix = querysets.twin_fix(frame, node, f"a{name}") if has_twin else None
        frame.report("DAF050", node, f"SessionStore.{name}", f"runs SessionStore.{name}", remedy, fix=fix)
    return UNKNOWN


def _session_is_loaded(frame: Frame, method: Method) -> None:
    if isinstance(method.node, ast.Name | ast.Attribute):
        session = ast.Attribute(value=method.node, attr="session", ctx=ast.Load())
        frame.refine(session, warm(Object(SESSION), "loaded"))


def _of_form(frame: Frame, owner: Object, method: Method, node: ast.Call) -> Value:
    objects, name = frame.engine.objects, method.name
    if name == "save" and "model_form" in objects.kinds(owner):
        if not any(each.arg == "commit" for each in node.keywords):
            frame.report("DAF040", node, "ModelForm.save", "runs ModelForm.save", hopped(frame, node))
    elif name in orm.FORM_METHODS:
        objects.validate(frame, owner, name, node)
        if method.node is not None and name not in orm.FORM_RENDERING:
            frame.refine(method.node, warm(owner, "validated"))
    return UNKNOWN


def _of_paginator(frame: Frame, owner: Object, name: str, node: ast.Call) -> Value:
    given = owner.argument("0") or owner.argument("object_list")
    if isinstance(given, Rows) and frame.engine.objects.is_lazy(given):
        remedy = "Use AsyncPaginator (Django 6.0): await paginator.a" + f"{name}(…), or a hop to a thread."
        operation = f"Paginator.{name}"
        frame.report("DAF013", node, operation, f"runs {operation} of {given.model.name}", remedy)
    if isinstance(given, Rows) and name in {"page", "get_page"}:
        return Object(PAGE, ((".object_list", replace(given, is_sliced=True)),))
    return UNKNOWN


def _of_connection(frame: Frame, name: str, node: ast.Call, *, is_copy: bool = False) -> None:
    if is_copy and name == "close":
        return
    remedy = _CURSOR_REMEDY if name in {"cursor", "ensure_connection"} else hopped(frame, node)
    if name in orm.TRANSACTIONS:
        remedy = "Use async with daf_orm.transaction.atomic(), and its on_commit()."
    frame.report("DAF060", node, f"connection.{name}", f"runs connection.{name}", remedy)


def of_connection(frame: Frame, path: str, node: ast.Call) -> Value | None:
    """Return what a method of ``django.db.connection`` returns; None of any other function."""
    for prefix in ("django.db.connection.", "django.db.connections[]."):
        if not path.startswith(prefix):
            continue
        name = path.removeprefix(prefix)
        if name == "copy":
            return Object("copied connection")
        if name.startswith("introspection."):
            operation = f"DatabaseIntrospection.{name.partition('.')[2]}"
            frame.report("DAF063", node, operation, f"runs {operation}", hopped(frame, node))
        elif name in orm.CONNECTION:
            _of_connection(frame, name, node)
            return Cursor(is_reported=frame.is_on_loop) if name.endswith("cursor") else UNKNOWN
        return UNKNOWN
    return None


# Collections, logging, callbacks


def _of_collection(frame: Frame, owner: Value, name: str, arguments: Arguments, node: ast.Call) -> Value:
    if name in _TAKES_ITERABLE and len(node.args) == 1:
        given = consume.rows_from(frame, arguments[0][0])
        if isinstance(given, Rows | Coroutine):
            consume.iterate(frame, given, node.args[0], node, "argument")
        return UNKNOWN
    if name == "format" and isinstance(owner, Constant):
        log(frame, arguments, node)
        return UNKNOWN
    if isinstance(owner, Mapping):
        return _of_mapping(owner, name, arguments)
    if isinstance(owner, Items) and name in {"pop", "popleft"}:
        return owner.item
    return owner if isinstance(owner, Items) and name in {"copy", "union"} else UNKNOWN


def _of_mapping(owner: Mapping, name: str, arguments: Arguments) -> Value:
    if name == "values":
        return Items(consume.any_entry(owner))
    if name == "items":
        return Items(Items(each=(UNKNOWN, consume.any_entry(owner))))
    if name == "setdefault" and len(arguments[0]) > 1:
        found = consume.any_entry(owner)
        return arguments[0][1] if found == UNKNOWN else found
    if name in {"get", "pop"} and arguments[0]:
        key = arguments[0][0]
        known = dict(owner.entries)
        return known.get(key.value, owner.item) if isinstance(key, Constant) else consume.any_entry(owner)
    return UNKNOWN


def log(frame: Frame, arguments: Arguments, node: ast.Call) -> None:
    """Take note that the arguments of a call are turned into text."""
    for given, argument in zip(arguments[0], node.args, strict=False):
        consume.show(frame, given, argument, node)
    for keyword in node.keywords:
        if keyword.arg in arguments[1] and keyword.arg not in {"extra", "exc_info"}:
            consume.show(frame, arguments[1][keyword.arg], keyword.value, node)
