"""Values that are no decision and no user, though they count as true: a hook that returns one has a mistake.

Such a value must let no request in.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Generator
from typing import Any

from django.db.models import Manager, QuerySet
from django.http.response import HttpResponseBase

_REFUSALS = (tuple, list, HttpResponseBase, BaseException)
_UNCALLED = (type, functools.partial)
_UNASKED = (Manager, QuerySet, Generator)


def is_no_decision(answer: Any) -> bool:
    """Return True for a value that says neither yes nor no.

    Examples are a coroutine that was not awaited, a method that was not called, a queryset, and what other frameworks
    return for a refusal.
    """
    return (
        answer is NotImplemented
        or isinstance(answer, (*_REFUSALS, *_UNCALLED, *_UNASKED))
        or inspect.isroutine(answer)
        or inspect.isawaitable(answer)
        or hasattr(answer, "__anext__")
    )


def is_no_user(value: Any) -> bool:
    """Return True for a value that cannot be a user. Any object may be one, such as a name, but no truth value."""
    return is_no_decision(value) or isinstance(value, bool)


def described(answer: Any) -> str:
    """Return the value's kind for a message, without the value. A coroutine is closed, so that it warns of nothing."""
    if inspect.iscoroutine(answer):
        answer.close()
    if isinstance(answer, type):
        return f"the class {answer.__qualname__}"
    if inspect.isroutine(answer) and not isinstance(answer, functools.partial):  # on 3.14 it is one
        return f"the function {getattr(answer, '__name__', '')}()"
    return f"a {type(answer).__name__}"


def remedy_for(answer: Any, otherwise: str) -> str:
    """Return the remedy for a hook that has returned the value."""
    if inspect.isawaitable(answer):
        return "write `return await …`"
    return "call it" if inspect.isroutine(answer) or isinstance(answer, functools.partial) else otherwise
