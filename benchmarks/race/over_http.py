"""The heats over HTTP: requests per second on real servers, and their CPU, memory, threads and connections."""

from __future__ import annotations

import http.client
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from benchmarks.race import wrk
from benchmarks.race.answers import Referee
from benchmarks.race.contenders import CONTENDERS, Contender
from benchmarks.race.databases import Database, Databases
from benchmarks.race.meter import Meter
from benchmarks.race.samples import Heat, Race, Sample
from benchmarks.race.servers import DidNotStartError, ask, serve
from benchmarks.race.works import WORKS, Work

PLACE = "HTTP"
CHECKED = 3
WARM_UP_SECONDS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The sizes of some heats."""

    works: Iterable[str]
    callers: Iterable[int]
    servers: frozenset[str]
    rounds: int
    seconds: float
    place: str = PLACE


def run(race: Race, plan: Plan, databases: Databases) -> None:
    """Run all heats on a database."""
    if wrk.PROGRAM is None:
        race.about["without HTTP"] = wrk.MISSING
        print(f"No heats over HTTP: {wrk.MISSING}.")
        return
    for middleware in (False, True):
        works = [WORKS[name] for name in plan.works if WORKS[name].middleware == middleware]
        entries = [
            (contender, server, databases.copy())
            for contender in CONTENDERS.values()
            for server in contender.servers
            if works
            and server in plan.servers
            and databases.vendor in contender.engines
            and contender.name not in race.absent
        ]
        referee, chance = Referee(), Random(1)
        for number in range(plan.rounds):
            for contender, server, database in chance.sample(entries, len(entries)):
                print(f"{plan.place}, {databases.label}, round {number + 1}: {contender.name}", flush=True)
                turn = _Turn(race, plan, databases, referee, number)
                turn.run(contender, server, database, works)


@dataclass(frozen=True, slots=True)
class _Turn:
    race: Race
    plan: Plan
    databases: Databases
    referee: Referee
    number: int

    def run(self, contender: Contender, server: str, database: Database, works: list[Work]) -> None:
        name = contender.name
        excused = {heat.work for heat, entry, _ in self.race.excused if entry == name and heat == self._any(heat.work)}
        try:
            with serve(contender, server, database, middleware=works[0].middleware) as (pid, port):
                meter = Meter(pid, lambda: self.databases.count_sessions(database))
                for work in works:
                    if not self.number and (reason := self._reason_against(contender, work, port)):
                        self.race.excuse(self._any(work.name), name, reason)
                    elif work.name not in excused:
                        self._measure(name, work, port, meter)
        except DidNotStartError as error:
            for work in works:
                self.race.excuse(self._any(work.name), name, str(error))

    def _reason_against(self, contender: Contender, work: Work, port: int) -> str:
        if reason := contender.reason_against(work.name, self.databases.vendor):
            return reason
        try:
            return self.referee.objection(work.name, [ask(port, request) for request in work.requests(CHECKED)])
        except (OSError, ValueError, http.client.HTTPException) as error:
            return f"failed: {type(error).__name__}: {error}"

    def _measure(self, name: str, work: Work, port: int, meter: Meter) -> None:
        wrk.load(port, work, 20, WARM_UP_SECONDS)
        for callers in self.plan.callers:
            before = meter.cpu()
            with meter.peaks() as peaks:
                found = wrk.load(port, work, callers, self.plan.seconds)
            cpu = (meter.cpu() - before) / max(found.pop("requests"), 1)
            heat = Heat(place=self.plan.place, database=self.databases.label, work=work.name, callers=callers)
            self.race.add(heat, name, Sample(round=self.number, cpu=cpu, **found, **peaks.highest))

    def _any(self, work: str) -> Heat:
        return Heat(place=self.plan.place, database=self.databases.label, work=work, callers=0)
