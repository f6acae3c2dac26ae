"""``manage.py daf_openapi``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from daf_views.openapi.document import as_json

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Write the OpenAPI document of the site's API views."""

    help = "Writes the OpenAPI document of the site's API views to stdout, or to a file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("--urlconf", help="another URLconf than ROOT_URLCONF")
        parser.add_argument("--file", type=Path, help="where to write it")
        parser.add_argument("--check", action="store_true", help="exit with 1 if that file is not up to date")

    def handle(self, *, urlconf: str | None, file: Path | None, check: bool, **_: Any) -> None:
        """Write the document, or compare it with the file."""
        text = json.dumps(json.loads(as_json(urlconf)), indent=2, ensure_ascii=False) + "\n"
        if check:
            if file is None:
                raise CommandError("--check compares with a file: give it --file, too.")
            if not _holds(file, text):
                raise CommandError(f"{file} is not up to date: run `manage.py daf_openapi --file={file}`.")
        elif file is not None:
            try:
                file.write_text(text, encoding="utf-8")
            except OSError as error:
                raise CommandError(f"{file} cannot be written: {error.strerror}.") from error
        else:
            self.stdout.write(text, ending="")


def _holds(file: Path, text: str) -> bool:
    try:
        return file.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False
