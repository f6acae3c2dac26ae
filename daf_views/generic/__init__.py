"""Django's generic views, whose every part runs where it does not block the event loop.

An override is a coroutine, awaited on the event loop, or stays a function, called on a worker thread, where it
may query: :mod:`daf_views.generic.hooks` has the table.
"""

from daf_views.generic.base import ContextMixin, RedirectView, TemplateResponseMixin, TemplateView
from daf_views.generic.detail import BaseDetailView, DetailView, SingleObjectMixin, SingleObjectTemplateResponseMixin
from daf_views.generic.edit import (
    BaseCreateView,
    BaseDeleteView,
    BaseFormView,
    BaseUpdateView,
    CreateView,
    DeleteView,
    DeletionMixin,
    FormMixin,
    FormView,
    ModelFormMixin,
    ProcessFormView,
    UpdateView,
)
from daf_views.generic.list import (
    BaseListView,
    ListView,
    MultipleObjectMixin,
    MultipleObjectTemplateResponseMixin,
)

__all__ = [
    "BaseCreateView",
    "BaseDeleteView",
    "BaseDetailView",
    "BaseFormView",
    "BaseListView",
    "BaseUpdateView",
    "ContextMixin",
    "CreateView",
    "DeleteView",
    "DeletionMixin",
    "DetailView",
    "FormMixin",
    "FormView",
    "ListView",
    "ModelFormMixin",
    "MultipleObjectMixin",
    "MultipleObjectTemplateResponseMixin",
    "ProcessFormView",
    "RedirectView",
    "SingleObjectMixin",
    "SingleObjectTemplateResponseMixin",
    "TemplateResponseMixin",
    "TemplateView",
    "UpdateView",
]
