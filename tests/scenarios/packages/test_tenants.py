"""Pains 29 and 30: with django-tenants, half of the answers showed the other tenant's rows, or none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from django.db import connection

REQUESTS = 100
ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(180)]


@pytest.fixture
def database():
    keys = ("USER", "PASSWORD", "HOST", "PORT")
    settings = {key: connection.settings_dict[key] for key in keys} | {"NAME": f"tenants_{os.getpid()}"}
    options = {"host": settings["HOST"], "port": settings["PORT"] or None, "user": settings["USER"] or None}
    with psycopg.connect(dbname="postgres", password=settings["PASSWORD"] or None, autocommit=True, **options) as admin:
        admin.execute(f"CREATE DATABASE {settings['NAME']}")
        yield settings
        admin.execute(f"DROP DATABASE {settings['NAME']} WITH (FORCE)")


@pytest.mark.parametrize(("handler", "mode"), [("daf", "auto"), ("daf", "session"), ("django", "auto")])
def test_every_answer_is_the_tenants_own(database, handler, mode):
    daf_orm = {"MAX_SIZE": 10, "TIMEOUT": 120.0, "POOL_MODE": mode}
    environment = os.environ | {"TENANTS_DAF_ORM": json.dumps(daf_orm), "TENANTS_DATABASE": json.dumps(database)}

    done = subprocess.run(
        [sys.executable, "-m", "tests.scenarios.packages.tenants", handler],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"right": 2 * REQUESTS}
