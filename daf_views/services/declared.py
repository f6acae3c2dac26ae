"""``Services`` to type checkers: the types of ``services = {…}`` on a view and of ``self.services``.

One attribute has two types, and checkers let it have one. This is a protocol that a dict of factories has, too: every
class has ``__getattribute__``, and here it returns a service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from daf_views.services.plan import Factory


class DeclaredServices(Protocol):
    """A mapping of names to factories; the services that they make, by attribute and by item."""

    def __getattribute__(self, name: str, /) -> Any: ...

    def __getitem__(self, name: str, /) -> Any: ...

    def __contains__(self, name: object, /) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...

    def __len__(self) -> int: ...

    def values(self) -> Iterable[Factory]:
        """Return the factories: only of the class."""
