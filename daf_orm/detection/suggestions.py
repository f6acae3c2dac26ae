"""What to write instead of a blocking call."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from django.db import models

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daf_orm.detection.operations import Operation

_HOP: Final = "Do it in one hop: await database_sync_to_async(func)(…)."
_EVALUATION: Final = "Use [row async for row in {queryset}], or await {queryset}.alist()."

_QUERYSET: Final[Mapping[str, str]] = {
    "__len__": "Use await {queryset}.acount(), or evaluate it first with await {queryset}.alist().",
    "__bool__": "Use await {queryset}.aexists().",
    "__getitem__": "Use await {queryset}.afirst(), or slice and evaluate: await {queryset}[a:b].alist().",
    "__contains__": "Use await {queryset}.acontains(obj).",
    "iterator": "Use async for row in {queryset}.aiterator().",
    "_iterator": "Use async for row in {queryset}.aiterator().",
}
_OTHER: Final[Mapping[str, str]] = {
    "atomic": "Use async with daf_orm.transaction.atomic().",
    "get_object_or_404": "Use await aget_object_or_404(…).",
    "get_list_or_404": "Use await aget_list_or_404(…).",
    "prefetch_related_objects": "Use await aprefetch_related_objects(…).",
    "authenticate": "Use await aauthenticate(…).",
    "login": "Use await alogin(…).",
    "logout": "Use await alogout(…).",
    "get_user": "Use await request.auser().",
    "update_session_auth_hash": "Use await aupdate_session_auth_hash(…).",
    "on_commit": "Use daf_orm.transaction.on_commit(…).",
}


def suggest(operation: Operation, expression: str) -> str:
    """Return a sentence that says what to write instead."""
    if operation.template:
        return _in_template(operation)
    if operation.kind == "queryset":
        return _for_queryset(operation, expression)
    if operation.kind == "relation":
        return _for_relation(operation, expression)
    if operation.kind == "related manager" or (operation.kind == "instance" and _has_twin(operation.method)):
        return f"Use {_awaited(expression, operation.method)}."
    if operation.kind == "instance" and operation.method in _MODEL_TWINS:
        return f"Use {_awaited(expression, operation.method)} of AsyncModel."
    if operation.name == "atomic" or operation.method in _OTHER:
        return _OTHER[operation.method]
    if operation.kind == "database":
        return "Use async with daf_orm.cursor() as cur, or one hop: await database_sync_to_async(func)(…)."
    return _for_other(operation)


_MODEL_TWINS = {"full_clean", "validate_unique", "validate_constraints"}


def _for_queryset(operation: Operation, expression: str) -> str:
    queryset = _receiver(expression, operation.method)
    if operation.method in _QUERYSET:
        return _QUERYSET[operation.method].format(queryset=queryset)
    if hasattr(models.QuerySet, f"a{operation.method}"):
        return f"Use {_awaited(expression, operation.method)}."
    return _EVALUATION.format(queryset=queryset)


def _for_relation(operation: Operation, expression: str) -> str:
    instance = expression.rpartition(".")[0] if expression.endswith(f".{operation.field}") else "instance"
    if operation.name == "DeferredAttribute":
        return f'Load it with the row (leave it out of defer()), or await {instance}.arefresh_from_db(fields=["{operation.field}"]).'
    loader = "prefetch_related" if operation.name.startswith("Generic") else "select_related"
    return f'Add {loader}("{operation.field}"), or await {instance}.afetch_related("{operation.field}").'


def _in_template(operation: Operation) -> str:
    if operation.kind == "relation" and operation.field:
        return f'Load "{operation.field}" before rendering: select_related, prefetch_related or afetch_related.'
    return "Evaluate it before rendering (await queryset.alist()), or render in one hop: await database_sync_to_async(render)(…)."


def _for_other(operation: Operation) -> str:
    owner = operation.name.rpartition(".")[0]
    if operation.method.startswith("_") or operation.method.endswith(">"):
        return _HOP
    return f"Do it in one hop: await database_sync_to_async({'…' if owner else ''}{'.' if owner else ''}{operation.method})(…)."


def _has_twin(method: str) -> bool:
    return hasattr(models.Model, f"a{method}")


def _call(expression: str, method: str) -> ast.Attribute | None:
    try:
        tree = ast.parse(expression, mode="eval").body
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method:
            return node.func
    return None


def _receiver(expression: str, method: str) -> str:
    """The source of what the method was called on; ``queryset`` where that is not to be seen."""
    called = _call(expression, method)
    if called is not None:
        return ast.unparse(called.value)
    try:
        tree = ast.parse(expression, mode="eval").body
    except SyntaxError:
        return "queryset"
    if isinstance(tree, ast.Subscript):
        tree = tree.value
    elif isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and len(tree.args) == 1 and not tree.keywords:
        tree = tree.args[0]  # list(queryset), len(queryset)
    if isinstance(tree, ast.Name | ast.Attribute) or (
        isinstance(tree, ast.Call) and isinstance(tree.func, ast.Attribute)
    ):
        return ast.unparse(tree)
    return "queryset"


def _awaited(expression: str, method: str) -> str:
    """The expression with its blocking call awaited."""
    called = _call(expression, method)
    if called is None:
        return f"await ….a{method}(…)"
    called.attr = f"a{method}"
    arguments = expression[expression.rfind(f".{method}(") + len(method) + 2 :] if f".{method}(" in expression else "…)"
    return f"await {ast.unparse(called)}({'' if arguments.startswith(')') else '…'})"
