"""The checks of :mod:`daf_views.http.csrf` as stages of a view: no hook that is overridden leaves them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from daf_views.api.admission import Admission
from daf_views.http.csrf import check_origin, check_token, needs_check
from daf_views.http.methods import READING
from daf_views.views.pipeline import Stage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from django.http import HttpRequest

    from daf_views._core.description import Description


class CSRFChecks(Admission):
    """Checks that no other site caused an unsafe request, unless no browser sends its proof automatically."""

    enforces_csrf: bool = True
    """False only where browsers send nothing automatically that authenticates a request, and none is a login."""

    def _check_origin(self, request: HttpRequest) -> None:
        if self._needs_check(request):
            check_origin(request)

    def _check_token(self, request: HttpRequest) -> Awaitable[None] | None:
        return check_token(request) if self._needs_check(request) else None

    def _needs_check(self, request: HttpRequest) -> bool:
        return not self._is_proven and needs_check(request)

    def _describe_csrf(self, operation: Description) -> None:
        if operation.method not in READING:
            operation.add_status(403)

    stages: ClassVar[Sequence[Stage]] = (
        Stage(name="origin", run=_check_origin, uses="enforces_csrf", describe=_describe_csrf),
        Stage(name="token", run=_check_token, uses="enforces_csrf"),
    )
