"""An application for the Django suite: the process writes the counts of kept plans to standard error when it ends."""

import atexit
import dataclasses
import json
import sys

from django.apps import AppConfig


class PlansConfig(AppConfig):
    name = "plans_in_play"

    def ready(self) -> None:
        """Report once, however often tests change INSTALLED_APPS."""
        atexit.unregister(_report)
        atexit.register(_report)


def _report() -> None:
    from daf_orm._plans import get_stats  # noqa: PLC0415 - Django has to be set up

    stats = get_stats()
    print("\nKept plans:", json.dumps(stats and dataclasses.asdict(stats)), file=sys.stderr)
