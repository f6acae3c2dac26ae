"""The cost of work after a response: DAF's tasks in the process beside Starlette, taskiq and Django's own backend.

All run in one process, which takes turns: a round is one turn of each, in an order drawn anew, and a ratio compares two
turns of the same round. A turn gives a thousand tasks that do nothing, and waits until the last has begun. *start* is
the time from giving one task to an idle process until it begins.
"""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.processes import ROOT
from benchmarks.tables import microseconds, print_table, ratio, spread

NOTES = {
    "DAF, run_in_background": "a coroutine, kept, logged and waited for at the end",
    "DAF, InProcessBackend": "a task with a result, signals, retries, and an account of it until it has ended",
    "Starlette BackgroundTasks": "coroutines that are awaited one after the other when the response has been sent",
    "taskiq InMemoryBroker": "a task with a result, without retries",
    "Django ImmediateBackend": "no later at all: it runs where it is enqueued, in a thread",
}


def run(*, quick: bool) -> None:
    """Measure, and print a table."""
    rounds, tasks = (4, 200) if quick else (40, 1000)
    for name, note in NOTES.items():
        print(f"- *{name}*: {note}.")
    print(f"\n{rounds} rounds of {tasks} tasks.\n")
    command = [sys.executable, "-m", "benchmarks.tasks_worker", str(rounds), str(tasks)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    measured = json.loads(done.stdout)
    ours = measured["DAF, InProcessBackend"]
    rows = [
        (
            name,
            f"{1 / spread(samples['wall'])[1]:,.0f}",
            ratio(samples["wall"], ours["wall"]),
            microseconds(samples["cpu"]),
            ratio(samples["cpu"], ours["cpu"]),
            microseconds(samples["start"]),
            ratio(samples["start"], ours["start"]),
        )
        for name, samples in measured.items()
    ]
    print_table(("", "tasks/s", "wall x DAF", "CPU, µs", "CPU x DAF", "start, µs", "start x DAF"), rows)
