"""Check source that a test has written."""

from __future__ import annotations

import textwrap
from pathlib import Path

from daf_orm.static.check import check
from daf_orm.static.files import modules
from daf_orm.static.findings import Finding
from daf_orm.static.settings import Settings

MODELS = """
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=100)


class Tag(models.Model):
    name = models.CharField(max_length=100)


class Book(models.Model):
    title = models.CharField(max_length=100)
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    tags = models.ManyToManyField(Tag, related_name="books")
    published = models.DateField()

    @property
    def label(self):
        return f"{self.title} by {self.author.name}"


class Review(models.Model):
    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    subject = GenericForeignKey()
"""
IMPORTS = "from shop.models import Author, Book, Review, Tag\n"


def project(folder: Path, **sources: str) -> Path:
    """Write a package ``shop`` with models and these modules; return its folder."""
    package = folder / "shop"
    package.mkdir(exist_ok=True)
    for name, source in {"__init__": "", "models": MODELS, **sources}.items():
        (package / f"{name}.py").write_text(textwrap.dedent(source))
    return package


def findings(folder: Path, source: str, **options: object) -> list[Finding]:
    """Return the findings in a module of that package, which imports the models."""
    package = project(folder, views=IMPORTS + textwrap.dedent(source))
    return [each for each in check(modules([package]), Settings(**options)) if not each.file.endswith("models.py")]


def codes(folder: Path, source: str, **options: object) -> list[str]:
    return [finding.code for finding in findings(folder, source, **options)]
