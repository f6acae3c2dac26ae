"""``idempotency = IdempotencyKey()`` on a view: the stages between which a request with a key is carried out once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from daf_views.idempotency.policy import refuse_other
from daf_views.views.pipeline import Stage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from daf_views._core.description import Description
    from daf_views.handlers.signature import Signature
    from daf_views.idempotency.attempt import Attempt
    from daf_views.idempotency.policy import IdempotencyKey
    from daf_views.views.base import AsyncView
    from daf_views.views.pipeline import Proceed

    class _View(AsyncView):
        # The part of TypedHandlers, which an API view has besides, that knows of the handler.
        def _signature(self, request: HttpRequest) -> Signature | None: ...

else:
    _View = object


class IdempotentView(_View):
    """Takes keys, where the view has a policy for them."""

    idempotency: IdempotencyKey | None = None
    """The policy by which a repeated request with the same ``Idempotency-Key`` has no second effect."""
    _attempt: Attempt | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_other(cls, cls.idempotency)

    async def _read_key(self, request: HttpRequest) -> None:
        assert self.idempotency is not None
        signature = self._signature(request)
        declared = [] if signature is None else signature.beside_body(request)
        self._attempt = await self.idempotency.attempt(request, self, declared)
        if self._attempt is not None:
            self._endings = (*self._endings, self._attempt)

    def _claim(self, request: HttpRequest, proceed: Proceed) -> Awaitable[HttpResponseBase]:  # noqa: ARG002 - a stage's
        assert self._attempt is not None
        return self._attempt.run(self._aliases(), proceed)

    def _record(self, request: HttpRequest, proceed: Proceed) -> Awaitable[HttpResponseBase]:  # noqa: ARG002 - the same
        assert self._attempt is not None
        return self._attempt.record(proceed)

    def _describe_key(self, operation: Description) -> None:
        assert self.idempotency is not None
        self.idempotency.describe(operation)

    stages: ClassVar[Sequence[Stage]] = (
        Stage(name="key", run=_read_key, uses="idempotency", describe=_describe_key),
        Stage(name="claim", around=_claim, uses="_attempt"),
        Stage(name="record", around=_record, uses="_attempt"),
    )
