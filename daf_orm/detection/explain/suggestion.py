"""Suggest replacements for a blocking call: code to paste where the user's can be taken apart, else its pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.core import paginator

from daf_orm.detection.explain.rewrite import Expression

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daf_orm.detection.explain.operation import Operation

_HOP: Final = "await database_sync_to_async(func)(…)"
_CURSOR: Final = "Use async with daf_orm.cursor() as cur, or do it all in one hop: {hop}."
_ATOMIC: Final = "Use async with daf_orm.transaction.atomic()."
_DATABASE: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("cursor", "execute", "executemany", "callproc", "copy", "stream", "ensure_connection", "connect"), _CURSOR
    ),
    **dict.fromkeys(("fetchone", "fetchmany", "fetchall", "__iter__", "nextset"), _CURSOR),
    **dict.fromkeys(("atomic", "commit", "rollback", "set_autocommit", "get_autocommit"), _ATOMIC),
    **dict.fromkeys(("savepoint", "savepoint_commit", "savepoint_rollback", "clean_savepoints"), _ATOMIC),
    "on_commit": "Use daf_orm.transaction.on_commit(…) in async with daf_orm.transaction.atomic().",
}


def suggest(operation: Operation, source: str) -> str:
    """Return a sentence with the replacement of ``source``, the expression that blocked."""
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


def hop(source: str) -> str:
    """Return the expression done in a worker thread, on one connection."""
    return Expression(source).hopped() or _HOP


def suggest_for_answer(operation: Operation, function: str) -> str:
    """Return a sentence for a call that reads what a function has returned."""
    if operation.kind == "relation":
        return (
            f'Load "{operation.field}" before {function} returns: select_related, prefetch_related or afetch_related.'
        )
    return f"Do it before {function} returns, or leave it out of the type that is returned."


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
    known = operation.is_direct and not expression.awaits  # an awaited instance has no name yet
    instance = (expression.owner_of(operation.field) if known else None) or "instance"
    field = operation.field
    if operation.name.endswith("DeferredAttribute"):
        return f'Load it with the row (only(), defer()), or await {instance}.arefresh_from_db(fields=["{field}"]).'
    if operation.peers > 1:
        return _for_peers(operation, instance)
    loader = "prefetch_related" if operation.name == "GenericForeignKey" else "select_related"
    if hasattr(operation.owner, "afetch_related"):
        return f'Add {loader}("{field}"), or await {instance}.afetch_related("{field}").'
    return f'Add {loader}("{field}"), or await database_sync_to_async(lambda: {instance}.{field})().'


def _for_peers(operation: Operation, instance: str) -> str:
    hop = f"await database_sync_to_async(lambda: {instance}.{operation.field})()"
    return f'Add select_related("{operation.field}"), or {hop}: once, for all {operation.peers} rows (FETCH_PEERS).'


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
    return f"Use {_twin_of_operator(operation, queryset, expression) or evaluated}."


def _twin_of_operator(operation: Operation, queryset: str, expression: Expression) -> str | None:
    """Return the async form of an operator or statement, without fetching every row where possible."""
    match operation.method:
        case "iterator":
            return f"async for row in {queryset}.aiterator()"
        case "__bool__":
            return f"await {queryset}.aexists()"
        case "__iter__" if expression.membership is not None:
            return _membership(operation, queryset, expression)
        case "__getitem__" if not expression.is_sliced:
            return _item(operation, queryset, expression.item() or "…")
    return None


def _membership(operation: Operation, queryset: str, expression: Expression) -> str:
    item = expression.item() or "…"
    if not operation.is_plain:  # acontains() would raise
        return f"{item} {expression.membership} [row async for row in {queryset}]"
    return f"{'not ' if expression.membership == 'not in' else ''}await {queryset}.acontains({item})"


def _item(operation: Operation, queryset: str, item: str) -> str:
    rest = queryset if item == "0" else f"{queryset}[{item}:]"
    # Without an order afirst() makes one, which a slice or a grouped query refuses.
    if operation.is_ordered or (operation.is_plain and item == "0"):
        return f"await {rest}.afirst()"
    return f"[row async for row in {rest}[:1]][0]"


def _for_method(operation: Operation, expression: Expression) -> str:
    """Suggest the async twin of an operation that is neither a queryset's nor a lazy load, else a hop to a thread."""
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
    """Explain ``request.user``, which calls get_user() at its first use."""
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
