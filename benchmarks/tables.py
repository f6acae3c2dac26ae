"""Samples summed up, and tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import quantiles


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the first quartile, the median and the third quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    first, median, third = quantiles(values, n=4, method="inclusive")
    return first, median, third


def microseconds(seconds: Sequence[float]) -> str:
    """Return a median with its quartiles: ``412 (398-431)``."""
    first, median, third = (value * 1e6 for value in spread(seconds))
    return f"{median:.0f} ({first:.0f}-{third:.0f})"


def ratio(times: Sequence[float], reference: Sequence[float]) -> str:
    """Return how many times as long as the reference: the median and quartiles of the ratios round by round.

    Both were measured moments apart in each round, so what the machine did meanwhile falls on both.
    """
    first, median, third = spread([mine / its for mine, its in zip(times, reference, strict=True)])
    return f"{median:.2f} ({first:.2f}-{third:.2f})"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; every column but the first is aligned right."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for row in (cells[0], rule, *cells[1:]):
        first, *others = (
            f"{cell:<{widths[0]}}" if not column else f"{cell:>{widths[column]}}" for column, cell in enumerate(row)
        )
        lines.append("| " + " | ".join([first, *others]) + " |")
    return "\n".join(lines)


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table."""
    print(table(head, rows), flush=True)
