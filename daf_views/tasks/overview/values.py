"""The data of the overview. Arguments of tasks, which may be secret, and messages of errors are left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

STATES = ("ready", "delayed", "running", "retrying", "failed", "successful")
"""Each task is in one: due or not yet, before its first attempt; running; between two attempts; at its end."""
SHOWN = ("running", "retrying", "failed", "ready")
"""States of which up to ``LIMIT`` tasks are shown."""
LIMIT = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLine:
    """A task that was enqueued."""

    id: str
    task: str
    """Module path of its function."""
    queue_name: str
    priority: int
    attempts: int
    enqueued_at: datetime | None
    run_after: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    error: str
    """Class of the last error, with its module; empty if there is none."""
    worker_id: str
    """The worker that makes, or made, the last attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLine:
    """A process that runs tasks of the database."""

    id: str
    queue_names: str
    concurrency: int
    started_at: datetime
    expires_at: datetime
    """The time from which it is considered lost, unless it sends a heartbeat before."""
    is_lost: bool
    """True if that time has come, by the database's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendOverview:
    """The tasks of one alias in ``TASKS``."""

    alias: str
    backend: str
    """Module path of its class."""
    scope: str
    """The tasks that are counted, in words."""
    queues: dict[str, dict[str, int]] = field(default_factory=dict)
    """The numbers of tasks, by queue and state."""
    tasks: dict[str, list[TaskLine]] = field(default_factory=dict)
    """By state: some of ``SHOWN``."""
    workers: list[WorkerLine] = field(default_factory=list)

    @property
    def states(self) -> tuple[str, ...]:
        """The columns of the table."""
        return STATES

    @property
    def rows(self) -> list[tuple[str, list[int]]]:
        """The counts as a table: its columns are ``STATES``."""
        return [(name, [counts[state] for state in STATES]) for name, counts in sorted(self.queues.items())]


def no_tasks() -> dict[str, int]:
    """Return the counts of an empty queue."""
    return dict.fromkeys(STATES, 0)
