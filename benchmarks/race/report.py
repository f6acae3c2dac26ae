"""The page about a race, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.race import in_process, over_http
from benchmarks.race.contenders import CONTENDERS, FLOOR, REFERENCES
from benchmarks.race.plots import Plot
from benchmarks.race.samples import Heat, Race, Sample
from benchmarks.race.summary import Spread, failures_of, median_of, ratio_of, reference_of
from benchmarks.race.works import QUERIES, WORKS
from benchmarks.tables import table

MAIN = {"database": "PostgreSQL", "callers": 20}
_INTRODUCTION = """\
# The race

`make race` writes this page, its plots and [its figures](race/race.json). `make race QUICK=1` runs a short one, in less
than five minutes, and writes into `build/race`.

Each contender has a separate environment, with a lock in `requirements/race`. They take turns in one run: a *round* is
one turn of each, in random order. A turn before the first round warms up. Before anything is timed, the answers of all
contenders are compared: after spaces and the order of keys have been made alike, their bytes are the same.

A figure is the median over the rounds, with the quartiles in brackets. A *ratio* divides two turns of the same round.
**Above 1 is more than DAF, below 1 is less.** A spread that includes 1 is a draw.

*CPU* is that of the process with all its threads and children. It is steadier than requests per second where a machine
does other things too. It is not the same there as on an idle machine: compare the ratios. *In process* there is no
server and no network. *MiB* is the resident memory of all its processes at the peak, *connections* the peak in
`pg_stat_activity`. *Failed* counts the requests of all rounds that were not answered as expected.
"""


def page(race: Race, plots: Mapping[str, Plot]) -> str:
    """Return the whole page."""
    parts = [
        _INTRODUCTION,
        _conditions(race),
        "## CPU per request, in process\n",
        _picture("cpu", plots),
        _matrix(race, in_process.PLACE, "cpu"),
        "## Over HTTP\n",
        _picture("rate", plots),
        _matrix(race, over_http.PLACE, "cpu"),
        _matrix(race, over_http.PLACE, "rate"),
        "## From 1 to 1,000 at once\n",
        _picture("growth", plots),
        _growth(race),
        _idle(race),
        _ahead(race),
        "## Contenders\n",
        "\n".join(f"- **{each.name}**: {each.conditions}" for each in CONTENDERS.values()) + "\n",
        _excused(race),
        "## All heats\n",
        *(_heat(heat, found) for heat, found in race.heats.items()),
    ]
    return "\n".join(part for part in parts if part)


def _conditions(race: Race) -> str:
    lines = [f"- {name}: {value}." for name, value in race.about.items() if name != "packages"]
    packages = [
        f"- {name}: {', '.join(map(' '.join, versions.items()))}." for name, versions in race.about["packages"].items()
    ]
    return "\n".join(["## Conditions\n", *lines, "", "Packages, by lock:\n", *packages, ""])


def _picture(name: str, plots: Mapping[str, Plot]) -> str:
    return f"![{plots[name].title}](race/{name}.svg)\n" if name in plots else ""


def _matrix(race: Race, place: str, figure: str) -> str:
    """Ratios of all contenders in all works, with 20 at once."""
    heats = {heat.work: found for heat, found in race.heats.items() if heat == main_heat(place, heat.work)}
    if not heats:
        return ""
    meaning = "CPU per request" if figure == "cpu" else "Requests per second"
    parts = [f"### {meaning}, {place}, {MAIN['callers']} at once, as ratios to DAF native\n"]
    for works in _in_groups(list(heats)):
        rows = [(name, *(_cell(heats[work], name, figure) for work in works)) for name in entries_of(heats.values())]
        parts += [table(("", *works), [row for row in rows if any(row[1:])]), ""]
    return "\n".join(parts)


def _in_groups(works: Sequence[str]) -> list[list[str]]:
    """Four columns are as many as a page has room for: first the queries, then the others."""
    others = [work for work in works if work not in QUERIES]
    groups = [[work for work in works if work in QUERIES]]
    groups += [others[start : start + 4] for start in range(0, len(others), 4)]
    return [group for group in groups if group]


def _cell(found: Mapping[str, Sequence[Sample]], name: str, figure: str) -> str:
    if name not in found or not (reference := reference_of(found)):
        return ""
    ratio = ratio_of(found[name], found[reference], figure)
    return ratio.shown(digits=2) if ratio else ""


def main_heat(place: str, work: str) -> Heat:
    """Return the heat that the short tables show."""
    return Heat(place=place, work=work, **MAIN)


def entries_of(heats: Iterable[Mapping[str, Sequence[Sample]]]) -> list[str]:
    """Return the entries of heats, in the order of the table of contenders."""
    present = {name for found in heats for name in found}
    return [name for name in CONTENDERS if name in present]


def _growth(race: Race) -> str:
    parts = []
    for place in (in_process.PLACE, over_http.PLACE):
        base, lines = growth_of(race, place)
        if lines:
            steps = sorted({step for line in lines.values() for step in line})
            rows = [
                (name, *(line[step].shown(digits=2) if step in line else "" for step in steps))
                for name, line in lines.items()
            ]
            parts += [f"### CPU per request, {WORKS['one'].meaning}, {place}, as ratios to {base}\n"]
            parts += [table(("", *(f"{step:,}" for step in steps)), rows), ""]
    return "\n".join(parts)


def growth_of(race: Race, place: str) -> tuple[str, dict[str, dict[int, Spread]]]:
    """Return ratios of one row's CPU by contender and by how many requests were sent at once, and what they divide by.

    That is the floor where it takes part, since it does not know how many are sent. The machine was not equally busy at
    all the numbers: ratios show it least.
    """
    heats = {
        heat.callers: found
        for heat, found in race.heats.items()
        if heat.place == place and heat.database == MAIN["database"] and heat.work == "one"
    }
    if len(heats) < 2:
        return "", {}
    base = next((name for name in (FLOOR, *REFERENCES) if all(name in found for found in heats.values())), "")
    lines: dict[str, dict[int, Spread]] = {}
    for name in entries_of(heats.values()):
        for step, found in heats.items():
            if base and name in found and (ratio := ratio_of(found[name], found[base])):
                lines.setdefault(name, {})[step] = ratio
    return base, lines


def _idle(race: Race) -> str:
    if not race.idle:
        return ""
    rows = [
        (name, f"{each['bytes'] / 1024:,.1f}", f"{each['threads']:,}", each["connections"], f"{each['clients']:,}")
        for name, each in sorted(race.idle.items(), key=lambda entry: list(CONTENDERS).index(entry[0]))
    ]
    head = ("", "KiB per client", "threads +", "connections", "clients served")
    explained = (
        "Each client has a stream of server-sent events open, on which nothing comes after the first. "
        "*KiB per client* is what the server's processes grew by, *threads +* the threads that were added.\n"
    )
    return "\n".join(["## Idle streams\n", explained, table(head, rows), ""])


def _ahead(race: Race) -> str:
    """All that was ahead of DAF, with both quartiles: the page does not leave it to the reader to find."""
    rows = []
    for heat, found in race.heats.items():
        if not (reference := reference_of(found)):
            continue
        for name in entries_of([found]):
            ratio = ratio_of(found[name], found[reference])
            if ratio and ratio.third < 1 and not name.startswith("DAF") and CONTENDERS[name].kind != "loop":
                where = f"{heat.place}, {heat.database}, {heat.callers:,} at once"
                rows.append((f"{WORKS[heat.work].meaning} ({where})", name, ratio.shown(digits=2)))
    if not rows:
        return "## Ahead of DAF\n\nNo contender's CPU was below DAF's with both quartiles.\n"
    head = ("", "contender", "CPU x DAF")
    return "\n".join(["## Ahead of DAF\n", "CPU per request, with both quartiles below 1:\n", table(head, rows), ""])


def _excused(race: Race) -> str:
    """Name the contenders that took no part, and why; the same reason is told once."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for heat, name, reason in race.excused:
        reasons.setdefault((name, reason), []).append(f"{heat.work} ({heat.place}, {heat.database})")
    rows = [(name, "all", f"cannot be installed: {reason}") for name, reason in race.absent.items()]
    rows += [(name, ", ".join(works), reason) for (name, reason), works in reasons.items()]
    if not rows:
        return ""
    return "\n".join(["### No part\n", table(("", "in", "reason"), rows), ""])


