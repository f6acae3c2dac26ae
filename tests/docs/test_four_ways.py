"""The program of docs/why/four-ways.md prints what the page says, on Django alone and with DAF."""

import os
import re

import pytest

from tests.docs.reference import DOCS, ROOT

pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory]  # the program has its own
TEXT = (DOCS / "why" / "four-ways.md").read_text()
PROGRAM = "\n\n".join(re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
OUTPUT = "".join(re.findall(r"^```text\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)).splitlines()


@pytest.mark.parametrize("stack", ["stock", "daf"])
def test_the_program_prints_what_the_page_says(stack, tmp_path, zygote):
    (tmp_path / "reproduce.py").write_text(PROGRAM)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "DAF_"))}

    done = zygote.run(["reproduce.py", stack], cwd=tmp_path, env=environment | {"PYTHONPATH": str(ROOT)})

    printed = [line for line in done.stdout.splitlines() if not line.endswith("swallowed:")]
    assert printed == [line for line in OUTPUT if line.startswith(stack)], done.stderr


def test_the_page_shows_both_for_each_way():
    assert len(OUTPUT) == 8
