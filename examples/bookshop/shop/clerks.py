"""Clerks: members of staff who may use the desk."""

from __future__ import annotations

from django.contrib.auth import get_user_model


def hire(name: str, password: str) -> None:
    """Let a clerk log in with this password; one who was there already has this one from now on."""
    clerk, _ = get_user_model().objects.get_or_create(username=name)
    clerk.is_staff = True
    clerk.set_password(password)
    clerk.save()
