"""The system checks of broadcasts."""

from __future__ import annotations

from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured

from daf_views.settings import get_settings, problems
from daf_views.streaming.broadcast.backends import make_backend
from daf_views.streaming.broadcast.channel import channels


@register("daf_views")
def check_broadcast(**_: Any) -> list[CheckMessage]:
    """``daf_views.E024`` and ``W005``: a backend that cannot carry broadcasts, or within each process only."""
    if problems(getattr(django_settings, "DAF_VIEWS", {})):
        return []
    settings = get_settings()
    try:
        backend = make_backend()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="daf_views.E024")]
    names = sorted({channel.name for channel in channels})
    if not names or backend.is_shared or django_settings.DEBUG or settings.BROADCAST_PER_PROCESS:
        return []
    return [
        CheckWarning(
            f"Broadcasts stay within each process, and subscribers in others miss them: {', '.join(names[:5])}.",
            hint=(
                'Set DAF_VIEWS["BROADCAST_BACKEND"] to "postgresql" or "redis"; or, if there is one process, '
                'DAF_VIEWS["BROADCAST_PER_PROCESS"] to True.'
            ),
            id="daf_views.W005",
        )
    ]