def _heat(heat: Heat, found: Mapping[str, Sequence[Sample]]) -> str:
    reference = reference_of(found)
    head = (
        "",
        "CPU µs",
        f"x {reference}",
        "x floor",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "MiB",
        "threads",
        "connections",
        "failed",
    )
    rows = [_row(name, found, reference) for name in entries_of([found])]
    title = f"### {WORKS[heat.work].meaning}: {heat.place}, {heat.database}, {heat.callers:,} at once\n"
    return "\n".join([title, table(head, rows), ""])


def _row(name: str, found: Mapping[str, Sequence[Sample]], reference: str) -> tuple[str, ...]:
    samples = found[name]
    last = samples[-1]
    return (
        name,
        median_of(samples, "cpu").shown(1e6),
        _shown(ratio_of(samples, found[reference]) if reference else None),
        _shown(ratio_of(samples, found[FLOOR]) if FLOOR in found else None),
        median_of(samples, "rate").shown(),
        f"{median_of(samples, 'p50').median * 1000:,.1f}",
        f"{median_of(samples, 'p99').median * 1000:,.1f}",
        f"{last.memory / 2**20:,.0f}",
        str(last.threads),
        str(last.connections),
        failures_of(samples),
    )


def _shown(ratio: Spread | None) -> str:
    return ratio.shown(digits=2) if ratio else ""
