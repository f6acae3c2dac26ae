"""Contents of Django responses: querysets that they iterate at once, and coroutines that they cannot show."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from daf_orm.static.inference import consume
from daf_orm.static.inference.values import Coroutine, Value

if TYPE_CHECKING:
    from daf_orm.static.inference.frame import Frame
    from daf_orm.static.inference.querysets import Arguments

_JSON: Final = "JsonResponse"


def make(frame: Frame, name: str, arguments: Arguments, node: ast.Call) -> None:
    """Take note of the content that a class of ``django.http`` is called with."""
    if not name.startswith("HttpResponse") and name != _JSON:
        return
    keyword = "data" if name == _JSON else "content"
    written = node.args[0] if node.args else next((each.value for each in node.keywords if each.arg == keyword), None)
    given = arguments[0][0] if arguments[0] else arguments[1].get(keyword)
    if written is None or given is None or isinstance(written, ast.Starred):
        return
    if name == _JSON:
        for value, part in _parts(frame, given, written):
            if isinstance(value, Coroutine):
                consume.unawaited(frame, value, part)
    else:
        consume.iterate(frame, consume.rows_from(frame, given), written, node, "argument")


def _parts(frame: Frame, value: Value, node: ast.expr) -> list[tuple[Value, ast.expr]]:
    """Return a value and those in the dictionary that it is written as, without reporting what they do again."""
    if not isinstance(node, ast.Dict):
        return [(value, node)]
    was_muted, frame.is_muted = frame.is_muted, True
    try:
        return [(frame.evaluate(each), each) for each in node.values]
    finally:
        frame.is_muted = was_muted
