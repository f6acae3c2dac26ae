"""A separate database for a program."""

import os

import psycopg
import pytest
from django.db import connection


@pytest.fixture
def own_database():
    keys = ("ENGINE", "USER", "PASSWORD", "HOST", "PORT")
    settings = {key: connection.settings_dict[key] for key in keys} | {"NAME": f"packages_{os.getpid()}"}
    options = {"host": settings["HOST"], "port": settings["PORT"] or None, "user": settings["USER"] or None}
    with psycopg.connect(dbname="postgres", password=settings["PASSWORD"] or None, autocommit=True, **options) as admin:
        admin.execute(f"CREATE DATABASE {settings['NAME']}")
        yield settings
        admin.execute(f"DROP DATABASE {settings['NAME']} WITH (FORCE)")
