"""Check the types that users see, under mypy with django-stubs and under pyright: a part of ``make lint``.

``checks/`` says by ``assert_type`` what is known, and by comments what must be refused: a comment that suppresses no
error is one. ``examples.py`` adds the examples of the README and the docs.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import examples

HOME = Path(__file__).parent
BUILD = HOME / ".build"
PYRIGHT = {
    "extraPaths": ["..", "."],
    "enableTypeIgnoreComments": False,  # they are mypy's
    "typeCheckingMode": "standard",
    "reportUnnecessaryTypeIgnoreComment": "error",
    "reportUnusedExpression": "none",  # as mypy
}


def main() -> int:
    """Run both checkers at the same time. Return 1 if one of them found an error."""
    shutil.rmtree(BUILD, ignore_errors=True)
    examples.write(BUILD / "examples")
    include = ["../checks", "../shop", "../pages", "examples"]
    config = {"include": include, "exclude": ["../checks/plugin.py"], **PYRIGHT}
    (BUILD / "pyrightconfig.json").write_text(json.dumps(config))
    shown = [str(HOME / name) for name in ("checks", "shop", "pages")] + [str(BUILD / "examples")]
    commands = [
        ["mypy", "--config-file", str(HOME / "mypy.ini"), *shown],
        ["pyright", "--project", str(BUILD), "--pythonpath", sys.executable],
    ]
    running = [_start(command) for command in commands]
    return max(_report(command[0], process) for command, process in zip(commands, running, strict=True))


def _start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _report(name: str, process: subprocess.Popen[str]) -> int:
    output, _ = process.communicate()
    for line in output.splitlines():
        print(f"{name}: {examples.in_page(line)}")
    return min(process.returncode, 1)


if __name__ == "__main__":
    sys.exit(main())
