"""``manage.py daf_check PATH…``: find blocking calls in source."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand

from daf_orm.static.cli import main

_OF_DJANGO = ("--pythonpath", "--verbosity", "-v")
"""Options with a value that every Django command takes."""
_FLAGS_OF_DJANGO = ("--traceback", "--no-color", "--force-color", "--skip-checks")


class Command(BaseCommand):
    """Passes its arguments on to ``daf check``. The app registry is loaded already: models are what it says."""

    help = "Find blocking calls in source, in code that runs on an event loop."
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's own declaration

    def run_from_argv(self, argv: list[str]) -> None:
        """Run ``daf check --django`` with these arguments, and exit as it does."""
        sys.exit(main(["check", "--django", *_others(argv[2:])]))

    def handle(self, *args: Any, **options: Any) -> None:
        """Check the working directory, for ``call_command("daf_check")``."""
        del options
        main(["check", "--django", *args])


def _others(arguments: list[str]) -> list[str]:
    """Return the arguments without those that Django has followed itself."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in _OF_DJANGO:
        parser.add_argument(name)
    for name in _FLAGS_OF_DJANGO:
        parser.add_argument(name, action="store_true")
    return parser.parse_known_args(arguments)[1]
