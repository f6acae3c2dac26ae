"""The metrics as text for Prometheus, without its package.

Source: Prometheus's text-based exposition format, version 0.0.4.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from daf_orm.metrics.registry import Reading

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_HELP_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})
_LABEL_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def exposition(readings: Iterable[Reading]) -> str:
    """Return readings, of :func:`daf_orm.metrics.collect`, as text. Metrics without a series are left out."""
    return "".join(line for reading in readings if reading.series for line in _lines(reading))


def _lines(reading: Reading) -> Iterator[str]:
    metric = reading.metric
    yield f"# HELP {metric.name} {metric.help.translate(_HELP_ESCAPES)}\n"
    yield f"# TYPE {metric.name} {metric.kind}\n"
    for values, number in sorted(reading.series.items()):
        labels = ",".join(
            f'{name}="{value.translate(_LABEL_ESCAPES)}"' for name, value in zip(metric.labels, values, strict=True)
        )
        yield f"{metric.name}{f'{{{labels}}}' if labels else ''} {_number(number)}\n"


def _number(number: float) -> str:
    if math.isfinite(number):
        return str(number)
    return "NaN" if math.isnan(number) else f"{'+' if number > 0 else '-'}Inf"
