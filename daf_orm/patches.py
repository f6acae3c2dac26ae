"""One kind of table for every attribute of Django and asgiref that DAF replaces, each with its reason.

Nothing is replaced on import: :meth:`PatchTable.activate` does it, :meth:`PatchTable.deactivate` undoes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

__all__ = ["Patch", "PatchTable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """One attribute that is replaced, and why."""

    owner: Any
    """The object that has the attribute; or ``"module"`` or ``"module:attribute"``, imported on activation."""
    name: str
    replacement: Any = None
    wrapper: Callable[[Any], Any] | None = None
    """Takes the original and returns the replacement, where one depends on the other."""
    why: str
    is_optional: bool = False
    """True if the table works without this row: a version of Django, or an application, may lack the attribute."""

    def resolve_owner(self) -> Any:
        """Return the owner itself. Raises ImportError, AttributeError or RuntimeError if it cannot be imported."""
        if not isinstance(self.owner, str):
            return self.owner
        module, _, attribute = self.owner.partition(":")
        found: Any = import_module(module)
        return getattr(found, attribute) if attribute else found


class _Original(NamedTuple):
    patch: Patch
    owner: Any
    value: Any
    replacement: Any
    is_own: bool
    """True if it was the owner's own attribute, neither inherited nor found on its class."""


class PatchTable:
    """Patches that are activated and deactivated together, one table for each concern."""

    def __init__(self, *patches: Patch, assign: Callable[[Any, str, Any], None] = setattr) -> None:
        self.patches = patches
        self._assign = assign
        self._originals: list[_Original] = []

    @property
    def is_active(self) -> bool:
        """True while any row is active."""
        return bool(self._originals)

    def activate(self, patches: Iterable[Patch] | None = None) -> None:
        """Replace the attributes of all rows, or of ``patches``. Idempotent; all or nothing.

        Raises ImportError or AttributeError if an attribute is missing whose row is not optional.
        """
        active = [original.patch for original in self._originals]
        before = len(self._originals)
        try:
            for patch in self.patches if patches is None else patches:
                if not any(patch is other for other in active):
                    self._apply(patch)
        except BaseException:
            self._undo_down_to(before)
            raise

    def deactivate(self) -> None:
        """Restore the originals. Idempotent."""
        self._undo_down_to(0)

    def is_outermost(self) -> bool:
        """Return True if no other code has replaced any of the attributes since this table did."""
        return all(vars(owner).get(patch.name) is replacement for patch, owner, _, replacement, _ in self._originals)

    def forget_lost(self) -> None:
        """Forget the rows whose replacement other code has thrown away, so that they can be activated again.

        A replacement that other code has wrapped, as :func:`functools.wraps` does, is not lost.
        """
        self._originals[:] = [
            original
            for original in self._originals
            if _wraps(vars(original.owner).get(original.patch.name), original.replacement)
        ]

    def _apply(self, patch: Patch) -> None:
        try:
            owner = patch.resolve_owner()
            is_own = patch.name in vars(owner)
            value = vars(owner)[patch.name] if is_own else getattr(owner, patch.name)
        # RuntimeError: models of an application that is not installed. TypeError: an owner without a __dict__.
        except (AttributeError, ImportError, RuntimeError, TypeError):
            if patch.is_optional:
                return
            raise
        replacement = patch.replacement if patch.wrapper is None else patch.wrapper(value)
        self._originals.append(_Original(patch, owner, value, replacement, is_own))  # before: it could be interrupted
        try:
            self._assign(owner, patch.name, replacement)
        except BaseException:
            if vars(owner).get(patch.name) is not replacement:
                self._originals.pop()
            raise

    def _undo_down_to(self, length: int) -> None:
        while len(self._originals) > length:
            patch, owner, value, _, is_own = self._originals[-1]
            if is_own:
                self._assign(owner, patch.name, value)
            else:
                delattr(owner, patch.name)
            self._originals.pop()


def _wraps(value: Any, replacement: Any) -> bool:
    while value is not None:
        if value is replacement:
            return True
        value = getattr(value, "__wrapped__", None)
    return False
