"""The environments of the contenders, each made from a lock in ``requirements/race`` when that has changed."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.processes import ROOT

LOCKS = ROOT / "requirements" / "race"
_ENVIRONMENTS = ROOT / ".venv-race"
_UV = ROOT / ".venv-uv" / "bin" / "uv"


class CannotBeInstalledError(RuntimeError):
    """An environment could not be made; the message is the installer's reason."""


def python_of(environment: str) -> Path:
    """Return the interpreter of an environment, made unless it is there. Raises CannotBeInstalledError."""
    lock, folder = LOCKS / f"{environment}.txt", _ENVIRONMENTS / environment
    python, stamp = folder / "bin" / "python", folder / "made-from"
    if not lock.exists():
        raise CannotBeInstalledError(f"there is no lock {lock.relative_to(ROOT)}")
    made_from = f"{sys.version} {hashlib.sha256(lock.read_bytes()).hexdigest()}"
    if not stamp.exists() or stamp.read_text() != made_from:
        print(f"Making .venv-race/{environment} from {lock.relative_to(ROOT)}", flush=True)
        _uv("venv", "--clear", "--python", sys.executable, folder)
        _uv("pip", "sync", "--require-hashes", "--compile-bytecode", "--python", python, lock)
        stamp.write_text(made_from)
    return python


def versions_of(environment: str) -> dict[str, str]:
    """Return the versions that a lock has of the packages that were asked for, by package."""
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (LOCKS / f"{environment}.txt").read_text(), re.MULTILINE))
    wanted = re.findall(r"^([a-z0-9-]+)", (LOCKS / f"{environment}.in").read_text(), re.MULTILINE)
    return {name: locked[name] for name in wanted}


def _uv(*arguments: str | Path) -> None:
    try:
        subprocess.run([_UV, "--quiet", *arguments], check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise CannotBeInstalledError("there is no uv: `make race` makes it") from error
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines() or ["no message"]
        raise CannotBeInstalledError(" ".join(line.strip() for line in last[-3:])) from error
