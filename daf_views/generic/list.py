"""``ListView``: a page of objects, evaluated off the event loop in one hop before the template has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.db.models.query import RawQuerySet
from django.http import Http404
from django.utils.translation import gettext
from django.views.generic.list import MultipleObjectTemplateResponseMixin

from daf_orm import database_sync_to_async
from daf_views.generic import _django as originals
from daf_views.generic.base import ContextMixin
from daf_views.views.base import AsyncView

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

__all__ = ["BaseListView", "ListView", "MultipleObjectMixin", "MultipleObjectTemplateResponseMixin"]


class MultipleObjectMixin(originals.MultipleObjectMixin, ContextMixin):
    """Django's, whose context holds evaluated objects: code that reads them afterwards does not query for them."""

    object_list: Any
    _listed: tuple[Any, dict[str, Any]] | None = None  # a list, and the context of its page

    async def get_context_data(self, *, object_list: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Return the context, with the page of ``object_list`` (default: ``self.object_list``), evaluated."""
        objects = self.object_list if object_list is None else object_list
        if self._listed is None or self._listed[0] is not objects:
            self._listed = objects, await database_sync_to_async(self._list)(objects)
        # Past Django's own, which would paginate a second time, here.
        following: Any = super(originals.MultipleObjectMixin, self)
        context: dict[str, Any] = await following.get_context_data(**self._listed[1] | kwargs)
        return context

    def _list(self, objects: Any) -> dict[str, Any]:
        """Paginate and evaluate, on a worker thread."""
        name = self.get_context_object_name(objects)
        paginator, page, is_paginated = None, None, False
        if page_size := self.get_paginate_by(objects):
            paginator, page, objects, is_paginated = self.paginate_queryset(objects, page_size)
        _evaluate(objects)
        context = {"paginator": paginator, "page_obj": page, "is_paginated": is_paginated, "object_list": objects}
        return context if name is None else context | {name: objects}


class BaseListView(MultipleObjectMixin, AsyncView):
    """Shows a list, with a mixin that makes the response."""

    async def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ARG002
        """Fetch the page and show it. Raises Http404 for an empty list, unless ``allow_empty``."""
        await database_sync_to_async(self._load)()
        return self.render_to_response(await self.get_context_data())

    def _load(self) -> None:
        """Do all work that may query in one hop."""
        self.object_list = self.get_queryset()
        if not self.get_allow_empty() and self._is_empty():
            message = gettext(
                "Empty list and “%(class_name)s.allow_empty” is False."
            )  # Django's words, which have translations
            raise Http404(message % {"class_name": type(self).__name__})
        self._listed = self.object_list, self._list(self.object_list)

    def _is_empty(self) -> bool:
        if self.get_paginate_by(self.object_list) is not None and hasattr(self.object_list, "exists"):
            return not self.object_list.exists()  # all pages would be loaded otherwise
        return not self.object_list


class ListView(MultipleObjectTemplateResponseMixin, BaseListView):
    """Renders ``<app>/<model>_list.html`` with a list: ``model``'s, ``queryset`` or that of ``get_queryset``."""


def _evaluate(objects: Any) -> None:
    if isinstance(objects, QuerySet | RawQuerySet):
        len(objects)
