"""``DetailView``: one object, fetched in one thread hop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.views.generic.detail import SingleObjectTemplateResponseMixin

from daf_orm import database_sync_to_async
from daf_views.generic import _django as originals
from daf_views.generic.base import ContextMixin
from daf_views.views.base import AsyncView

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

__all__ = ["BaseDetailView", "DetailView", "SingleObjectMixin", "SingleObjectTemplateResponseMixin"]


class SingleObjectMixin(originals.SingleObjectMixin, ContextMixin):
    """Django's, whose ``get_object`` is a coroutine. It calls ``get_queryset`` on the thread that it queries on."""

    object: Any

    async def get_object(self, queryset: QuerySet[Any] | None = None) -> Any:
        """Return the object that the URL names, by ``pk`` or ``slug``, of ``queryset`` or ``get_queryset()``.

        One hop. Raises Http404 if there is none.
        """
        original: Any = super()
        return await database_sync_to_async(original.get_object)(queryset)

    async def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return the context, with the object."""
        return await super().get_context_data(**kwargs)  # Django's adds the object and returns ContextMixin's coroutine


class BaseDetailView(SingleObjectMixin, AsyncView):
    """Shows an object, with a mixin that makes the response."""

    async def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ARG002
        """Fetch the object and show it."""
        self.object = await self.get_object()
        return self.render_to_response(await self.get_context_data(object=self.object))


class DetailView(SingleObjectTemplateResponseMixin, BaseDetailView):
    """Renders ``<app>/<model>_detail.html`` with an object. Select beforehand all that the template reads of it."""
