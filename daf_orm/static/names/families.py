"""The kind of class that an external base makes: a model, a manager, a form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_DJANGO: Final = ("django.", "daf_orm", "daf_views")
_FAMILIES: Final[dict[str, frozenset[str]]] = {
    "Model": frozenset({"model"}),
    "AsyncModel": frozenset({"model", "async_model"}),
    "AbstractUser": frozenset({"model", "user"}),
    "AbstractBaseUser": frozenset({"model", "user"}),
    "PermissionsMixin": frozenset({"model"}),
    "AbstractBaseSession": frozenset({"model"}),
    "Manager": frozenset({"manager"}),
    "BaseManager": frozenset({"manager"}),
    "BaseUserManager": frozenset({"manager"}),
    "UserManager": frozenset({"manager", "user_manager"}),
    "AsyncManager": frozenset({"manager", "async_manager"}),
    "QuerySet": frozenset({"queryset"}),
    "AsyncQuerySet": frozenset({"queryset", "async_queryset"}),
    "Form": frozenset({"form"}),
    "BaseForm": frozenset({"form"}),
    "ModelForm": frozenset({"form", "model_form"}),
    "BaseModelForm": frozenset({"form", "model_form"}),
    "UserCreationForm": frozenset({"form", "model_form"}),
    "UserChangeForm": frozenset({"form", "model_form"}),
    "AuthenticationForm": frozenset({"form", "model_form"}),
    "AsyncPaginator": frozenset({"async_paginator"}),
    "Paginator": frozenset({"paginator"}),
    "HttpRequest": frozenset({"request"}),
    "WSGIRequest": frozenset({"request"}),
    "ASGIRequest": frozenset({"request"}),
    "AsyncView": frozenset({"view", "async_view"}),
    "AsyncAPIView": frozenset({"view", "async_view"}),
    "View": frozenset({"view"}),
    "Signal": frozenset({"signal"}),
    "ModelSignal": frozenset({"signal"}),
    "SessionStore": frozenset({"session"}),
    "SessionBase": frozenset({"session"}),
}
_MODEL_SERIALIZERS: Final = frozenset({"ModelSerializer", "HyperlinkedModelSerializer"})
_GENERIC_VIEWS: Final = "django.views.generic"
_USER_MODELS: Final = frozenset({"User", "Group", "Permission", "ContentType", "Site", "Session", "LogEntry"})


def family(path: str) -> frozenset[str]:
    """Return the kinds that a class of this dotted name is of; none for one that is not Django's or DAF's."""
    name = path.rpartition(".")[2]
    if path.startswith("rest_framework.") and name.endswith("Serializer"):
        return frozenset({"serializer", "model_serializer"} if name in _MODEL_SERIALIZERS else {"serializer"})
    if not path.startswith(_DJANGO):
        return frozenset()
    if path.startswith("django.contrib.") and name in _USER_MODELS and ".models" in path:
        return frozenset({"model", "user"} if name == "User" else {"model"})
    if path.startswith(_GENERIC_VIEWS) and name != "View":
        return frozenset({"view", "generic_view"})
    if path.startswith("daf_views.generic"):
        return frozenset({"view", "async_view"})
    found = _FAMILIES.get(name, frozenset())
    return found - {"form", "model_form"} if path.startswith("daf_") else found


def is_of(paths: Iterable[str], kind: str) -> bool:
    """Return True if one of these dotted names makes a class of that kind."""
    return any(kind in family(path) for path in paths)
