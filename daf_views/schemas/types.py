"""Types as annotations spell them."""

from __future__ import annotations

import types
from typing import Annotated, Any, Union, get_args, get_origin

_LISTS = frozenset({list, set, frozenset, tuple})


def bare(kind: Any) -> Any:
    """Return the type without what annotates it, and of ``X | None`` the X."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in {Union, types.UnionType}:
        others = [each for each in get_args(kind) if each is not types.NoneType]
        return bare(others[0]) if len(others) == 1 else kind
    return kind


def is_list(kind: Any) -> bool:
    """Whether it holds as many values as there are."""
    kind = bare(kind)
    return (get_origin(kind) or kind) in _LISTS
