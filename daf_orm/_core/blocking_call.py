"""One blocking call on an event loop: the record, its text in reports, and the error."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass
from typing import Any

from django.core.exceptions import SynchronousOnlyOperation

SQL_LENGTH = 120
"""Characters of a statement that a message shows. The record has the whole statement, never its parameters."""
DJANGOS_SENTENCE = "You cannot call this from an async context - use a thread or sync_to_async."
"""Django's error has this message. Code may look for it."""
_HERE = os.path.join(os.getcwd(), "")  # noqa: PTH109, PTH118 - once: a message is made on the event loop
_COLUMNS = re.compile(r"^(SELECT(?: DISTINCT)?) [^(]{20,}? FROM ")  # COUNT(*) says something


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockingCall:
    """A call that blocked an event loop, or would have: its place, its effect, and the code to write instead."""

    filename: str
    lineno: int
    function: str
    """Qualified name of the function the line is in."""
    module: str
    expression: str
    """The source of the very expression that blocked; empty where the source is not available."""
    operation: str
    """The operation in Django's words: ``QuerySet.count``, ``ForwardManyToOneDescriptor``, ``atomic``."""
    model: str | None = None
    """Label of the model, ``shop.Book``."""
    field: str | None = None
    """Name of the field or relation that was loaded."""
    sql: str | None = None
    template: str | None = None
    """The place in a template, ``shop/detail.html:12``, if one was rendered."""
    suggestion: str = ""
    coroutine: str = ""
    """A place for ``await``, ``shop/views.py:30 in page``, if the line is in a function that is not async."""
    swallowed: bool = False
    """True if the error was raised and swallowed: the code went on with a wrong answer. Known when a test ends."""

    @property
    def site(self) -> str:
        """The place in the user's code, ``shop/views.py:41 in detail``: relative to where the process was started."""
        return place(self.filename, self.lineno, self.function)

    @property
    def effect(self) -> str:
        """The effect of the call: ``loads Book.author (SELECT …)``."""
        statement = f" ({_shorten(self.sql)})" if self.sql else ""
        place = f" in template {self.template}" if self.template else ""
        if self.model and self.field:
            field = f"{self.model.rpartition('.')[2]}.{self.field}"
            # A lazy load is named after its descriptor, any other operation after a method.
            verb = f"runs {self.operation} of" if "." in self.operation else "loads"
            return f"{verb} {field}{statement}{place}"
        of_model = f" of {self.model}" if self.model else ""
        return f"runs {self.operation}{of_model}{statement}{place}"

    def __str__(self) -> str:
        expression = f"{self.expression} → " if self.expression else ""
        swallowed = " The error was swallowed." if self.swallowed else ""
        remedy = f" {self.suggestion}" if self.suggestion else ""
        return f"{self.site}: {expression}{self.effect} on the event loop.{remedy}{swallowed}"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, fit for JSON."""
        return asdict(self)


class BlockingCallError(SynchronousOnlyOperation):
    """Synchronous database code was about to block an event loop. ``call`` has the place, the effect and the remedy."""

    __module__ = "daf_orm"  # the public name, shown in tracebacks and summaries

    def __init__(self, call: BlockingCall) -> None:
        super().__init__(f"{call} {DJANGOS_SENTENCE}")
        self.call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.call,)


def place(filename: str, lineno: int, function: str) -> str:
    """Return a place in the code, relative to the directory in which the process was started."""
    return f"{filename.removeprefix(_HERE)}:{lineno} in {function}"


def _shorten(sql: str) -> str:
    statement = _COLUMNS.sub(r"\1 … FROM ", " ".join(sql.split()))
    return statement if len(statement) <= SQL_LENGTH else f"{statement[: SQL_LENGTH - 1]}…"
