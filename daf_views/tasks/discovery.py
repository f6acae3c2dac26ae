"""Import the ``tasks`` modules of the installed apps: a process knows only of periodic tasks that it has imported."""

from __future__ import annotations

import logging
from importlib import import_module

from django.apps import apps
from django.utils.module_loading import module_has_submodule

logger = logging.getLogger("daf_views")


def import_tasks() -> None:
    """Import ``tasks`` of each installed app that has one. A module that raises is logged and skipped."""
    for config in apps.get_app_configs():
        if config.module is None or not module_has_submodule(config.module, "tasks"):
            continue
        try:
            import_module(f"{config.name}.tasks")
        except Exception:
            logger.exception("%s.tasks cannot be imported: its periodic tasks are not enqueued.", config.name)
