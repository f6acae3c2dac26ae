"""The attributes that an owner has set on one Django wrapper, and their copies on its other wrappers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from daf_orm._leases.attributes import MANY, PLAIN, Attributes, attributes_of, is_method, not_set_by_code
from daf_orm._leases.carrying import CannotCarry, carried

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


_NOTHING: Final[tuple[dict[str, Any], list[Any], bool]] = ({}, [], False)
"""The appearance of a wrapper on which code has set nothing."""


class Appearance:
    """A wrapper's attributes, as code has changed them, and its execute wrappers."""

    _names: Attributes
    _at_first: Any
    _own_wrappers: list[Any]
    """The execute wrappers that DAF has added."""
    _shown: Any = None
    _deleted: frozenset[str] = frozenset()
    """Names of attributes that the owner has set and deleted again."""

    def __init__(self, wrapper: BaseDatabaseWrapper) -> None:
        self.wrapper = wrapper
        self.alias = wrapper.alias

    def _note_attributes(self) -> None:
        """Record the attributes of a new wrapper."""
        values = vars(self.wrapper)
        self._names = attributes_of(type(self.wrapper), self.alias, values)
        self._at_first = self._names.get_shown(values)

    def is_own(self, execute_wrapper: Any) -> bool:
        """Return True if an execute wrapper is DAF's."""
        return execute_wrapper in self._own_wrappers

    def look_like(self, first: Appearance) -> None:
        """Copy the attributes that the owner has set on another of its wrappers."""
        if first is self:
            self._shown = self.shows()
            return
        ours, theirs = self.wrapper, first.wrapper
        if not first._deleted and first._is_plain() and self._is_plain():
            ours.settings_dict, ours.queries_log = theirs.settings_dict, theirs.queries_log
            self._shown = _NOTHING
            return
        own = [each for each in ours.execute_wrappers if self.is_own(each)]
        ours.execute_wrappers[:] = (
            own[:1] + [each for each in tuple(theirs.execute_wrappers) if not first.is_own(each)] + own[1:]
        )
        ours.settings_dict, ours.queries_log = theirs.settings_dict, theirs.queries_log
        ours.force_debug_cursor = theirs.force_debug_cursor
        additions, values = self._carried_from(first), vars(ours)
        for name in first._deleted - additions.keys() - self._names.own:
            values.pop(name, None)
        values.update(additions)
        self._shown = self.shows()

    def _carried_from(self, first: Appearance) -> dict[str, Any]:
        others = {id(first): self, id(first.wrapper): self.wrapper}
        additions = first.additions(whole=self._is_changed(vars(self.wrapper)))
        for name, value in tuple(additions.items()):
            if not callable(value):
                continue
            try:
                additions[name] = carried(value, others)
            except CannotCarry:  # it would use the other wrapper's connection, which another thread has
                del additions[name]
        return additions

    def note_what_it_shows(self) -> None:
        """Record the present state, since the owner has a second wrapper now, which has to follow later changes."""
        if self._shown is None:
            self._shown = self.shows()

    def shows(self) -> tuple[Any, ...]:
        """Return the attributes, execute wrappers and debug flag that the owner has set on it."""
        if self._is_plain():
            return _NOTHING
        wrappers = [each for each in tuple(self.wrapper.execute_wrappers) if not self.is_own(each)]
        return self.additions(), wrappers, self.wrapper.force_debug_cursor

    def additions(self, *, whole: bool = False) -> dict[str, Any]:
        """Return the attributes that it had not at first, with changed ones if any was changed.

        ``whole``: with the plain values among the first attributes in any case.
        """
        values = vars(self.wrapper).copy()  # another thread may be using it
        names = values.keys() - self._names.own
        if whole or self._is_changed(values):
            names |= {
                name
                for name, first in zip(self._names.shown, self._at_first, strict=True)
                if name in values and (isinstance(values[name], PLAIN) or values[name] is not first)
            }
        names -= not_set_by_code(cast("Any", type(self.wrapper)))
        return {name: values[name] for name in names}

    def _is_plain(self) -> bool:
        """Return True if code has set nothing on it: the answer that most calls get, at once."""
        wrapper = self.wrapper
        if wrapper.force_debug_cursor or wrapper.execute_wrappers != self._own_wrappers:
            return False
        values, names = vars(wrapper), self._names
        return values.keys() <= names.plain and not (names.shown and self._is_changed(values))

    def _is_changed(self, values: dict[str, Any]) -> bool:
        """Return True if an attribute that it had at first has another value now."""
        try:
            return bool(self._names.get_shown(values) != self._at_first)
        except Exception:  # noqa: BLE001 - code has deleted one, or set a value that cannot be compared
            return True

    @property
    def is_patched(self) -> bool:
        """Return True if code has replaced a method of this wrapper by one that a second wrapper cannot have."""
        values, names = vars(self.wrapper), self._names
        if values.keys() <= names.unpatched:
            return False
        kind: Any = type(self.wrapper)
        replaced = [values[name] for name in values.keys() - names.own if is_method(kind, name)]
        if not replaced and len(names.unpatched) < MANY:
            names.unpatched |= values.keys()
        return any(callable(method) and not self._can_carry(method) for method in replaced)

    def _can_carry(self, method: Any) -> bool:
        try:
            carried(method, {id(self): object(), id(self.wrapper): object()})
        except CannotCarry:
            return False
        return True

    def _has_changed(self) -> bool:
        """Return True after a call if the owner has set something on it that its other wrappers have to show."""
        if self._shown is None or self._shown == (shown := self.shows()):
            return False
        self._deleted |= self._shown[0].keys() - shown[0].keys()
        return True
