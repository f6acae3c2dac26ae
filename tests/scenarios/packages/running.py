"""Programs that use a package, each in a separate process: packages patch Django permanently."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def run(program, database, **environment):
    """Run a module of this folder on a database; return what it printed. ``environment`` is for ``traced``."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.scenarios.packages.{program}"],
        cwd=ROOT,
        env=os.environ
        | {"TRACED_DATABASE": json.dumps(database)}
        | {f"TRACED_{name.upper()}": environment[name] for name in environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
