"""The last run's findings, given again where no file has changed since."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from daf_orm.static.findings import Finding, Fix, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from daf_orm.static.project.modules import Module
    from daf_orm.static.registry.facts import Registry
    from daf_orm.static.settings import Settings

FOLDER: Final = ".daf_cache"
_HERE: Final = Path(__file__).parent


class Cache:
    """One file for each set of modules and settings; the last few are kept."""

    KEPT: Final = 8

    def __init__(
        self, modules: Sequence[Module], settings: Settings, folder: Path, registry: Registry | None = None
    ) -> None:
        self._folder = folder
        what = [
            repr(settings),
            registry.settings if registry else "",
            *sorted(str(module.path.absolute()) for module in modules),
        ]
        self._file = folder / f"check-{_digest(what)}.json"
        models = registry.digest if registry else ""
        self._state = _digest([sys.version, models, *_stamps(_HERE.rglob("*.py")), *_stamps(_read_files(modules))])

    def get(self) -> list[Finding] | None:
        """Return the findings of the last run; None if something has changed, or there was none."""
        try:
            stored = json.loads(self._file.read_text(encoding="utf-8"))
            if stored["state"] != self._state:
                return None
            return [_finding(row) for row in stored["findings"]]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, findings: Sequence[Finding]) -> None:
        """Keep the findings. A folder that cannot be written to costs the next run its time, and nothing else."""
        stored = {"state": self._state, "findings": [asdict(finding) for finding in findings]}
        try:
            self._folder.mkdir(exist_ok=True)
            (self._folder / ".gitignore").write_text("*\n", encoding="utf-8")
            partial = self._file.with_suffix(".partial")
            partial.write_text(json.dumps(stored), encoding="utf-8")
            partial.replace(self._file)
            for old in sorted(self._folder.glob("check-*.json"), key=_age)[self.KEPT :]:
                old.unlink()
        except OSError:
            return


def _finding(row: dict[str, Any]) -> Finding:
    fix = row.pop("fix")
    steps = tuple(Step(**step) for step in row.pop("path"))
    return Finding(**row, path=steps, fix=Fix(**fix) if fix else None)


def _read_files(modules: Sequence[Module]) -> Iterator[Path]:
    """Yield the modules, and the templates beside them."""
    yield from (module.path for module in modules)
    for folder in sorted({module.path.parent / "templates" for module in modules}):
        if folder.is_dir():
            yield from sorted(path for path in folder.rglob("*") if path.is_file())


def _stamps(files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        try:
            status = file.stat()
        except OSError:
            yield f"{file} is gone"
        else:
            yield f"{file} {status.st_mtime_ns} {status.st_size}"


def _age(file: Path) -> float:
    return -file.stat().st_mtime


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()[:32]
