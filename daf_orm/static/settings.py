"""Settings of ``daf check``: ``[tool.daf.check]`` in pyproject.toml."""

from __future__ import annotations

import fnmatch
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from daf_orm.static.codes import CODES

_ASYNC: Final = ("ALL", "ASYNC")


class SettingsError(Exception):
    """The settings or the command line cannot be followed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a check: its files, its codes and its sources."""

    select: tuple[str, ...] = ("DAF",)
    ignore: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    per_file_ignores: dict[str, tuple[str, ...]] = field(default_factory=dict)
    strict: bool = False
    baseline: str | None = None
    django: bool = False
    """True if models come from Django's app registry, for which the project is imported."""
    settings: str | None = None
    """The settings module for that."""
    has_ruffs_rules: bool = False
    """True if ruff already reports sleep, HTTP and files in coroutine functions."""

    def reports(self, code: str, file: str) -> bool:
        """Return True if findings of a code are reported in a file: the longer prefix decides."""
        ignored = [*self.ignore]
        for pattern, codes in self.per_file_ignores.items():
            if fnmatch.fnmatch(file, pattern) or fnmatch.fnmatch(file, f"*/{pattern}"):
                ignored += codes
        return _longest(code, self.select) > _longest(code, ignored)


def _longest(code: str, prefixes: list[str] | tuple[str, ...]) -> int:
    """Return the length of the longest prefix of a code; 0 if there is none."""
    return max((len(prefix) for prefix in prefixes if code.startswith(prefix)), default=0)


def load(folder: Path) -> Settings:
    """Return the settings of the nearest pyproject.toml. Raises SettingsError."""
    for parent in (folder, *folder.parents):
        file = parent / "pyproject.toml"
        if file.is_file():
            return _read(file)
    return Settings()


def _read(file: Path) -> Settings:
    try:
        tool = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file} could not be read: {error}") from error
    tool = tool if isinstance(tool, dict) else {}
    daf = tool.get("daf", {})
    table = daf.get("check", {}) if isinstance(daf, dict) else daf
    if not isinstance(table, dict):
        raise SettingsError(f"{file}: [tool.daf.check] is a table.")
    known = {each.name.replace("_", "-") for each in fields(Settings)} - {"has-ruffs-rules"}
    unknown = sorted(set(table) - known)
    if unknown:
        raise SettingsError(
            f"{file}: [tool.daf.check] has no key {unknown[0]!r}. The keys are: {', '.join(sorted(known))}."
        )
    return _checked(file, {**table, "has-ruffs-rules": _has_ruffs_rules(file.parent, tool)})


def _checked(file: Path, table: dict[str, Any]) -> Settings:
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key in {"select", "ignore", "exclude"}:
            values[key] = _texts(file, key, value)
        elif key == "per-file-ignores":
            if not isinstance(value, dict):
                raise SettingsError(f"{file}: per-file-ignores is a table: pattern = [codes].")
            values["per_file_ignores"] = {pattern: _texts(file, key, codes) for pattern, codes in value.items()}
        elif key in {"strict", "django", "has-ruffs-rules"}:
            if not isinstance(value, bool):
                raise SettingsError(f"{file}: {key} is true or false.")
            values[key.replace("-", "_")] = value
        elif not isinstance(value, str):
            raise SettingsError(f"{file}: {key} is the name of a {'module' if key == 'settings' else 'file'}.")
        else:
            values[key] = value
    for codes in (values.get("select", ()), values.get("ignore", ()), *values.get("per_file_ignores", {}).values()):
        check_codes(codes)
    return Settings(**values)


def _texts(file: Path, key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise SettingsError(f"{file}: {key} is a list of strings.")
    return tuple(value)


def check_codes(codes: tuple[str, ...] | list[str]) -> None:
    """Raise SettingsError for a prefix that no code begins with."""
    for prefix in codes:
        if not any(code.startswith(prefix) for code in CODES) or not prefix:
            raise SettingsError(f"There is no code {prefix!r}. The codes are {min(CODES)} to {max(CODES)}.")


def _has_ruffs_rules(folder: Path, tool: dict[str, Any]) -> bool:
    tables = [tool.get("ruff", {})]
    for name in ("ruff.toml", ".ruff.toml"):
        if (folder / name).is_file():
            try:
                tables.append(tomllib.loads((folder / name).read_text(encoding="utf-8")))
            except (OSError, ValueError):
                continue  # ruff says so itself
    for table in tables:
        for rules in (table, table.get("lint", {})) if isinstance(table, dict) else ():
            for key in ("select", "extend-select") if isinstance(rules, dict) else ():
                if isinstance(rules.get(key), list) and any(
                    str(each).startswith(_ASYNC) for each in rules.get(key, ())
                ):
                    return True
    return False
