"""The steps of a page: files that its reader writes, and commands that they run.

A block whose first line is a comment with a path is a file; with "at the end", it is added to that file. A ``console``
block has commands, and text that their output contains. ``# fails`` says that a command exits with another status than
0. ``<!-- not run: … -->`` before a block says why it is left out.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.zygote import Zygote

PROGRAMS = {"python": [], "pytest": ["-m", "pytest"], "django-admin": ["-m", "django"], "daf": ["-m", "daf_orm.static"]}
"""The arguments of Python that stand for a program."""
_BLOCK = re.compile(r"(?:^<!-- not run: ([^\n]+) -->\n)?^```(python|ini|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w./-]+\.(?:py|ini))(, at the end)?\n")


@dataclass(frozen=True)
class Command:
    """A command, and what its output contains."""

    text: str
    fails: bool
    output: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class File:
    """A file, or an addition to one."""

    path: str
    text: str
    is_added: bool


def steps(page: Path) -> list[Command | File]:
    """Return the steps of a page, in order."""
    found: list[Command | File] = []
    for reason, kind, text in _BLOCK.findall(page.read_text()):
        if reason:
            continue
        if kind == "console":
            found += _commands(text)
        elif file := _FILE.match(text):
            found.append(File(path=file[1], text=text[file.end() :], is_added=bool(file[2])))
    return found


def _commands(text: str) -> list[Command]:
    found: list[Command] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            command, _, comment = line[2:].partition("    #")
            found.append(Command(text=command.strip(), fails="fails" in comment))
        else:
            found[-1].output.append(line.strip())
    return found


def take(step: Command | File, folder: Path, zygote: Zygote) -> None:
    """Write the file, or run the command. Raises AssertionError if the output is not that of the page."""
    if isinstance(step, File):
        path = folder / step.path
        before = path.read_text() if step.is_added else ""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{before}\n\n{step.text}" if before else step.text)
        return
    program, *arguments = shlex.split(step.text)
    done = zygote.run([*PROGRAMS[program], *arguments], cwd=folder, env=environment())
    output = done.stdout + done.stderr
    assert (done.returncode != 0) is step.fails, f"$ {step.text}\n{output}"
    for line in step.output:
        assert line in output, f"$ {step.text}\n{output}"


def environment() -> dict[str, str]:
    """Return the variables that a new project finds: those of this process, without those of Django, DAF and pytest."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "DAF_", "PYTEST_"))}
