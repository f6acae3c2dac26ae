"""Run the benchmarks named on the command line, or all of them."""

from __future__ import annotations

import argparse

from benchmarks import (
    api,
    async_tests,
    counted,
    detection_recall,
    exhaustion,
    guard_overhead,
    handler,
    hops,
    latency,
    memory,
    native,
    overhead,
    sessions,
    sqlite_writers,
    synchronous,
    task_queue,
    tasks,
    throttling,
    waiting,
    workers,
)
from benchmarks.environment import describe

BENCHMARKS = {
    "overhead": overhead.run,
    "native": native.run,
    "counted": counted.run,
    "latency": latency.run,
    "hops": hops.run,
    "memory": memory.run,
    "waiting": waiting.run,
    "exhaustion": exhaustion.run,
    "sessions": sessions.run,
    "sqlite_writers": sqlite_writers.run,
    "synchronous": synchronous.run,
    "detection_recall": detection_recall.run,
    "guard_overhead": guard_overhead.run,
    "async_tests": async_tests.run,
    "handler": handler.run,
    "throttling": throttling.run,
    "tasks": tasks.run,
    "api": api.run,
    "workers": workers.run,
    "task_queue": task_queue.run,
}


def main() -> None:
    """Print the environment, then each benchmark's assumptions and tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that it runs, not how fast")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHMARKS):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    print(describe())
    for name in arguments.names or BENCHMARKS:
        print(f"\n## {name}\n", flush=True)
        BENCHMARKS[name](quick=arguments.quick)


if __name__ == "__main__":
    main()
