"""The metrics as observable instruments of OpenTelemetry: ``instrument()``, once, when the process starts.

The package ``opentelemetry-api`` is optional. Without a meter provider its instruments do nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.metrics import CallbackOptions, Observation, get_meter

from daf_orm.metrics.registry import Family, Metric, follow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import Meter, MeterProvider

__all__ = ["instrument"]

NAME: Final = "daf"
"""The name of the meter, the instrumentation scope."""


def instrument(meter_provider: MeterProvider | None = None) -> None:
    """Make an instrument for each metric, also for those of parts that are imported later.

    ``meter_provider`` is the global one by default. Names are those of Prometheus without ``_total``; units follow
    UCUM: ``s``, or what is counted in braces.
    """
    meter = get_meter(NAME, meter_provider=meter_provider)
    follow(lambda family: _instrument(meter, family))


def _instrument(meter: Meter, family: Family) -> None:
    for metric in family.metrics:
        create = meter.create_observable_counter if metric.kind == "counter" else meter.create_observable_gauge
        unit = "s" if metric.unit == "seconds" else f"{{{metric.unit}}}"
        name = metric.name.removesuffix("_total")
        create(name, callbacks=[_callback(family, metric)], unit=unit, description=metric.help)


def _callback(family: Family, metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(number, dict(zip(metric.labels, values, strict=True)))
            for reading in family.read()
            if reading.metric is metric
            for values, number in reading.series.items()
        ]

    return observe
