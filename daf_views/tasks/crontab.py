"""Cron expressions as schedules, by CronSim, which follows Debian's cron: ``pip install "django-daf[cron]"``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

try:
    from cronsim import CronSim, CronSimError
except ImportError:
    CronSim = None  # type: ignore[assignment,misc] # an extra

_LONGEST = 200
"""Characters of an expression, at most."""
_FIELDS = 5


@dataclass(frozen=True, slots=True)
class Crontab:
    """The ticks of a cron expression in a time zone. Made by :func:`cron`."""

    expression: str
    zone: str | None
    """A key of zoneinfo. None: Django's ``TIME_ZONE``."""

    def next_after(self, moment: datetime) -> datetime:
        """Return the first tick that is later than a moment, in UTC. Raises ValueError if there is none in 50 years."""
        zone = timezone.get_default_timezone() if self.zone is None else ZoneInfo(self.zone)
        for local in CronSim(self.expression, moment.astimezone(zone)):
            # When clocks are put back, an hour comes twice, and the expression means the first.
            if (tick := local.astimezone(UTC)) > moment:
                return tick
        raise ValueError(f"{self} has no tick in the next 50 years.")

    def __str__(self) -> str:
        return f"cron {self.expression} {self.zone or timezone.get_default_timezone_name()}"


def cron(expression: str, *, zone: str | None = None) -> Crontab:
    """Return the schedule of a cron expression with five fields: ``cron("30 3 * * MON-FRI", zone="Europe/Berlin")``.

    Fields are minute, hour, day of the month, month, day of the week, as in Debian's cron. Without a ``zone`` they are
    in Django's ``TIME_ZONE``. At the change to summer time, a tick in the hour that is left out comes right after it.
    At the change back, a tick in the hour that comes twice comes once, in the first. Raises ValueError
    for an invalid expression or one without a tick, and for an unknown zone; ImproperlyConfigured without CronSim.
    """
    if CronSim is None:
        raise ImproperlyConfigured('cron() needs the package cronsim: pip install "django-daf[cron]".')
    text = " ".join(expression.split())
    if len(text) > _LONGEST or len(text.split()) != _FIELDS:
        raise ValueError(
            f"A cron expression has {_FIELDS} fields and at most {_LONGEST} characters: {text[:_LONGEST]!r}."
        )
    try:
        if zone is not None:
            ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"{zone!r} is not a time zone, such as 'Europe/Berlin'.") from error
    try:
        next(CronSim(text, datetime(2000, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise ValueError(f"{text!r} is not a cron expression: {error}.") from error
    except StopIteration:
        raise ValueError(f"{text!r} has no tick in 50 years.") from None
    return Crontab(text, zone)
