"""Reports of blocking calls: grouped and counted by call site, as text, as JSON, and in the log."""

from __future__ import annotations

import json
import logging
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from daf_orm._core.blocking_call import BlockingCall

logger = logging.getLogger("daf_orm.blocking")

MAX_SITES = 1000
"""Call sites that the log counts; beyond that number it starts again."""

_logged: Counter[tuple[str, int, str]] = Counter()


def group(calls: Iterable[BlockingCall]) -> list[tuple[BlockingCall, int]]:
    """Group calls by their site and operation: the first of each group and their number, the most frequent first."""
    firsts: dict[tuple[str, int, str], BlockingCall] = {}
    counts: Counter[tuple[str, int, str]] = Counter()
    for call in calls:
        site = key(call)
        counts[site] += 1
        known = firsts.setdefault(site, call)
        if call.swallowed and not known.swallowed:
            firsts[site] = call
    return [(firsts[site], count) for site, count in counts.most_common()]


def as_text(calls: Iterable[BlockingCall]) -> str:
    """Return a line for each call site, with its count where that is more than 1."""
    return "\n".join(f"{call}{f' ({count} times)' if count > 1 else ''}" for call, count in group(calls))


def as_json(calls: Iterable[BlockingCall]) -> str:
    """Return a JSON array with an object for each call site: the fields of BlockingCall, and ``count``."""
    return json.dumps([{**call.as_dict(), "count": count} for call, count in group(calls)], indent=2)


def log(call: BlockingCall, level: int) -> None:
    """Log a call with its fields in ``blocking_call``: a site's 1st, 10th, 100th… time, so that the log stays small."""
    site = key(call)
    if site not in _logged and len(_logged) >= MAX_SITES:
        _logged.clear()
    _logged[site] += 1
    count = _logged[site]
    if count == 10 ** (len(str(count)) - 1):
        times = f" (for the {count}th time)" if count > 1 else ""
        logger.log(level, "%s%s", call, times, extra={"blocking_call": {**call.as_dict(), "count": count}})


def key(call: BlockingCall) -> tuple[str, int, str]:
    """Return the site and operation of a call, by which calls are counted."""
    return call.filename, call.lineno, call.operation
