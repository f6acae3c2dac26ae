"""Patterns of ``match``: the names that they bind, and the attributes that they read."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from daf_orm.static.inference.special import class_behind
from daf_orm.static.inference.values import UNKNOWN, ClassValue, Constant, Items, Mapping, Value

if TYPE_CHECKING:
    from daf_orm.static.inference.frame import Frame


def match(frame: Frame, pattern: ast.pattern, value: Value, subject: ast.expr) -> None:
    """Bind the names of a pattern that a value is matched with; ``subject`` is where the value stands."""
    if isinstance(pattern, ast.MatchAs | ast.MatchStar) and pattern.name is not None:
        frame.scope.assign(pattern.name, value)
    if isinstance(pattern, ast.MatchAs) and pattern.pattern is not None:
        match(frame, pattern.pattern, value, subject)
    elif isinstance(pattern, ast.MatchOr):
        for each in pattern.patterns:
            match(frame, each, value, subject)
    elif isinstance(pattern, ast.MatchSequence):
        _match_items(frame, pattern, value, subject)
    elif isinstance(pattern, ast.MatchMapping):
        _match_mapping(frame, pattern, value, subject)
    elif isinstance(pattern, ast.MatchClass):
        _match_class(frame, pattern, value, subject)


def _match_items(frame: Frame, pattern: ast.MatchSequence, value: Value, subject: ast.expr) -> None:
    items = value if isinstance(value, Items) else Items()
    star = next((index for index, each in enumerate(pattern.patterns) if isinstance(each, ast.MatchStar)), None)
    for each, found in zip(pattern.patterns, items.parted(len(pattern.patterns), star), strict=True):
        match(frame, each, found, subject)


def _match_mapping(frame: Frame, pattern: ast.MatchMapping, value: Value, subject: ast.expr) -> None:
    known = dict(value.entries) if isinstance(value, Mapping) else {}
    other = value.item if isinstance(value, Mapping) else UNKNOWN
    for key, each in zip(pattern.keys, pattern.patterns, strict=True):
        name = frame.evaluate(key)
        match(frame, each, known.get(name.value, other) if isinstance(name, Constant) else other, subject)
    if pattern.rest is not None:
        frame.scope.assign(pattern.rest, value)


def _match_class(frame: Frame, pattern: ast.MatchClass, value: Value, subject: ast.expr) -> None:
    """Read the attributes that the pattern names, if the value is an instance of its class."""
    asked, cls = frame.evaluate(pattern.cls), class_behind(frame.engine.project, value)
    is_one = (
        isinstance(asked, ClassValue)
        and not isinstance(value, ClassValue)
        and cls is not None
        and asked.cls in frame.engine.project.ancestors(cls)[0]
    )
    for each in pattern.patterns:
        match(frame, each, UNKNOWN, subject)
    for name, each in zip(pattern.kwd_attrs, pattern.kwd_patterns, strict=True):
        read = ast.copy_location(ast.Attribute(value=subject, attr=name, ctx=ast.Load()), pattern)
        match(frame, each, frame.engine.attribute(frame, value, name, read) if is_one else UNKNOWN, subject)
