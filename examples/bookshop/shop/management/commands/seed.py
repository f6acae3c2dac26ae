"""`manage.py seed`: fill the shop with invented rows."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from shop.seeding import seed_shop


class Command(BaseCommand):
    """Fill the shop once; a second run finds the rows and leaves them alone."""

    help = "Fill the shop with thousands of invented rows. Does nothing when they are there already."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Seed the shop and say what was written."""
        seeded = seed_shop()
        if seeded.books:
            written = f"{seeded.authors} authors, {seeded.books} books, {seeded.orders} orders"
            self.stdout.write(f"Wrote {written}.")
        else:
            self.stdout.write("The shop is seeded already.")
