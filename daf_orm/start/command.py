"""The command that writes a new project. It is Django's ``startproject``, with DAF's template."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.core.management.commands import startproject
from django.core.management.utils import get_random_secret_key

if TYPE_CHECKING:
    from argparse import ArgumentParser

TEMPLATE = Path(__file__).parent / "template"
APP = "catalogue"
"""The app of the new project."""


class Command(startproject.Command):
    """Write a project with settings, a handler, a typed view, a throttle, a task, and tests.

    The rules are those of ``startproject``: the name is a Python identifier and no module that can be imported, and no
    file is overwritten. The command downloads nothing. Each project has a separate, random development key.
    """

    help = "Writes a new Django project with DAF in it."
    rewrite_template_suffixes = (("-tpl", ""),)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the name and the directory. Django's other options choose a template, and this one is fixed."""
        parser.add_argument("name", help="the name of the project, a Python identifier")
        parser.add_argument("directory", nargs="?", help="an existing directory to write into, in place of a new one")

    def handle(self, **options: Any) -> None:  # type: ignore[override] # as startproject's own
        """Write the project. Raises CommandError for a name or a directory that Django refuses."""
        if options["name"] == APP:
            raise CommandError(f"{APP!r} is the app of the new project. Choose another name for the project.")
        rendered = {"extensions": ["py", "md", "toml", "env"], "files": [], "exclude": None}
        super().handle(**options, **rendered, template=str(TEMPLATE), development_key=get_random_secret_key())
        self.stdout.write(f"Wrote {options['directory'] or options['name']}/. Its README.md has the next steps.")
