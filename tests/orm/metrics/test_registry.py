"""The registry: counters from many threads, bounded labels, forks, and the figures that others keep."""

import asyncio
import gc
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from daf_orm.metrics import Computed, Counter, Family, Metric, Reading, Underway, collect, follow, register
from daf_orm.metrics.registry import LABEL_LENGTH, OTHER

pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory]


def series_of(name):
    (found,) = (reading.series for reading in collect() if reading.metric.name == name)
    return found


def test_a_counter_begins_at_0_and_counts():
    calls = Counter("calls_total", "Calls.", unit="calls")
    assert series_of("calls_total") == {(): 0}
    calls.add()
    calls.add(amount=2.5)
    assert series_of("calls_total") == {(): 3.5}


def test_labels_are_counted_separately():
    calls = Counter("calls_total", "Calls.", unit="calls", labels=("view", "outcome"))
    assert series_of("calls_total") == {}
    for values in [("a", "ok"), ("a", "bad"), ("a", "ok")]:
        calls.add(*values)
    assert series_of("calls_total") == {("a", "ok"): 2, ("a", "bad"): 1}


def test_a_missing_label_is_an_error():
    with pytest.raises(ValueError, match=r"calls_total has the labels \('view',\), not 0 of them"):
        Counter("calls_total", "Calls.", unit="calls", labels=("view",)).add()


def test_labels_are_bounded_in_number_and_length():
    calls = Counter("calls_total", "Calls.", unit="calls", labels=("view", "outcome"), max_series=3)
    for number in range(1000):
        calls.add(f"view {number}", "ok")
        calls.add("x" * 10_000 + str(number), "bad")
    found = series_of("calls_total")
    assert len(found) == 4  # three series, the long ones in one of them, and that of all others
    assert sum(found.values()) == 2000
    assert found[OTHER, "ok"] == 998
    assert max(len(value) for key in found for value in key) == LABEL_LENGTH


def test_threads_lose_no_count():
    calls = Counter("calls_total", "Calls.", unit="calls", labels=("thread",))
    start = threading.Barrier(8)

    def count(number):
        start.wait()
        for _ in range(5000):
            calls.add(str(number % 2))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(8)))
    assert series_of("calls_total") == {("0",): 20_000, ("1",): 20_000}


def test_a_finalizer_may_count_while_its_thread_does():
    calls = Counter("calls_total", "Calls.", unit="calls", labels=("kind",))

    class CountsAtItsEnd(str):
        __slots__ = ()

        def __hash__(self):  # called under the lock
            calls.add("within")
            return hash(str(self))

        def __eq__(self, other):
            return str(self) == str(other)

    calls.add(CountsAtItsEnd("around"))
    assert series_of("calls_total")["around",] == 1


def test_a_name_is_registered_once():
    Counter("calls_total", "Calls.", unit="calls")
    with pytest.raises(ValueError, match="calls_total: registered already"):
        Counter("calls_total", "Calls.", unit="calls")


def test_figures_of_others_are_read_when_they_are_collected():
    figures = {"now": 1}
    Computed("now", "Now.", kind="gauge", unit="things", read=lambda: figures["now"])
    figures["now"] = 7
    assert series_of("now") == {(): 7}
    Computed("by_kind", "Now.", kind="gauge", unit="things", labels=("kind",), read=lambda: {("a",): 1.5})
    assert series_of("by_kind") == {("a",): 1.5}


def test_a_family_is_read_once():
    reads = []
    metrics = [Metric(name=name, kind="gauge", unit="things", help="Things.") for name in ("one", "two", "unused")]

    def read():
        reads.append(1)
        return [Reading(metrics[1], {(): 2}), Reading(metrics[0], {(): 1})]

    register(Family(metrics, read))
    assert [(reading.metric.name, dict(reading.series)) for reading in collect()] == [
        ("one", {(): 1}),
        ("two", {(): 2}),
        ("unused", {}),
    ]
    assert len(reads) == 1


def test_a_follower_gets_earlier_and_later_metrics():
    Counter("first_total", "Calls.", unit="calls")
    followed = []
    follow(lambda family: followed.extend(metric.name for metric in family.metrics))
    Counter("second_total", "Calls.", unit="calls")
    assert followed == ["first_total", "second_total"]


async def test_a_block_is_under_way_until_it_ends_or_is_dropped():
    tasks = Underway("tasks", "Tasks.", unit="tasks", labels=("task",))
    go_on = asyncio.Event()

    async def work(name):
        with tasks.during(name):
            await go_on.wait()

    running = [asyncio.create_task(work(name)) for name in ("a", "a", "b")]
    dropped = work("b")
    dropped.send(None)
    await asyncio.sleep(0)
    assert series_of("tasks") == {("a",): 2, ("b",): 2}
    del dropped
    gc.collect()
    go_on.set()
    await asyncio.gather(*running)
    assert series_of("tasks") == {("a",): 0, ("b",): 0}


def test_the_labels_of_blocks_are_bounded():
    tasks = Underway("tasks", "Tasks.", unit="tasks", labels=("task",))
    for number in range(1000):
        with tasks.during(str(number)):
            pass
    with tasks.during("one more"):
        found = series_of("tasks")
    assert len(found) == 201
    assert found[OTHER,] == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # multi-threaded, use of fork()
def test_a_child_counts_from_0_even_if_the_lock_was_held():
    calls = Counter("calls_total", "Calls.", unit="calls")
    tasks = Underway("tasks", "Tasks.", unit="tasks")
    calls.add()
    held, go_on = threading.Event(), threading.Event()

    def hold():
        from daf_orm.metrics.registry import _lock  # noqa: PLC0415 - the present one

        with _lock:
            held.set()
            go_on.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    with tasks.during():
        if (child := os.fork()) == 0:
            calls.add()
            os._exit(0 if (series_of("calls_total"), series_of("tasks")) == ({(): 1}, {(): 0}) else 1)
        _, status = os.waitpid(child, 0)
    go_on.set()
    holder.join()
    assert status == 0
    assert series_of("calls_total") == {(): 1}
