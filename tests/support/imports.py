"""Run statements in an interpreter without settings, each in a separate process, where their imports are new.

The processes are forks of one that has imported Django's models, which takes longer than all modules of a package do.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PROGRAM = """
import json, os, sys, tempfile, traceback
import asgiref.sync, django.db.models

def run(statement, file):
    if (child := os.fork()) == 0:
        try:
            exec(statement, {})
        except BaseException:
            os.write(file.fileno(), traceback.format_exc().encode())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    return file.seek(0) or file.read().decode()

errors = {}
for statement in json.load(sys.stdin):
    with tempfile.TemporaryFile() as file:
        errors[statement] = run(statement, file)
print(json.dumps(errors))
"""


def errors_of(statements: Iterable[str]) -> dict[str, str]:
    """Return the traceback of each statement, "" where there was none. Warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _PROGRAM],
        cwd=_ROOT,
        env={name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
        input=json.dumps(list(statements)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
