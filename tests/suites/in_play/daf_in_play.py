"""Settings of a suite that knows nothing of DAF, changed as the environment says.

With ``DAF_IN_PLAY`` they become what the README tells an existing project to write, and ``get_asgi_application()``
that of ``daf_views``; with ``DAF_SUITE_THREAD_FREE`` the middleware is changed too. With ``DAF_SUITE_URL`` each of the
suite's databases is one of that server.

The suite's own folder comes first on the path, and has another ``tests``: so no module here imports DAF's.
"""

import json
import os
from pathlib import Path
from typing import Any

import django.core.asgi
import recorded
from django import conf
from django.apps import apps
from suite_database import ENGINE, NAME, URL, database

_configure = conf.LazySettings.configure


def put_in_play() -> None:
    """Change the settings that this process is going to load."""
    conf.Settings = _Settings  # type: ignore[misc]
    conf.LazySettings.configure = _configure_and_change  # type: ignore[method-assign]
    if os.environ.get("DAF_IN_PLAY"):
        django.core.asgi.get_asgi_application = _get_asgi_application
        recorded.begin()


def write(outcomes: dict[str, str]) -> None:
    """Write the outcomes to the file ``DAF_SUITE_OUTCOMES``. RuntimeError where DAF should have been in play."""
    if os.environ.get("DAF_IN_PLAY") and not apps.is_installed("daf_orm"):
        raise RuntimeError("The suite has set Django up without daf_orm.")
    Path(os.environ["DAF_SUITE_OUTCOMES"]).write_text(json.dumps(outcomes))


class _Settings(conf.Settings):
    def __init__(self, module: str) -> None:
        super().__init__(module)
        _change(self)


def _configure_and_change(settings: conf.LazySettings, *args: Any, **options: Any) -> None:
    _configure(settings, *args, **options)
    _change(settings._wrapped)


def _change(settings: Any) -> None:
    if URL is not None:
        for alias, options in settings.DATABASES.items():
            settings.DATABASES[alias] = _on_server(alias, options)
    if os.environ.get("DAF_IN_PLAY"):
        applications = settings.INSTALLED_APPS
        settings.INSTALLED_APPS = type(applications)(["daf_orm", "daf_views", *applications])
        settings.DAF_ORM = recorded.SETTINGS
        if os.environ.get("DAF_SUITE_THREAD_FREE"):
            from daf_views.middleware import thread_free  # noqa: PLC0415 - only where DAF is in play

            settings.MIDDLEWARE = thread_free(list(settings.MIDDLEWARE))


def _on_server(alias: str, options: dict[str, Any]) -> dict[str, Any]:
    engine = ENGINE if options["ENGINE"].startswith("django.") else options["ENGINE"]
    mirror = options.get("TEST", {}).get("MIRROR")
    name = NAME if alias == "default" else alias  # a suite may query it before it makes a test database
    return database(name, engine=engine) | ({"TEST": {"MIRROR": mirror}} if mirror else {})


def _get_asgi_application() -> Any:
    from daf_views.asgi import get_asgi_application  # noqa: PLC0415 - only where DAF is in play

    return get_asgi_application()
