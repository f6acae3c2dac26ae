"""The hooks of the generic views: where each runs, and which classes are refused because a hook runs elsewhere.

A coroutine is awaited on the event loop. A function is called on a worker thread, together with the other work of
the Django view between two coroutines, so that it costs no extra hop and may query. The few functions that only name
things are called on the event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from daf_views.views.class_checks import refuse_async_functions, refuse_sync_overrides

if TYPE_CHECKING:
    from collections.abc import Sequence

COROUTINES: Sequence[str] = ("form_invalid", "form_valid", "get_context_data", "get_object", "get_redirect_url")
"""Awaited on the event loop."""

FUNCTIONS: Sequence[str] = (
    "get_allow_empty",
    "get_form",
    "get_form_class",
    "get_form_kwargs",
    "get_initial",
    "get_ordering",
    "get_paginate_by",
    "get_paginate_orphans",
    "get_paginator",
    "get_prefix",
    "get_queryset",
    "get_slug_field",
    "get_success_url",
    "paginate_queryset",
)
"""Called on a worker thread, where they may query."""

NAMES: Sequence[str] = ("get_context_object_name", "get_template_names", "render_to_response")
"""Called on the event loop, where they must not query. The template itself is rendered in a thread."""

_MODULE = "django.views.generic"  # of the synchronous originals, which ours come before


def refuse_misplaced_hooks(cls: type) -> None:
    """Raise TypeError for a hook that would block the event loop, or whose coroutine would never be awaited."""
    refuse_sync_overrides(cls, COROUTINES, originals=_MODULE)
    refuse_async_functions(cls, FUNCTIONS, "is called on a worker thread, where it may query")
    refuse_async_functions(cls, NAMES, "is called without awaiting: await in get_context_data() what it needs")
