"""``DAFPanel``: the threads and connections that a request used, and its blocking calls."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from debug_toolbar.panels import Panel
from django.template import Context, Engine

from daf_orm.debug_toolbar.record import RequestRecord

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.template import Template

_SOURCE: Final = (Path(__file__).parent / "panel.html").read_text(encoding="utf-8")


class DAFPanel(Panel):
    """Thread hops, leases, waits for a connection, the pin and the blocking calls of one request.

    The work of a streamed response after its view has returned is not in it.
    """

    is_async = True
    title = "DAF"
    _record: RequestRecord | None = None

    @property
    def nav_subtitle(self) -> str:
        """The line below the title."""
        if not (stats := self._stats):
            return ""
        blocking = stats["blocking_call_count"]
        return f"{stats['hops']} hops, {stats['leases']} leases{f', {blocking} blocking' if blocking else ''}"

    @property
    def content(self) -> str:
        """The panel's page, escaped."""
        return _template().render(Context(self._stats))

    def enable_instrumentation(self) -> None:
        """Begin the record of this request."""
        if self._record is None:
            self._record = RequestRecord()

    def disable_instrumentation(self) -> None:
        """End it."""
        if self._record is not None:
            self._record.end()

    def generate_stats(self, request: HttpRequest, response: HttpResponse) -> None:  # noqa: ARG002 - the toolbar's
        """Store it."""
        if self._record is not None:
            self.record_stats(self._record.as_dict())  # type: ignore[no-untyped-call] # the toolbar is typed in part

    @property
    def _stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = self.get_stats()  # type: ignore[no-untyped-call] # the same
        return stats


@cache
def _template() -> Template:
    # A separate engine: those in TEMPLATES may not be Django's, or not look here.
    return Engine().from_string(_SOURCE)
