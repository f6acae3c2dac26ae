"""Django's mixins, as type checkers see them: without the methods that are coroutines in DAF.

An override of a method by a coroutine contradicts Django's signature, and would need an ignore at every override.
At run time the classes are Django's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from django.core.paginator import Page, Paginator
    from django.db.models import Model, QuerySet

    class ContextMixin:
        extra_context: Mapping[str, Any] | None

    class SingleObjectMixin(ContextMixin):
        model: type[Model] | None
        queryset: QuerySet[Any] | None
        slug_field: str
        context_object_name: str | None
        slug_url_kwarg: str
        pk_url_kwarg: str
        query_pk_and_slug: bool

        def get_queryset(self) -> QuerySet[Any]: ...
        def get_slug_field(self) -> str: ...
        def get_context_object_name(self, obj: Any) -> str | None: ...

    class MultipleObjectMixin(ContextMixin):
        allow_empty: bool
        queryset: Any
        model: type[Model] | None
        paginate_by: int | None
        paginate_orphans: int
        context_object_name: str | None
        paginator_class: type[Paginator[Any]]
        page_kwarg: str
        ordering: str | Sequence[Any] | None

        def get_queryset(self) -> Any: ...
        def get_ordering(self) -> str | Sequence[Any] | None: ...
        def paginate_queryset(self, queryset: Any, page_size: int) -> tuple[Paginator[Any], Page[Any], Any, bool]: ...
        def get_paginate_by(self, queryset: Any) -> int | None: ...
        def get_paginator(self, queryset: Any, per_page: int, **kwargs: Any) -> Paginator[Any]: ...
        def get_paginate_orphans(self) -> int: ...
        def get_allow_empty(self) -> bool: ...
        def get_context_object_name(self, object_list: Any) -> str | None: ...

    class FormMixin(ContextMixin):
        initial: dict[str, Any]
        form_class: Any
        success_url: Any  # or a lazy one
        prefix: str | None

        def get_initial(self) -> dict[str, Any]: ...
        def get_prefix(self) -> str | None: ...
        def get_form_class(self) -> Any: ...
        def get_form(self, form_class: Any = None) -> Any: ...
        def get_form_kwargs(self) -> dict[str, Any]: ...
        def get_success_url(self) -> str: ...

    class ModelFormMixin(FormMixin, SingleObjectMixin):
        fields: Iterable[str] | None  # or "__all__"

    class DeletionMixin:
        success_url: Any  # or a lazy one

        def get_success_url(self) -> str: ...

    class RedirectView:
        permanent: bool
        url: Any  # or a lazy one
        pattern_name: str | None
        query_string: bool
else:
    from django.views.generic.base import ContextMixin, RedirectView
    from django.views.generic.detail import SingleObjectMixin
    from django.views.generic.edit import DeletionMixin, FormMixin, ModelFormMixin
    from django.views.generic.list import MultipleObjectMixin

__all__ = [
    "ContextMixin",
    "DeletionMixin",
    "FormMixin",
    "ModelFormMixin",
    "MultipleObjectMixin",
    "RedirectView",
    "SingleObjectMixin",
]
