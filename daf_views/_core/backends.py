"""Find the class of a backend that a setting of ``DAF_VIEWS`` names."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


def backend_class_of(
    kind: Callable[..., T], setting: str, name: str, known: Mapping[str, str], purpose: str
) -> type[T]:
    """Return the class that ``name`` stands for: one of ``known``, by its short name, or a dotted path.

    ``kind`` is the class it must derive from; ``setting`` and ``purpose`` ("throttles") are for messages. Raises
    ImproperlyConfigured.
    """
    path = known.get(name, name)
    try:
        found = import_string(path)
    except ImportError as error:
        if name == "redis":
            message = f'The redis backend of {purpose} needs a client ({error}): pip install "django-daf[redis]".'
        else:
            ours = ", ".join(sorted(known))
            message = f"DAF_VIEWS['{setting}'] names {name!r}, which cannot be imported: {error}. Ours are {ours}."
        raise ImproperlyConfigured(message) from error
    if not (isinstance(found, type) and issubclass(found, cast("type", kind))):
        raise ImproperlyConfigured(f"DAF_VIEWS['{setting}'] names {path!r}, which is no {kind.__name__}.")
    return cast("type[T]", found)
