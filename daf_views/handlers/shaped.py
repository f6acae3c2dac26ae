"""``-> Shaped[list[BookOut]]``: the type to which a handler's result is converted.

``-> list[BookOut]`` does the same at run time. But a type checker takes it at its word, and a queryset of books is no
list of ``BookOut``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.db.models import Model, QuerySet

    T = TypeVar("T")
    Shaped: TypeAlias = (
        T | Model | QuerySet[Any, Any] | Mapping[str, Any] | Sequence[Model] | Sequence[Mapping[str, Any]]
    )
else:

    class Shaped:
        """To type checkers: the type, or a value that is converted: models, dicts, lists of them, and querysets."""

        def __class_getitem__(cls, kind: Any) -> Any:
            """Return the type: that is what the annotation says at run time."""
            return kind
