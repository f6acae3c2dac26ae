"""``Page``: some rows of a queryset, with the URLs of other pages."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daf_views.pagination.links import link_header

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, kw_only=True)
class Page(ABC):
    """The return value of a paginator."""

    items: list[Any]
    links: dict[str, str]
    """Absolute URLs by relation (RFC 8288): those of ``first``, ``prev``, ``next`` and ``last`` that there are."""

    @abstractmethod
    def envelope(self, items: Sequence[Any]) -> dict[str, Any]:
        """Return the body of the response, with ``items`` for its results."""

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the response: ``Link``."""
        return {"Link": link_header(self.links)} if self.links else {}

    def body(self, shape: Callable[[Any], Any] | None = None) -> dict[str, Any]:
        """Return the body, each item as ``shape`` makes it. Raises TypeError for a shape that is async."""
        if shape is None:
            return self.envelope(self.items)
        if inspect.iscoroutinefunction(shape):
            raise TypeError(
                f"{shape.__qualname__} is async: a row is shaped by a synchronous function, from loaded values."
            )
        return self.envelope([shape(item) for item in self.items])
