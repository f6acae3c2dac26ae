"""The plots of a race."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.race import in_process, over_http
from benchmarks.race.contenders import CONTENDERS
from benchmarks.race.plots import Panel, Plot, bars, lines
from benchmarks.race.report import entries_of, growth_of, main_heat
from benchmarks.race.samples import Race, Sample
from benchmarks.race.summary import Spread, ratio_of, reference_of
from benchmarks.race.works import QUERIES, WORKS

_FLOORS = frozenset(name for name, contender in CONTENDERS.items() if contender.kind == "loop")


def plots_of(race: Race) -> dict[str, Plot]:
    """Return the plots that the figures are there for, by name."""
    made = {}
    if panels := _ratios(race, in_process.PLACE, "cpu"):
        made["cpu"] = bars("CPU per request in process, 20 at once, over DAF native's: less is better", panels)
    if panels := _ratios(race, over_http.PLACE, "rate"):
        made["rate"] = bars("Requests per second over HTTP, 20 at once, over DAF native's: more is better", panels)
    if panels := _growth(race):
        made["growth"] = lines("CPU per request for one row, by how many are sent at once: less is better", panels)
    return made


def _ratios(race: Race, place: str, figure: str) -> list[Panel]:
    panels = []
    for work in ("hello", *QUERIES, "typed"):
        found = race.heats.get(main_heat(place, work))
        if found and (reference := reference_of(found)):
            spreads = _spreads(found, found[reference], figure)
            ordered = dict(sorted(spreads.items(), key=lambda bar: bar[1], reverse=figure != "cpu"))
            panels.append(Panel(title=WORKS[work].meaning, bars=ordered, mark=1.0, faint=_FLOORS))
    return panels


def _spreads(found: Mapping[str, Sequence[Sample]], reference: Sequence[Sample], figure: str) -> dict[str, Spread]:
    ratios = {name: ratio_of(found[name], reference, figure) for name in entries_of([found])}
    return {name: ratio for name, ratio in ratios.items() if ratio is not None}


def _growth(race: Race) -> list[Panel]:
    panels = []
    for place in (in_process.PLACE, over_http.PLACE):
        base, lines_of_all = growth_of(race, place)
        drawn = {
            name: {step: ratio.median for step, ratio in line.items()}
            for name, line in lines_of_all.items()
            if len(line) > 1
        }
        if drawn:
            panels.append(Panel(title=f"{place}, over {base}", lines=drawn, faint=_FLOORS))
    return panels
