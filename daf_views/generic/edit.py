"""``FormView``, ``CreateView``, ``UpdateView`` and ``DeleteView``: a form in one thread hop, from data to row.

The hop makes the form, validates it, saves it and finds out where to redirect to. An override of ``form_valid``
runs on the event loop before and after ``await super().form_valid(form)``, and splits the hop in two.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from django.db import router, transaction
from django.forms import Form
from django.http import HttpResponseRedirect
from django.views.generic.detail import SingleObjectTemplateResponseMixin

from daf_orm import database_sync_to_async
from daf_views.generic import _django as originals
from daf_views.generic.base import ContextMixin, TemplateResponseMixin
from daf_views.generic.detail import BaseDetailView, SingleObjectMixin
from daf_views.views.base import AsyncView

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase

    _TemplateResponseMixin = TemplateResponseMixin[HttpResponse]
else:
    _TemplateResponseMixin = TemplateResponseMixin

__all__ = [
    "BaseCreateView",
    "BaseDeleteView",
    "BaseFormView",
    "BaseUpdateView",
    "CreateView",
    "DeleteView",
    "DeletionMixin",
    "FormMixin",
    "FormView",
    "ModelFormMixin",
    "ProcessFormView",
    "UpdateView",
]


class FormMixin(originals.FormMixin, ContextMixin):
    """Django's, whose ``form_valid`` and ``form_invalid`` are coroutines; ``get_form`` runs on a worker thread."""

    async def form_valid(self, form: Any) -> HttpResponseBase:
        """Take a valid form: save it, if it is a model's, and redirect. One hop."""
        return await database_sync_to_async(self._accept)(form)

    async def form_invalid(self, form: Any) -> HttpResponseBase:
        """Show the form with its errors."""
        return self.render_to_response(await self.get_context_data(form=form))

    async def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return the context, with the form."""
        if "form" not in kwargs:
            kwargs["form"] = await database_sync_to_async(self.get_form)()
        following: Any = super()  # Django's add theirs, and return ContextMixin's coroutine
        context: dict[str, Any] = await following.get_context_data(**kwargs)
        return context

    async def _process(self) -> HttpResponseBase:
        form, is_valid, response = await database_sync_to_async(self._submit)()
        if response is not None:
            return response
        return await (self.form_valid(form) if is_valid else self.form_invalid(form))

    def _submit(self) -> tuple[Any, bool, HttpResponseBase | None]:
        """Make the form and validate it; take it too, unless a ``form_valid`` of other code comes between."""
        form = self.get_form()
        is_valid = form.is_valid()
        is_ours = getattr(self.form_valid, "__func__", None) is FormMixin.form_valid
        return form, is_valid, self._accept(form) if is_valid and is_ours else None

    def _accept(self, form: Any) -> HttpResponseBase:
        """Do what Django's ``form_valid`` does, on a worker thread."""
        original: Any = super()
        response: HttpResponseBase = original.form_valid(form)
        return response


class ModelFormMixin(FormMixin, SingleObjectMixin, originals.ModelFormMixin):
    """Django's. An object is saved with its many-to-many rows or, by a cancelled or failed request, not at all."""

    def _accept(self, form: Any) -> HttpResponseBase:
        with _all_or_nothing(form):
            return super()._accept(form)


class ProcessFormView(AsyncView):
    """Shows the form of a :class:`FormMixin` on GET, and takes it on POST."""

    if TYPE_CHECKING:  # attributes of a FormMixin and a response mixin

        async def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
            """Return the context."""

        def render_to_response(self, context: dict[str, Any], **response_kwargs: Any) -> HttpResponseBase:
            """Return the response."""

        async def _process(self) -> HttpResponseBase: ...

    async def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ARG002
        """Show the form."""
        return self.render_to_response(await self.get_context_data())

    async def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ARG002
        """Take the form."""
        return await self._process()

    async def put(self, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Take the form."""
        return await self.post(*args, **kwargs)


class BaseFormView(FormMixin, ProcessFormView):
    """Shows and takes a form, with a mixin that makes the response."""


class FormView(_TemplateResponseMixin, BaseFormView):
    """Shows a form in a template; a valid one redirects to ``success_url``."""


class BaseCreateView(ModelFormMixin, ProcessFormView):
    """Creates an object, with a mixin that makes the response."""

    async def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Show an empty form."""
        self.object = None
        return await super().get(request, *args, **kwargs)

    async def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Create the object."""
        self.object = None
        return await super().post(request, *args, **kwargs)


class CreateView(SingleObjectTemplateResponseMixin, BaseCreateView):
    """Creates an object with the form in ``<app>/<model>_form.html``."""

    template_name_suffix = "_form"


class BaseUpdateView(ModelFormMixin, ProcessFormView):
    """Changes an object, with a mixin that makes the response."""

    async def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Fetch the object and show it in a form."""
        self.object = await self.get_object()
        return await super().get(request, *args, **kwargs)

    async def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Fetch the object and change it."""
        self.object = await self.get_object()
        return await super().post(request, *args, **kwargs)


class UpdateView(SingleObjectTemplateResponseMixin, BaseUpdateView):
    """Changes an object with the form in ``<app>/<model>_form.html``.

    With ``atomic = True`` it is fetched and saved in one transaction: then ``select_for_update()`` in ``queryset``
    keeps two requests from overwriting each other.
    """

    template_name_suffix = "_form"


class DeletionMixin(originals.DeletionMixin):
    """Deletes an object, in the hop after the one that fetches it."""

    async def delete(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ARG002
        """Fetch the object, delete it and redirect."""
        self.object = await self.get_object()  # type: ignore[attr-defined] # SingleObjectMixin's
        return await database_sync_to_async(self._delete)()

    async def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Do the same, for browsers, which know no DELETE."""
        return await self.delete(request, *args, **kwargs)

    def _delete(self) -> HttpResponseBase:
        url = self.get_success_url()  # may use the object that is then deleted
        self.object.delete()
        return HttpResponseRedirect(url)


class BaseDeleteView(DeletionMixin, FormMixin, BaseDetailView):
    """Deletes an object once a form, empty by default, is valid; with a mixin that makes the response."""

    form_class = Form

    async def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ARG002
        """Fetch the object, take the form and delete it."""
        self.object = await self.get_object()
        return await self._process()

    def _accept(self, form: Any) -> HttpResponseBase:  # noqa: ARG002 - has no data
        return self._delete()


class DeleteView(SingleObjectTemplateResponseMixin, BaseDeleteView):
    """Asks in ``<app>/<model>_confirm_delete.html``, and deletes the object on POST."""

    template_name_suffix = "_confirm_delete"


def _all_or_nothing(form: Any) -> AbstractContextManager[Any]:
    """Return a transaction in which to save a model's form; within another one, that."""
    instance = getattr(form, "instance", None)
    if instance is None:  # not a model's form: it saves in its own way
        return nullcontext()
    # No savepoint: a view's own transaction would otherwise cost two statements more.
    return transaction.atomic(router.db_for_write(type(instance), instance=instance), savepoint=False)
