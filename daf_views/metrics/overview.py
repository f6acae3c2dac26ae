"""``metrics_overview``: the metrics of this process, as a page or as JSON. For staff only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from daf_orm.detection.watchdog import get_stats
from daf_orm.metrics import collect
from daf_views.staff import page_template, staff_page

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.template import Template

TITLES: Final = {
    "pool": "Connection pool",
    "loop": "Event loop",
    "blocking": "Blocking calls",
    "requests": "Requests",
    "throttle": "Throttles",
    "tasks": "Tasks",
    "background": "Background work",
    "idempotency": "Idempotency keys",
}
"""By the second word of a metric's name, in the order of the page. Other words come last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One value of a metric."""

    name: str
    help: str
    unit: str
    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The figures of one part."""

    title: str
    figures: list[Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class StalledLine:
    """The stalls of one line that the watchdog has seen."""

    site: str
    stalls: int
    longest_ms: int


@cache
def _template() -> Template:
    return page_template(Path(__file__).parent / "overview.html")


@staff_page(_template)
async def metrics_overview(request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - a view's
    """Answer a member of staff with the metrics of this process, and the lines that stalled its event loops.

    ``?format=json`` gives JSON to browsers, too.
    """
    stalls = [StalledLine(site=site, **counts) for site, counts in get_stats()["sites"].items()]
    return {"process": os.getpid(), "groups": _groups(), "stalls": sorted(stalls, key=lambda line: -line.stalls)}


def _groups() -> list[Group]:
    figures = [
        Figure(
            name=metric.name,
            help=metric.help,
            unit=metric.unit,
            labels=dict(zip(metric.labels, values, strict=True)),
            value=value,
        )
        for metric, series in collect()
        for values, value in sorted(series.items())
    ]
    figures.sort(key=lambda figure: _place(figure.name))
    return [
        Group(title=TITLES.get(word, word.capitalize()), figures=list(group))
        for word, group in groupby(figures, key=lambda figure: _word(figure.name))
    ]


def _word(name: str) -> str:
    return name.split("_")[1]


def _place(name: str) -> tuple[int, str]:
    order = list(TITLES)
    word = _word(name)
    return (order.index(word) if word in order else len(order), word)
