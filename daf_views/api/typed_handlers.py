"""Typed handlers on a view: their arguments are taken from the request, their results answered as annotated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from django.http.response import HttpResponseBase

from daf_views._core.description import describe
from daf_views.handlers.response import answer, paged
from daf_views.handlers.signature import signatures_of
from daf_views.http.json import refuse_secrets
from daf_views.pagination.paginator import Paginator
from daf_views.views.pipeline import Stage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from django.http import HttpRequest

    from daf_views._core.description import Description
    from daf_views.handlers.arguments import ArgumentPlan
    from daf_views.handlers.signature import Signature
    from daf_views.views.base import AsyncView
    from daf_views.views.pipeline import Proceed

    _View = AsyncView
else:
    _View = object


class TypedHandlers(_View):
    """Reads the signatures of handlers when the class is made."""

    pagination: Paginator | type[Paginator] | None = None
    """A paginator of :mod:`daf_views.pagination`, for ``paginate()``, and for querysets that a handler returns which
    is annotated with a list."""
    handler_signatures: ClassVar[Mapping[str, Signature]] = {}
    """By method, the parameters and the return type of the annotated handlers; read when the class is made."""
    _response_headers: dict[str, str] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.handler_signatures = signatures_of(cls)

    @property
    def response_headers(self) -> dict[str, str]:
        """Headers of the response to the data that a handler returns: ``self.response_headers["Location"] = url``.

        A response that it returns, and an error, have their own.
        """
        if self._response_headers is None:
            self._response_headers = {}
        return self._response_headers

    def _signature(self, request: HttpRequest) -> Signature | None:
        name = (request.method or "").lower()
        return self.handler_signatures.get("get" if name == "head" and not hasattr(type(self), "head") else name)

    def _take_arguments(self, request: HttpRequest) -> Awaitable[None] | None:
        if (signature := self._signature(request)) is None:
            return None
        plan = signature.plan(self.kwargs)
        others = self._names_of_pages() if plan.takes_unknown else ()
        if not plan.is_quick(request):
            return self._take_in_a_thread(plan, request, others)
        self._arguments = plan.arguments(request, self.kwargs, others)
        return None

    async def _take_in_a_thread(self, plan: ArgumentPlan, request: HttpRequest, others: Sequence[str]) -> None:
        self._arguments = await sync_to_async(plan.arguments, thread_sensitive=False)(request, self.kwargs, others)

    def _names_of_pages(self) -> list[str]:
        """Return the names in the query that the paginator reads."""
        paginator: Any = self.pagination
        return [each.name for each in paginator.parameters()] if paginator is not None else []

    async def _answer_typed(self, request: HttpRequest, proceed: Proceed) -> HttpResponseBase:
        value: Any = await proceed()
        if not isinstance(value, HttpResponseBase) and (signature := self._signature(request)) is not None:
            value = self._with_headers(await self._response_to(signature, value))
        return self._answered(value)

    async def _response_to(self, signature: Signature, value: Any) -> Any:
        paginator: Any = self.pagination
        if paginator is not None and isinstance(value, QuerySet) and signature.answers_list:
            refuse_secrets(value)
            return paged(signature, await paginator.paginate(self.request, value))
        return await answer(signature, value)

    def _with_headers(self, response: Any) -> Any:
        if isinstance(response, HttpResponseBase):
            for name, value in (self._response_headers or {}).items():
                response.headers[name] = value
        return response

    def _describe_pages(self, operation: Description) -> None:
        if self.pagination is not None and operation.answers_list:
            describe(self.pagination, operation, Paginator.describe)

    stages: ClassVar[Sequence[Stage]] = (
        Stage(name="arguments", run=_take_arguments, uses="handler_signatures"),
        Stage(name="answer", around=_answer_typed, describe=_describe_pages),
    )
