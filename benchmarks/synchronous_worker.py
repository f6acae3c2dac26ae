"""The process that :mod:`benchmarks.synchronous` counts: ``python -m benchmarks.synchronous_worker daf atomic 10``."""

from __future__ import annotations

import gc
import sys

import django
from django.conf import settings

from benchmarks.contestants import DAF, STOCK


def main(kind: str, name: str, times: int) -> None:
    """Do it so many times, in the main thread, which no event loop has ever run in."""
    contestant = DAF if kind == "daf" else STOCK
    settings.configure(**contestant.settings({"vendor": "sqlite", "NAME": ":memory:"}))
    django.setup()
    from django.db import connection, connections, transaction  # noqa: PLC0415 - settings first

    from benchmarks.library.models import Book  # noqa: PLC0415
    from benchmarks.library.seeding import seed  # noqa: PLC0415

    seed(books=1)
    if kind == "daf":
        from daf_orm import get_pool  # noqa: PLC0415

        get_pool()  # as in a process that has answered an async request
    pk = Book.objects.earliest("pk").pk

    def cursor() -> None:
        connection.cursor().close()

    def atomic() -> None:
        with transaction.atomic():
            Book.objects.get(pk=pk)
            Book.objects.count()

    work = {
        "connection": lambda: connections["default"],
        "cursor": cursor,
        "atomic": atomic,
    }[name]
    gc.disable()
    for _ in range(times):
        work()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
