"""``TemplateView`` and ``RedirectView``, and the context that all generic views make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpResponseGone, HttpResponsePermanentRedirect, HttpResponseRedirect
from django.utils.log import log_response
from django.views.generic.base import TemplateResponseMixin

from daf_views.generic import _django as originals
from daf_views.generic.hooks import refuse_misplaced_hooks
from daf_views.views.base import AsyncView

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase

    _TemplateResponseMixin = TemplateResponseMixin[HttpResponse]
else:
    _TemplateResponseMixin = TemplateResponseMixin

__all__ = ["ContextMixin", "RedirectView", "TemplateResponseMixin", "TemplateView"]


class ContextMixin(originals.ContextMixin):
    """Django's, whose ``get_context_data`` is a coroutine: ``context = await super().get_context_data(**kwargs)``.

    A class with a hook that runs where it must not is a TypeError when it is made: see
    :mod:`daf_views.generic.hooks`.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_misplaced_hooks(cls)

    async def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return the context of the template: ``kwargs``, the view, and ``extra_context``."""
        original: Any = super()
        context: dict[str, Any] = original.get_context_data(**kwargs)
        return context

    if TYPE_CHECKING:  # attributes of a response mixin

        def render_to_response(self, context: dict[str, Any], **response_kwargs: Any) -> HttpResponseBase:
            """Return the response."""


class TemplateView(_TemplateResponseMixin, ContextMixin, AsyncView):
    """Renders a template, in a thread. The arguments of the URL are in its context."""

    async def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ARG002
        """Answer with the template."""
        return self.render_to_response(await self.get_context_data(**kwargs))


class RedirectView(AsyncView, originals.RedirectView):
    """Redirects for any method; without a URL the response is 410 Gone. ``get_redirect_url`` is a coroutine."""

    preserve_request: bool = False
    """Redirect with 307 or 308, which repeat method and body. Django's own view has it from Django 6.1 on."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_misplaced_hooks(cls)

    async def get_redirect_url(self, *args: Any, **kwargs: Any) -> str | None:
        """Return the URL: ``url``, or ``pattern_name`` reversed with the arguments of the URL; None for 410."""
        original: Any = super()
        url: str | None = original.get_redirect_url(*args, **kwargs)
        return url

    async def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Redirect."""
        url = await self.get_redirect_url(*args, **kwargs)
        if not url:
            gone = HttpResponseGone()
            log_response("Gone: %s", request.path, response=gone, request=request)
            return gone
        response_class = HttpResponsePermanentRedirect if self.permanent else HttpResponseRedirect
        return response_class(url, preserve_request=self.preserve_request)

    async def head(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Redirect."""
        return await self.get(request, *args, **kwargs)

    async def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Redirect."""
        return await self.get(request, *args, **kwargs)

    async def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        """Redirect."""
        return await self.get(request, *args, **kwargs)

    async def delete(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Redirect."""
        return await self.get(request, *args, **kwargs)

    async def put(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Redirect."""
        return await self.get(request, *args, **kwargs)

    async def patch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Redirect."""
        return await self.get(request, *args, **kwargs)
