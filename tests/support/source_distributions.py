"""Source distributions of installed packages: they have the suites that wheels leave out."""

import fcntl
import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.util import find_spec
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "daf"


def unpacked(project: str, version: str, *, only: str = "") -> Path:
    """Return its folder. pip downloads it once for all processes and later runs, into the user's cache.

    ``only`` is a part of the paths that are wanted, as in ``"/tests/"``.
    """
    folder = CACHE / f"{project}-{version}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as unfinished:
                _download(project, version, only, Path(unfinished)).rename(folder)
    return folder


def _download(project: str, version: str, only: str, folder: Path) -> Path:
    options = ["--quiet", "--no-deps", "--no-binary", project, "--dest", folder]
    if project == "django" and find_spec("setuptools"):
        options.append("--no-build-isolation")  # pip asks the build backend for the version: this one, or another
    subprocess.run([sys.executable, "-m", "pip", "download", *options, f"{project}=={version}"], check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        source.extractall(folder, [member for member in source if only in member.name], filter="data")
    (unpacked,) = (entry for entry in folder.iterdir() if entry.is_dir())
    return unpacked
