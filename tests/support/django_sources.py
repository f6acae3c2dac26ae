"""The suite of the installed Django, which only its source distribution has."""

import fcntl
import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.util import find_spec
from pathlib import Path

import django

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "daf"


def django_tests() -> Path:
    """Return the ``tests`` folder. pip downloads it once for all processes and later runs, into the user's cache."""
    tests = CACHE / f"django-{django.__version__}" / "tests"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tests.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as unfinished:
                _download(Path(unfinished)).rename(tests.parent)
    return tests


def _download(folder: Path) -> Path:
    options = ["--quiet", "--no-deps", "--no-binary", "django", "--dest", folder]
    if find_spec("setuptools"):  # pip asks Django's build backend for its version: this one, or one of pip's own
        options.append("--no-build-isolation")
    subprocess.run([sys.executable, "-m", "pip", "download", *options, f"django=={django.__version__}"], check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        source.extractall(folder, [member for member in source if "/tests/" in member.name], filter="data")
    (tests,) = folder.glob("*/tests")
    return tests.parent
