"""``manage.py daf_check PATH…``: find blocking calls in source."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from daf_orm.static.cli import main


class Command(BaseCommand):
    """Passes its arguments on to ``daf check``."""

    help = "Find blocking calls in source, in code that runs on an event loop."
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's own declaration

    def run_from_argv(self, argv: list[str]) -> None:
        """Run ``daf check`` with these arguments, and exit as it does."""
        sys.exit(main(["check", *argv[2:]]))

    def handle(self, *args: Any, **options: Any) -> None:
        """Check the working directory: for ``call_command("daf_check")``."""
        del options
        main(["check", *args])
