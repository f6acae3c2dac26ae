"""Writes the lines of a suite at which the guard has recorded a call to the file ``DAF_SUITE_RECORD``.

The guard is in mode ``log``, and also finds input and output. With ``DJANGO_ALLOW_ASYNC_UNSAFE`` a blocking call goes
on, so that the test can end.
"""

import atexit
import json
import os
from pathlib import Path
from typing import Any

FILE = os.environ.get("DAF_SUITE_RECORD")
SETTINGS = {"BLOCKING": "log", "BLOCKING_IO": True} if FILE else {"BLOCKING": "off"}
_calls: list[dict[str, Any]] = []


class _Recorder:
    def record(self, call: Any, _error: object) -> None:
        row = {
            "file": call.filename,
            "line": call.lineno,
            "function": call.function,
            "operation": call.operation,
            "expression": call.expression,
        }
        if row not in _calls:
            _calls.append(row)


def begin() -> None:
    """Record from now on, if the environment asks for it."""
    if FILE is None:
        return
    from daf_orm.detection import recorders  # noqa: PLC0415 - only where DAF is in play

    own, replace = _Recorder(), recorders.set_recorders
    recorders.add_recorder(own)
    # The pytest plugin has its own recorder replace all others.
    recorders.set_recorders = lambda given: replace(given if own in given else [own, *given])
    atexit.register(lambda: Path(FILE).write_text(json.dumps(_calls)))
