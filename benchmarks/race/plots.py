"""Plots in SVG, written by hand: bars with quartiles, and lines over a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from operator import itemgetter

from benchmarks.race.summary import Spread

_OURS, _THEIRS, _FAINT, _INK, _PALE = "#1f6fb2", "#8a8a8a", "#c4c4c4", "#222222", "#dddddd"
_LABELS, _BARS, _GAP = 190, 250, 40
"""Widths of a panel's labels and bars, and the space between panels."""
_ROW, _HEAD, _MARGIN = 18, 34, 16
_SIZE, _LINE = 12, 13
_BOLD, _TO_THE_LEFT, _CENTRED = 'font-weight="bold"', 'text-anchor="end"', 'text-anchor="middle"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A picture, and what it shows."""

    title: str
    svg: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One group of bars, or of lines."""

    title: str
    bars: Mapping[str, Spread] = field(default_factory=dict)
    lines: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    mark: float | None = None
    """A vertical line among the bars."""
    faint: Collection[str] = ()
    """Names of floors, which are no contenders."""


def bars(title: str, panels: Sequence[Panel]) -> Plot:
    """Draw panels of bars, two in a row; a thin line goes from the first to the third quartile."""
    width = 2 * (_LABELS + _BARS) + _GAP + 2 * _MARGIN
    parts, top = [], float(_HEAD)
    for start in range(0, len(panels), 2):
        row = panels[start : start + 2]
        for column, panel in enumerate(row):
            parts += _bar_panel(panel, _MARGIN + column * (_LABELS + _BARS + _GAP), top)
        top += _HEAD + _ROW * max(len(panel.bars) for panel in row) + _MARGIN
    return Plot(title=title, svg=_document(title, width, top, parts))


def _bar_panel(panel: Panel, left: float, top: float) -> list[str]:
    widest = max((spread.third for spread in panel.bars.values()), default=1) or 1
    start = left + _LABELS

    def at(value: float) -> float:
        return start + value / widest * (_BARS - 40)

    bottom = top + _HEAD - 8 + _ROW * len(panel.bars)
    parts = [_text(left, top + 12, panel.title, _BOLD)]
    for number, (name, spread) in enumerate(panel.bars.items()):
        y = top + _HEAD - 8 + number * _ROW
        parts += [
            _text(start - 6, y + 11, name, _TO_THE_LEFT),
            _bar(start, y, at(spread.median) - start, _colour(name, panel)),
            _line((at(spread.first), y + 6), (at(spread.third), y + 6), _INK),
            _text(max(at(spread.third), at(spread.median)) + 4, y + 11, _number(spread.median)),
        ]
    if panel.mark is not None:
        parts.append(_line((at(panel.mark), top + _HEAD - 12), (at(panel.mark), bottom), _OURS, "3 3"))
    return parts


def lines(title: str, panels: Sequence[Panel]) -> Plot:
    """Draw panels of lines side by side, logarithmic on both axes, each with its name at its end."""
    width = 2 * (_LABELS + _BARS) + _GAP + 2 * _MARGIN
    parts: list[str] = []
    height = 380.0
    for column, panel in enumerate(panels):
        parts += _line_panel(panel, _MARGIN + 10 + column * (_LABELS + _BARS + _GAP), _HEAD, height)
    return Plot(title=title, svg=_document(title, width, height + 2 * _HEAD, parts))


def _line_panel(panel: Panel, left: float, top: float, height: float) -> list[str]:
    steps = sorted({step for points in panel.lines.values() for step in points})
    values = [value for points in panel.lines.values() for value in points.values()]
    across = _logarithmic(steps, left, left + _BARS - 20)
    up = _logarithmic(values, top + height - 20, top + 30)
    parts = [_text(left - 10, top + 12, panel.title, _BOLD)]
    for step in steps:
        parts += [
            _line((across(step), top + 24), (across(step), top + height - 14), _PALE),
            _text(across(step), top + height, f"{step:,}", _CENTRED),
        ]
    ends = {name: points[max(points)] for name, points in panel.lines.items()}
    labels = _apart({name: up(value) + 4 for name, value in ends.items()}, highest=top + 30)
    for name, points in panel.lines.items():
        path = " ".join(f"{across(step):.1f},{up(value):.1f}" for step, value in sorted(points.items()))
        colour = _colour(name, panel)
        parts += [
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>',
            _text(left + _BARS, labels[name], f"{name} {_number(ends[name])}", f'fill="{colour}"'),
        ]
    return parts


def _apart(wanted: Mapping[str, float], *, highest: float) -> dict[str, float]:
    """Return heights for labels as near to those wanted as leaves each of them readable, none above the highest."""
    placed: dict[str, float] = {}
    last = highest - _LINE
    for name, y in sorted(wanted.items(), key=itemgetter(1)):
        last = placed[name] = max(y, last + _LINE)
    return placed


def _logarithmic(values: Sequence[float], low: float, high: float) -> Callable[[float], float]:
    least, most = math.log(min(values)), math.log(max(values))
    length = (most - least) or 1.0
    return lambda value: low + (math.log(value) - least) / length * (high - low)


def _document(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'font-family="sans-serif" font-size="{_SIZE}" fill="{_INK}">'
    )
    background = f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>'
    body = [
        head,
        f"<title>{escape(title)}</title>",
        background,
        _text(_MARGIN, 20, title, 'font-size="14"'),
        *parts,
        "</svg>",
    ]
    return "\n".join(body) + "\n"


def _text(x: float, y: float, text: str, *style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {" ".join(style)}>{escape(text)}</text>'


def _bar(x: float, y: float, width: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="12" fill="{colour}"/>'


def _line(start: tuple[float, float], end: tuple[float, float], colour: str, dash: str = "none") -> str:
    (x1, y1), (x2, y2) = start, end
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-dasharray="{dash}"/>'
    )


def _colour(name: str, panel: Panel) -> str:
    if name in panel.faint:
        return _FAINT
    return _OURS if name.startswith("DAF") else _THEIRS


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"
