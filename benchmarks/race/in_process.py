"""The heats in process: CPU per request, without a network and without a server."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random

from benchmarks.processes import Process, WorkerError
from benchmarks.race.answers import Referee
from benchmarks.race.contenders import CONTENDERS, FLOOR, Contender
from benchmarks.race.databases import Database, Databases
from benchmarks.race.environments import python_of
from benchmarks.race.meter import Meter
from benchmarks.race.samples import Heat, Race, Sample
from benchmarks.race.works import WORKS, Work

PLACE = "in process"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The sizes of some heats."""

    works: Iterable[str]
    callers: Iterable[int]
    rounds: int
    requests: int


class Runner:
    """A contender's process, and its own copy of the rows."""

    def __init__(self, contender: Contender, database: Database, databases: Databases, *, middleware: bool) -> None:
        self.process = worker(contender, database, middleware=middleware)
        self._meter = Meter(self.process.process.pid, lambda: databases.count_sessions(database))

    def answers(self, work: str) -> list[tuple[int, str]]:
        """Return its first answers."""
        return [(status, body) for status, body in self.process.do(answers=work)]

    def take_turn(self, heat: Heat, requests: int, number: int) -> Sample:
        """Answer so many requests."""
        with self._meter.peaks() as peaks:
            found = self.process.do(work=heat.work, requests=requests, callers=heat.callers)
        return Sample(round=number, **found, **peaks.highest)


def worker(contender: Contender, database: Database, *, middleware: bool = False) -> Process:
    """Start a contender's process in its environment."""
    race = {"contender": contender.name, "database": dict(database), "middleware": middleware}
    environment = {"RACE": json.dumps(race), "PYTHONDONTWRITEBYTECODE": ""}
    return Process("benchmarks.race.worker", python=python_of(contender.environment), environment=environment)


def seed(database: Database) -> None:
    """Fill a database, by the floor's process."""
    with worker(CONTENDERS[FLOOR], database) as process:
        process.do(seed=True)


def run(race: Race, plan: Plan, databases: Databases) -> None:
    """Run all heats on a database."""
    for middleware in (False, True):
        works = [WORKS[name] for name in plan.works if WORKS[name].middleware == middleware]
        if works:
            with ExitStack() as stack:
                _run(race, plan, databases.label, works, _start(race, databases, works, stack))


def _start(race: Race, databases: Databases, works: list[Work], stack: ExitStack) -> dict[str, tuple[Runner, set[str]]]:
    """Start those that take part, and return them with the works that they are in."""
    referee, started = Referee(), {}
    for contender in CONTENDERS.values():
        if contender.name in race.absent or contender.kind == "bolt":
            continue
        reasons = {work.name: contender.reason_against(work.name, databases.vendor) for work in works}
        if not all(reasons.values()):
            runner = Runner(contender, databases.copy(), databases, middleware=works[0].middleware)
            stack.enter_context(runner.process)
            reasons.update({name: _objection(runner, referee, name) for name, reason in reasons.items() if not reason})
            started[contender.name] = (runner, {name for name, reason in reasons.items() if not reason})
        for name, reason in reasons.items():
            if reason:
                race.excuse(Heat(place=PLACE, database=databases.label, work=name, callers=0), contender.name, reason)
    return started


def _objection(runner: Runner, referee: Referee, work: str) -> str:
    try:
        return referee.objection(work, runner.answers(work))
    except (WorkerError, ValueError) as error:
        return f"failed: {error}"


def _run(race: Race, plan: Plan, label: str, works: list[Work], runners: Mapping[str, tuple[Runner, set[str]]]) -> None:
    chance = Random(1)
    for work in works:
        taking_part = [name for name, (_, its_works) in runners.items() if work.name in its_works]
        for callers in plan.callers:
            heat = Heat(place=PLACE, database=label, work=work.name, callers=callers)
            print(f"{PLACE}, {label}: {work.meaning}, {callers} at once", flush=True)
            requests = max(plan.requests, callers) // work.weight
            for number in range(-1, plan.rounds):
                for name in chance.sample(taking_part, len(taking_part)):
                    try:
                        sample = runners[name][0].take_turn(heat, requests, number)
                    except WorkerError as error:  # it runs no more, the others do
                        taking_part.remove(name)
                        race.excuse(heat, name, f"failed: {error}")
                    else:
                        if number >= 0:  # the first warms up
                            race.add(heat, name, sample)
