"""What to write instead of a blocking call: code to paste where the user's own can be taken apart, else its pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.core import paginator

from daf_orm.detection.expressions import Expression

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daf_orm.detection.operations import Operation

_HOP: Final = "await database_sync_to_async(func)(…)"
_CURSOR: Final = "Use async with daf_orm.cursor() as cur, or do it all in one hop: {hop}."
_ATOMIC: Final = "Use async with daf_orm.transaction.atomic()."
_DATABASE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("cursor", "execute", "executemany", "callproc", "copy", "ensure_connection", "connect"), _CURSOR),
    **dict.fromkeys(("fetchone", "fetchmany", "fetchall", "__iter__", "nextset"), _CURSOR),
    **dict.fromkeys(("atomic", "commit", "rollback", "set_autocommit", "get_autocommit"), _ATOMIC),
    **dict.fromkeys(("savepoint", "savepoint_commit", "savepoint_rollback", "clean_savepoints"), _ATOMIC),
    "on_commit": "Use daf_orm.transaction.on_commit(…) in async with daf_orm.transaction.atomic().",
}


def suggest(operation: Operation, source: str) -> str:
    """Return a sentence that says what to write instead of ``source``, the expression that blocked."""
    expression = Expression(source)
    if operation.template:
        return _in_template(operation)
    if operation.kind == "relation":
        return _for_relation(operation, expression)
    if not operation.is_direct:
        first = "Evaluate the queryset before (await queryset.alist()), or do" if operation.kind == "queryset" else "Do"
        return f"{first} it in one hop: {expression.hopped() or _HOP}."
    if operation.kind == "queryset":
        return _for_queryset(operation, expression)
    if operation.method in _DATABASE and (operation.kind == "database" or operation.owner is None):
        return _DATABASE[operation.method].format(hop=_HOP)
    return _for_method(operation, expression)


def _in_template(operation: Operation) -> str:
    if operation.method == "get_user":
        return 'Load the user before rendering, and pass it to the template: {"user": await request.auser()}.'
    if operation.kind == "relation":
        return f'Load "{operation.field}" before rendering: select_related, prefetch_related or afetch_related.'
    hop = "render in one hop: await database_sync_to_async(render)(…)"
    if operation.kind == "queryset":
        return f"Evaluate it before rendering (await queryset.alist()), or {hop}."
    return f"Do it before rendering, or {hop}."


def _for_relation(operation: Operation, expression: Expression) -> str:
    instance = expression.owner_of(operation.field) if operation.is_direct else None
    instance, field = instance or "instance", operation.field
    if operation.name.endswith("DeferredAttribute"):
        return f'Load it with the row (only(), defer()), or await {instance}.arefresh_from_db(fields=["{field}"]).'
    loader = "prefetch_related" if operation.name == "GenericForeignKey" else "select_related"
    if hasattr(operation.owner, "afetch_related"):
        return f'Add {loader}("{field}"), or await {instance}.afetch_related("{field}").'
    return f'Add {loader}("{field}"), or await database_sync_to_async(lambda: {instance}.{field})().'


def _for_queryset(operation: Operation, expression: Expression) -> str:
    method, queryset = operation.method, expression.receiver(operation.method) or "queryset"
    if operation.twin:
        return f"Use {expression.awaited(method, operation.twin) or f'await {queryset}.{operation.twin}(…)'}."
    if operation.name.startswith("RawQuerySet"):
        return f"Use rows = await database_sync_to_async(list)({queryset})."
    evaluated = f"[row async for row in {queryset}]"
    if hasattr(operation.owner, "alist"):
        evaluated += f", or await {queryset}.alist()"
    if method == "__len__" and expression.source.startswith("len("):
        return f"Use await {queryset}.acount(), or evaluate it: {evaluated}."
    return f"Use {_twin_of_operator(method, queryset, expression) or evaluated}."


def _twin_of_operator(method: str, queryset: str, expression: Expression) -> str | None:
    """Return what does the work of an operator or statement without fetching every row."""
    item = expression.item() or "…"
    match method:
        case "iterator":
            return f"async for row in {queryset}.aiterator()"
        case "__bool__":
            return f"await {queryset}.aexists()"
        case "__iter__" if expression.is_membership:
            return f"await {queryset}.acontains({item})"
        case "__getitem__" if ":" not in item:
            return f"await {queryset}.afirst()" if item == "0" else f"await {queryset}[{item}:].afirst()"
    return None


def _for_method(operation: Operation, expression: Expression) -> str:
    """Suggest the async twin of what is neither a queryset nor a lazy load; a hop to a thread if it has none."""
    if operation.method == "get_user" and operation.owner is None and (user := _request_user(expression)):
        return user
    if operation.name.startswith("Paginator.") and hasattr(paginator, "AsyncPaginator"):
        return f"Use AsyncPaginator: await paginator.a{operation.method}(…)."
    if operation.twin:
        pattern = f"await ….{operation.twin}(…)" if operation.owner else f"await {operation.twin}(…)"
        return f"Use {expression.awaited(operation.method, operation.twin) or pattern}."
    if (session := _for_session(operation, expression)) is not None:
        return f"Use {session}."
    hop = expression.listed() if operation.method == "__iter__" else expression.hopped()
    return f"Do it in one hop: {hop or _HOP}."


def _request_user(expression: Expression) -> str | None:
    """Explain ``request.user``, which calls get_user() when it is first looked into."""
    if expression.receiver("get_user") and "get_user(" in expression.source:
        return None
    request = expression.owner_of("user") or "request"
    return f"Use user = await {request}.auser(), and user for {request}.user."


def _for_session(operation: Operation, expression: Expression) -> str | None:
    if not hasattr(operation.owner, "ahas_key"):
        return None
    session, key = expression.receiver("__getitem__") or "request.session", expression.item() or "…"
    match operation.method:
        case "__getitem__":
            return f"await {session}.aget({key})"
        case "__setitem__":
            return f"await {session}.aset({key}, …)"
        case "__delitem__":
            return f"await {session}.apop({key})"
        case "__contains__":
            return f"await {session}.ahas_key({key})"
    return None
