"""Calls of functions and classes that the project imports from elsewhere."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from daf_orm.static.inference import consume, methods, querysets, responses
from daf_orm.static.inference.attributes import class_of
from daf_orm.static.inference.blocks import iterate_async
from daf_orm.static.inference.gathering import gather
from daf_orm.static.inference.given import call_given
from daf_orm.static.inference.iterating import is_iterating, iterating
from daf_orm.static.inference.loaded import EVERYTHING, Loaded
from daf_orm.static.inference.made import MAKERS
from daf_orm.static.inference.objects import FILE, FUTURE, LOCAL, MESSAGES, REQUEST, SESSION, hopped
from daf_orm.static.inference.special import special, take_hash
from daf_orm.static.inference.threads import in_thread
from daf_orm.static.inference.values import (
    NONE,
    UNKNOWN,
    Callable,
    ClassValue,
    Constant,
    Coroutine,
    External,
    Guarded,
    Hop,
    Items,
    Mapping,
    Object,
    Partial,
    Row,
    Rows,
    Unhop,
    Value,
)
from daf_orm.static.names import functions, orm
from daf_orm.static.names.families import family
from daf_orm.static.project.definitions import dotted

if TYPE_CHECKING:
    from daf_orm.static.inference.frame import Frame
    from daf_orm.static.inference.querysets import Arguments

_COPIES: Final = {"pickle.dumps": 0, "pickle.dump": 0, "copy.copy": 0}
_GATHERS: Final = frozenset({"asyncio.gather", "asyncio.wait"})
_AWAITS: Final = frozenset({"asyncio.wait_for", "asyncio.shield", "asyncio.create_task", "asyncio.ensure_future"})
_WAITS: Final = frozenset({"asyncio.wait_for"})
_TEMPLATES: Final = frozenset({"django.shortcuts.render", "django.template.loader.render_to_string"})
_NUMBERS: Final = {
    "int": ("__int__", "__index__"),
    "float": ("__float__", "__index__"),
    "abs": ("__abs__",),
    "round": ("__round__",),
}
_STRINGS: Final = frozenset({"str", "repr", "format", "ascii", "print"})


def call(frame: Frame, function: External, arguments: Arguments, node: ast.Call) -> Value:
    """Return what a function from elsewhere returns; report it if it blocks."""
    path, name = function.path, function.name
    if path in functions.HOPS:
        return _hop(arguments)
    if path in functions.UNHOPS:
        return Unhop(arguments[0][0]) if arguments[0] else UNKNOWN
    if path in functions.THREADS:
        return _in_thread(frame, arguments, node)
    if path in functions.BLOCKING:
        return _blocking(frame, path, arguments, node)
    if path in functions.ATOMIC:
        return _atomic(arguments)
    if path.startswith("django.db.transaction.") and name in orm.TRANSACTIONS:
        remedy = "Use async with daf_orm.transaction.atomic(), and its on_commit()."
        frame.report("DAF062", node, name, f"runs transaction.{name}", remedy)
        return UNKNOWN
    connection = methods.of_connection(frame, path, node)
    if connection is not None:
        return connection
    if is_iterating(path):
        return iterating(frame, path, arguments[0], arguments[1], node)
    if path.startswith("builtins."):
        return _builtin(frame, name, arguments, node)
    return _library(frame, path, name, arguments, node)


def _hop(arguments: Arguments) -> Value:
    given = arguments[0][0] if arguments[0] else arguments[1].get("func")
    return External("asgiref.sync.sync_to_async") if given is None else Hop(given)


def _atomic(arguments: Arguments) -> Value:
    given = arguments[0][0] if arguments[0] else UNKNOWN
    return Guarded(given) if isinstance(given, Callable) else Object("django.db.transaction.Atomic")


def _in_thread(frame: Frame, arguments: Arguments, node: ast.Call) -> Value:
    if not arguments[0]:
        return UNKNOWN
    function, *rest = arguments[0]
    return Coroutine(in_thread(frame, function, tuple(rest), arguments[1], node))


def _blocking(frame: Frame, path: str, arguments: Arguments, node: ast.Call) -> Value:
    row = functions.BLOCKING[path]
    if (row.code == "DAF082" and _is_descriptor(arguments)) or (row.code == "DAF084" and _is_no_password(arguments)):
        return UNKNOWN
    remedy, fix = row.instead or hopped(frame, node), None
    if row.operation == "prefetch_related_objects":
        _prefetched(frame, arguments, node)
    if row.twin:
        arguments_text = frame.text(node).partition("(")[2]
        remedy = f"Use await {row.twin}({arguments_text}."
        fix = frame.fix("function", node, f"{path.rpartition('.')[0]}.{row.twin}")
    frame.report(row.code, node, row.operation, f"runs {row.operation}", remedy, fix=fix)
    if path == "subprocess.Popen":
        return Object(path)
    if row.operation == "open":
        mode = arguments[0][1] if len(arguments[0]) > 1 else arguments[1].get("mode", Constant("r"))
        return Object(FILE, (("mode", mode),))
    return _of_shortcut(frame, row.operation, arguments)


def _is_no_password(arguments: Arguments) -> bool:
    """Return True for ``make_password(None)``, which makes a password unusable and hashes nothing."""
    return NONE in {*arguments[0][:1], arguments[1].get("password")}


def _is_descriptor(arguments: Arguments) -> bool:
    return bool(arguments[0]) and isinstance(arguments[0][0], Constant) and isinstance(arguments[0][0].value, int)


def _of_shortcut(frame: Frame, name: str, arguments: Arguments) -> Value:
    """Return what ``get_object_or_404`` and its like return, or their twins when they are awaited."""
    if name in {"get_user", "authenticate"}:
        return frame.engine.user_row
    if name not in {"get_object_or_404", "get_list_or_404"} or not arguments[0]:
        return UNKNOWN
    rows = rows_given(frame, arguments[0][0])
    if rows is None:
        return UNKNOWN
    row = replace(rows.row, origin=None) if isinstance(rows.row, Row) else UNKNOWN
    return row if name == "get_object_or_404" else Items(row)


def rows_given(frame: Frame, given: Value) -> Rows | None:
    """Return the queryset of what a shortcut was given: a model, a manager or a queryset."""
    if isinstance(given, ClassValue) and frame.engine.models.is_model(given.cls):
        return Rows(frame.engine.models.of(given.cls))
    if isinstance(given, External) and frame.engine.models.is_installed(given.path):
        return Rows(frame.engine.models.external(given.path))
    rows = consume.rows_from(frame, given)
    return rows if isinstance(rows, Rows) else None


# Builtins


def _builtin(frame: Frame, name: str, arguments: Arguments, node: ast.Call) -> Value:
    positional = tuple(consume.rows_from(frame, each) for each in arguments[0])
    if not positional or not node.args:
        return UNKNOWN
    first, argument = positional[0], node.args[0]
    if name == "len":
        consume.length(frame, first, argument, node)
    elif name == "hash":
        take_hash(frame, first, node)
    elif name in _NUMBERS and isinstance(first, Coroutine):
        consume.unawaited(frame, first, argument)
    elif name in _NUMBERS:
        special(frame, first, _NUMBERS[name], node)
    elif name == "bool":
        consume.truth(frame, first, argument, "bool", node)
    elif name in _STRINGS:
        for each, shown in zip(arguments[0], node.args, strict=False):  # a manager has a name, and shows that
            consume.show(frame, each, shown, node)
    elif name == "next":
        return consume.iterate(frame, first, argument, node) if not isinstance(first, Rows) else UNKNOWN
    elif name in {"getattr", "hasattr"} and len(positional) > 1 and isinstance(positional[1], Constant):
        found = frame.engine.attribute(frame, arguments[0][0], str(positional[1].value), node)
        return found if name == "getattr" else UNKNOWN
    elif name == "aiter":
        return Items(iterate_async(frame, first, argument))
    elif name == "anext":
        return Coroutine(iterate_async(frame, first, argument))
    elif name == "vars":
        return Mapping()
    elif name == "type" and len(positional) == 1:
        return class_of(first)
    return UNKNOWN


# Libraries


def _library(frame: Frame, path: str, name: str, arguments: Arguments, node: ast.Call) -> Value:
    positional, named = arguments
    if path == "asyncio.as_completed" and positional:
        return positional[0] if isinstance(positional[0], Items) else Items()
    if path in _GATHERS:
        return gather(frame, arguments, node)
    if path in _AWAITS:
        given = positional[0] if positional else UNKNOWN
        made = given if isinstance(given, Coroutine) else Coroutine()
        return replace(made, is_task=path not in _WAITS)
    if path in _COPIES and positional:
        given = consume.rows_from(frame, positional[0])
        if isinstance(given, Rows):
            remedy = consume.evaluated(frame, given, node.args[0])
            consume.look(frame, given, node, "DAF004", "__getstate__", remedy, "", node.args[0])
        return UNKNOWN
    if path == "copy.deepcopy" and positional:
        return positional[0]
    if path.startswith("logging.") and name in methods.LOGGING:
        methods.log(frame, arguments, node)
        return UNKNOWN
    if path in MAKERS:
        return Object(path, packed(arguments))
    if path == "requests.session":
        return Object("requests.Session")
    if path == "asyncio.run_coroutine_threadsafe":
        return Object(FUTURE)
    if path == "functools.partial" and positional:
        return Partial(positional[0], positional[1:], tuple(named.items()))
    if path in functions.PURE:
        return External("identity")
    if path == "identity" or name == "cast":
        return positional[-1] if positional else UNKNOWN
    if name in functions.CALLBACKS | functions.THREAD_METHODS:
        return deferred(frame, name, arguments, node)
    return _django(frame, path, name, arguments, node)


def deferred(frame: Frame, name: str, arguments: Arguments, node: ast.Call) -> Value:
    """Take note of a function that a loop, a future or an executor is given."""
    if name in functions.CALLBACKS:
        for each, argument in zip(arguments[0], node.args, strict=False):
            if not isinstance(each, Callable) or not each.function.is_async:
                call_given(frame, each, (), argument, node)
        return UNKNOWN
    if name == "submit":
        _in_thread(frame, arguments, node)
        return Object(FUTURE)
    future = _in_thread(frame, (arguments[0][1:], arguments[1]), node)
    return replace(future, is_task=True) if isinstance(future, Coroutine) else Coroutine(is_task=True)


def _django(frame: Frame, path: str, name: str, arguments: Arguments, node: ast.Call) -> Value:
    positional, engine = arguments[0], frame.engine
    if path in {"django.contrib.auth.get_user_model", "django.apps.apps.get_model"}:
        return _user_model(frame) if name == "get_user_model" else _model_named(frame, positional)
    if path.startswith("django.") and name in {"aget_object_or_404", "aget_list_or_404"}:
        return Coroutine(_of_shortcut(frame, name[1:], arguments))
    if path in {"django.contrib.auth.aget_user", "django.contrib.auth.aauthenticate"}:
        return Coroutine(engine.user_row)
    if path == "django.contrib.messages.get_messages":
        return UNKNOWN if _has_session(frame, node) else Object(MESSAGES)
    if path.startswith("django.db.models.") and name == "aprefetch_related_objects":
        _prefetched(frame, arguments, node)
        return Coroutine()
    if path.startswith("django.core.serializers") and name == "serialize" and len(positional) > 1:
        if isinstance(consume.rows_from(frame, positional[1]), Rows):
            frame.report("DAF041", node, "serialize", "evaluates the queryset", hopped(frame, node))
        return UNKNOWN
    if path.startswith("django.http."):
        responses.make(frame, name, arguments, node)
    if path in _TEMPLATES:
        engine.render(frame, path, arguments, node)
        return UNKNOWN
    if path.startswith("django.db.migrations.") and name in {
        "MigrationRecorder",
        "MigrationExecutor",
        "MigrationLoader",
    }:
        return External(f"{path}()")
    if path.endswith(("MigrationRecorder().applied_migrations", "MigrationRecorder().has_table")):
        frame.report("DAF063", node, f"MigrationRecorder.{name}", "reads the migrations", hopped(frame, node))
        return UNKNOWN
    return made(frame, path, arguments)


def _has_session(frame: Frame, node: ast.Call) -> bool:
    """Return True if the session of the request that messages are asked of is loaded."""
    request = dotted(node.args[0]) if node.args else None
    session = frame.scope.find(f"{request}.session")
    return isinstance(session, Object) and session.argument("loaded") is not None


def _prefetched(frame: Frame, arguments: Arguments, node: ast.Call) -> None:
    """Take note of the relations that rows are given."""
    names = querysets.lookups(str(each.value) for each in arguments[0][1:] if isinstance(each, Constant))
    given = node.args[0] if node.args else None
    for row in given.elts if isinstance(given, ast.List | ast.Tuple) else []:
        value = frame.evaluate(row)
        if isinstance(value, Row):
            loaded = replace(value.loaded, prefetched=value.loaded.prefetched | names)
            frame.refine(row, replace(value, loaded=loaded))
    if isinstance(given, ast.Name):
        rows = frame.find(given.id)
        if isinstance(rows, Items) and isinstance(rows.item, Row):
            loaded = replace(rows.item.loaded, prefetched=rows.item.loaded.prefetched | names)
            frame.refine(given, Items(replace(rows.item, loaded=loaded)))


def _user_model(frame: Frame) -> Value:
    model = frame.engine.models.user
    if model.cls is not None:
        return ClassValue(model.cls)
    return External("django.contrib.auth.models.User" if model.facts is None else model.facts.place.path)


def _model_named(frame: Frame, names: tuple[Value, ...]) -> Value:
    """Return the model of ``apps.get_model("shop", "Book")`` or ``apps.get_model("shop.Book")``."""
    texts = [each.value for each in names if isinstance(each, Constant) and isinstance(each.value, str)]
    model = frame.engine.models.named(frame.module, ".".join(texts)) if texts and len(texts) == len(names) else None
    return ClassValue(model.cls) if model is not None and model.cls is not None else UNKNOWN


def made(frame: Frame, path: str, arguments: Arguments) -> Value:
    """Return an instance of a class outside the project, or unknown."""
    kinds, models = family(path), frame.engine.models
    if models.is_installed(path):
        return Row(models.external(path), Loaded(frozenset({EVERYTHING})))
    if "model" in kinds:
        model = models.user if "user" in kinds else models.external(path)
        return Row(model, Loaded(frozenset({EVERYTHING})))
    if path.endswith(".RequestFactory"):
        return UNKNOWN
    if path.startswith("django.db.models") and path.endswith(".Prefetch"):
        return Object(querysets.PREFETCH, packed(arguments))
    if "session" in kinds:
        is_loaded = not arguments[0] or "signed_cookies" in path
        return Object(SESSION, (("loaded", NONE),)) if is_loaded else Object(SESSION)
    if "request" in kinds:
        return Object(REQUEST)
    if kinds or path.startswith(("django.dispatch", "threading.local", "django.template.")):
        return Object(LOCAL if path == LOCAL else path, packed(arguments))
    return Object(path) if path.rpartition(".")[2][:1].isupper() or path == "logging.getLogger" else UNKNOWN


def packed(arguments: Arguments) -> tuple[tuple[str, Value], ...]:
    """Return arguments as an object keeps them."""
    return (*((str(index), value) for index, value in enumerate(arguments[0])), *arguments[1].items())
