"""The bookshop answers every request as its document says: found by schemathesis.

`BOOKSHOP_EXAMPLES=500` looks longer, and with another seed each time.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bookshop.running import ROOT

pytestmark = [pytest.mark.sqlite_memory, pytest.mark.timeout(0)]  # it has its own limit
EXAMPLES = os.environ.get("BOOKSHOP_EXAMPLES")
FEW = "12"
SECONDS = 400


def test_every_operation_answers_as_documented(shop):
    limits = ["--max-examples", EXAMPLES] if EXAMPLES else ["--max-examples", FEW, "--seed", "1"]
    done = subprocess.run(
        [
            *(Path(sys.executable).parent / "st", "--config-file", ROOT / "tests/bookshop/schemathesis.toml"),
            *("run", f"{shop.url}/api/openapi.json", "--url", shop.url, "--checks", "all", "--continue-on-failure"),
            *("--generation-database", "none", "--no-color", *limits),
        ],
        cwd=ROOT,
        env=os.environ | {"BOOKSHOP_TOKEN": shop.token},
        capture_output=True,
        text=True,
        check=False,
        timeout=None if EXAMPLES else SECONDS,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{shop.log.read_text()}"
    assert "14 selected / 14 total" in done.stdout
    assert "Internal Server Error" not in shop.log.read_text()
