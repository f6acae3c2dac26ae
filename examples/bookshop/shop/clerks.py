"""Clerks: members of staff with access to the desk and the catalogue."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission

PERMISSIONS = (
    *("add_book", "change_book", "delete_book", "view_book", "view_author", "view_order"),
    *("view_stock", "change_stock"),
)


def hire(name: str, password: str) -> Any:
    """Let a clerk log in with this password; an existing clerk gets this one as the new password."""
    clerk, _ = get_user_model().objects.get_or_create(username=name)
    clerk.is_staff = True
    clerk.set_password(password)
    clerk.save()
    clerk.user_permissions.set(Permission.objects.filter(content_type__app_label="shop", codename__in=PERMISSIONS))
    return clerk
