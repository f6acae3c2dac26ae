"""Whether an operation is for everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daf_views.openapi.endpoints import Endpoint


def is_open(endpoint: Endpoint, method: str) -> bool:
    """Whether no permission of the view's keeps anybody from a method, as their ``open_methods`` say."""
    return all(method in getattr(each, "open_methods", ()) for each in endpoint.option("permissions"))
