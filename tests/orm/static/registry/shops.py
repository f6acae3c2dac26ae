"""A small project with a settings module. Only the app registry has all facts of its models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[4]
SETTINGS = """
print("settings speak")
SECRET_KEY = "k"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "daf_orm", "vendor", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
AUTH_USER_MODEL = "shop.Member"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
"""
MANAGE = """
import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
    execute_from_command_line(sys.argv)
"""
VENDOR = """
from django.conf import settings
from django.db import models


class Label(models.Model):
    name = models.CharField(max_length=10, unique=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="labels")


class Hidden(models.Model):
    label = models.ForeignKey(Label, models.CASCADE, related_name="+")


class Owned(models.Model):
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="%(class)s_items")

    class Meta:
        abstract = True


class PickyManager(models.Manager):
    def picky(self):
        return self.get_queryset()


class Picky(models.Model):
    chosen = PickyManager()
    label = models.ForeignKey(Label, models.CASCADE)
"""
MODELS = """
from django.contrib.auth.models import AbstractUser
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

from vendor.models import Label, Owned


class Member(AbstractUser):
    boss = models.ForeignKey("self", models.CASCADE, null=True)


class Place(models.Model):
    name = models.CharField(max_length=10)


class Cafe(Place):
    label = models.ForeignKey(Label, models.CASCADE)


class ShelfQuerySet(models.QuerySet):
    def full(self):
        return self.filter(books__isnull=False)

    def counted(self):
        return self.count()


def made(base):
    return base.from_queryset(ShelfQuerySet)


class Shelf(Owned):
    objects = made(models.Manager)()
    notes = GenericRelation("shop.Note")


class OldShelf(Shelf):
    class Meta:
        proxy = True


class Note(models.Model):
    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    of = GenericForeignKey()
"""
VIEWS = """
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.forms import ModelForm

import vendor
from shop.models import Cafe, Member, Note, OldShelf, Place, Shelf
from vendor.models import Hidden, Label, Picky

User = get_user_model()


class LabelForm(ModelForm):
    class Meta:
        model = Label
        fields = ["name"]


async def installed(request):
    label = await Label.objects.aget(pk=1)
    print(label.by)  # registry
    print(label.by_id, label.name)
    member = await Member.objects.aget(pk=1)
    print(member.labels.count())  # registry
    hidden = await Hidden.objects.aget(pk=1)
    print(hidden.label)  # registry
    print((await vendor.models.Label.objects.aget(pk=1)).by)  # registry


async def swapped(request):
    user = await User.objects.aget(pk=1)
    print(user.boss)  # source
    label = await Label.objects.select_related("by").aget(pk=1)
    print(label.by.username)
    print(label.by.boss)  # registry


async def abstract(request):
    shelf = await Shelf.objects.aget(pk=1)
    print(shelf.owner)  # registry
    member = await Member.objects.aget(pk=1)
    print(member.shelf_items.count())  # registry
    print(await member.shelf_items.acount())


async def managers(request):
    Shelf.objects.full().exists()  # registry
    await Shelf.objects.full().aexists()
    Picky.chosen.count()  # registry
    await Picky.chosen.acount()
    async for picky in Picky.chosen.select_related("label"):
        print(picky.label.name)
        print(picky.label.by.username)  # registry


async def proxy(request):
    old = await OldShelf.objects.aget(pk=1)
    print(old.owner)  # registry
    print(old.notes.count())  # registry


async def generic(request):
    note = await Note.objects.aget(pk=1)
    print(note.of)  # source
    kind = await ContentType.objects.aget(pk=1)
    print(kind.app_label)


async def parents(request):
    cafe = await Cafe.objects.aget(pk=1)
    print(cafe.place_ptr.name)
    print(cafe.label)  # source
    place = await Place.objects.aget(pk=1)
    print(place.cafe)  # source


async def form(request):
    LabelForm(request.POST).is_valid()  # registry


async def annotated(request, label: Label):
    print(label.by.email)
    label.save()  # registry
"""


def write(folder: Path) -> Path:
    """Write the project into a folder; return its views."""
    for path, text in {
        "manage.py": MANAGE,
        "site_settings.py": SETTINGS,
        "vendor/__init__.py": "",
        "vendor/models.py": VENDOR,
        "shop/__init__.py": "",
        "shop/models.py": MODELS,
        "shop/views.py": VIEWS,
    }.items():
        file = folder / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip())
    return folder / "shop" / "views.py"


def marked(views: Path, *marks: str) -> set[str]:
    """Return the lines that end in one of these comments, without it."""
    parts = [line.strip().partition("  # ") for line in views.read_text().splitlines()]
    return {line for line, _, mark in parts if mark in marks}


def run(folder: Path, *arguments: str, program: tuple[str, ...] = ("-m", "daf_orm.static"), **env: str) -> Any:
    """Run the command in a folder."""
    inherited = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(
        [sys.executable, *program, *arguments],
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(ROOT)} | env,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def lines(views: Path, output: str) -> set[str]:
    """Return the source of the lines that a JSON report names, without their comments."""
    source = views.read_text().splitlines()
    return {source[row["line"] - 1].strip().partition("  # ")[0] for row in json.loads(output)}
