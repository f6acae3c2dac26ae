"""The suite's ``flush`` leaves in the database what Django's does."""

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sites.models import Site
from django.core.management import call_command
from django.core.management.commands.flush import Command
from django.db import connection

from tests.project.library.management.commands.flush import rows_of, tables_of
from tests.project.library.models import Author, Book

pytestmark = pytest.mark.django_db(transaction=True)
OPTIONS = {"verbosity": 0, "interactive": False, "reset_sequences": False}


def names():
    """Return what identifies the rows of `post_migrate`: their primary keys change when they are created anew."""
    permissions = Permission.objects.values_list("codename", "content_type__app_label", "content_type__model", "name")
    types, sites = ContentType.objects.values_list("app_label", "model"), Site.objects.values_list("domain", "name")
    return [sorted(rows) for rows in (permissions, types, sites)]


@pytest.fixture
def expected():
    call_command(Command(), **OPTIONS)
    return names()


@pytest.fixture(autouse=True)
def flushed(expected):
    call_command("flush", **OPTIONS)
    call_command("flush", **OPTIONS)  # if the first was Django's, this one is not


def test_the_rows_of_a_test_are_gone_and_those_of_post_migrate_stay(expected):
    before = rows_of(connection, tables_of(connection))
    Book.objects.create(title="b", author=Author.objects.create(name="a"))
    User.objects.create(username="u").user_permissions.add(Permission.objects.earliest("pk"))

    call_command("flush", **OPTIONS)

    assert rows_of(connection, tables_of(connection)) == before
    assert names() == expected


@pytest.mark.parametrize("model", [ContentType, Permission, Site])
def test_a_row_of_post_migrate_that_was_deleted_is_there_again(model, expected):
    model.objects.earliest("pk").delete()

    call_command("flush", **OPTIONS)

    assert names() == expected


def test_a_row_of_post_migrate_that_was_changed_is_as_before(expected):
    Permission.objects.update(name="changed")
    Site.objects.update(domain="changed.example")

    call_command("flush", **OPTIONS)

    assert names() == expected


def test_a_row_beside_those_of_post_migrate_is_gone(expected):
    ContentType.objects.create(app_label="none", model="none")

    call_command("flush", **OPTIONS)

    assert names() == expected
