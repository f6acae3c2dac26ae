"""The tables of all works, with their rows, the same in every run."""

from __future__ import annotations

from datetime import UTC, datetime

from benchmarks.race.works import SESSION_KEY, USER


def seed() -> bool:
    """Make and fill them, by stock Django."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY  # noqa: PLC0415 - once it is set up
    from django.contrib.auth import SESSION_KEY as USER_ID  # noqa: PLC0415
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.contrib.sessions.backends.db import SessionStore  # noqa: PLC0415
    from django.contrib.sessions.models import Session  # noqa: PLC0415
    from django.core.management import call_command  # noqa: PLC0415

    from benchmarks.api_shop.models import seed as seed_shop  # noqa: PLC0415
    from benchmarks.catalog.work import seed as seed_catalog  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    seed_catalog()
    seed_shop()
    user = User.objects.create(username=USER)
    content = {
        USER_ID: str(user.pk),
        BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
        HASH_SESSION_KEY: user.get_session_auth_hash(),
    }
    Session.objects.create(
        session_key=SESSION_KEY,
        session_data=SessionStore().encode(content),
        expire_date=datetime(2100, 1, 1, tzinfo=UTC),
    )
    return True
