"""Pains 29 and 30: with django-tenants, half of the answers showed the other tenant's rows, or none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REQUESTS = int(os.environ.get("DAF_PACKAGES", "100"))
ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(180)]


@pytest.mark.parametrize(("handler", "mode"), [("daf", "auto"), ("daf", "session"), ("django", "auto")])
def test_every_answer_is_the_tenants_own(own_database, handler, mode):
    daf_orm = {"MAX_SIZE": 10, "TIMEOUT": 120.0, "POOL_MODE": mode}
    environment = os.environ | {"TENANTS_DAF_ORM": json.dumps(daf_orm), "TENANTS_DATABASE": json.dumps(own_database)}

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
