"""`manage.py seed`: fill the shop with invented rows, and hire a clerk if asked."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from shop.clerks import hire
from shop.seeding import seed_shop

PASSWORD = "BOOKSHOP_PASSWORD"  # the name of the variable, not a secret


class Command(BaseCommand):
    """Fill the shop once; a second run finds the rows and leaves them alone."""

    help = "Fill the shop with thousands of invented rows. Does nothing when they are there already."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--clerk", metavar="NAME", help=f"also let NAME use the desk, with the password ${PASSWORD}"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Seed the shop and say what was written."""
        seeded = seed_shop()
        if seeded.books:
            written = f"{seeded.authors} authors, {seeded.books} books, {seeded.orders} orders"
            self.stdout.write(f"Wrote {written}.")
        else:
            self.stdout.write("The shop is seeded already.")
        if options["clerk"]:
            self._hire(options["clerk"])

    def _hire(self, name: str) -> None:
        if not (password := os.environ.get(PASSWORD)):
            raise CommandError(f"A clerk needs a password: set {PASSWORD}.")
        hire(name, password)
        self.stdout.write(f"{name} may use the desk.")
