"""An environment per package whose suite is run: the row's lock decides on versions, where it has them."""

import hashlib
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Environment:
    """A virtual environment with DAF, a package, and what its suite needs."""

    def __init__(self, project: str, needs: Sequence[str], lock: Path) -> None:
        self.project = project
        self._needs = [project, "pytest", "pytest-timeout", *needs]
        self._lock = lock
        self._folder = ROOT / f".venv-suite-{project}"

    @property
    def python(self) -> Path:
        return self._folder / "bin" / "python"

    @property
    def version(self) -> str:
        """Of the package."""
        program = f"import importlib.metadata; print(importlib.metadata.version({self.project!r}))"
        return subprocess.run([self.python, "-c", program], check=True, capture_output=True, text=True).stdout.strip()

    def make(self) -> None:
        """Make it anew where the lock or the needs have changed."""
        stamp = self._folder / ".made"
        content = hashlib.sha256(repr((self._needs, self._lock.read_text(), sys.version)).encode()).hexdigest()
        if stamp.exists() and stamp.read_text() == content:
            return
        print(f"Making {self._folder.name} with {' '.join(self._needs)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", self._folder], check=True)
        constraints = self._folder / "constraints.txt"
        constraints.write_text("".join(f"{pin}\n" for pin in self._pins()))
        pip = [self.python, "-m", "pip", "install", "--quiet", "--no-compile", "--constraint", constraints]
        # With psycopg and greenlet, as each suite can be run on PostgreSQL and on the native engine.
        subprocess.run([*pip, "--editable", f"{ROOT}[native]", *self._needs], check=True)
        stamp.write_text(content)

    def _pins(self) -> list[str]:
        # Hashes would have to be known for all of it; most packages that only these suites need are in no lock.
        return re.findall(r"^[a-z0-9-]+==[^\s;]+", self._lock.read_text(), re.MULTILINE)
