"""`manage.py token NAME`: a bearer token with which a program calls the API as NAME."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from shop.tokens import issue


class Command(BaseCommand):
    """Print a new token, once: only its digest is stored."""

    help = "Print a new bearer token for a user. It is not shown a second time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Issue it."""
        user = get_user_model().objects.filter(username=options["name"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['name']}: `manage.py seed --clerk {options['name']}`.")
        self.stdout.write(issue(user))
