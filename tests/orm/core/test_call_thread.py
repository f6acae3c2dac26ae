"""The thread of a lease's calls: in order, until it is shut down, collected, or the process ends."""

import gc
import logging
import os
import subprocess
import sys
import threading
import weakref
from concurrent.futures import Future, wait

import pytest

from daf_orm._core.call_thread import CallThread
from daf_orm._core.places import Places

pytestmark = pytest.mark.no_database
PATIENCE = 30


@pytest.fixture
def thread() -> CallThread:
    return CallThread(Places())


def test_functions_run_in_order_on_one_thread(thread: CallThread) -> None:
    seen: list[tuple[int, int]] = []
    futures = [thread.submit(lambda n=n: seen.append((n, threading.get_ident()))) for n in range(50)]
    wait(futures, PATIENCE)

    assert [number for number, _ in seen] == [*range(50)]
    assert len({ident for _, ident in seen}) == 1
    assert seen[0][1] != threading.get_ident()


def test_the_future_has_the_result_or_the_error(thread: CallThread) -> None:
    def fail() -> None:
        raise SystemExit(3)

    assert thread.submit(divmod, 7, 2).result(PATIENCE) == (3, 1)
    assert isinstance(thread.submit(fail).exception(PATIENCE), SystemExit)
    assert thread.submit(int, "5", base=8).result(PATIENCE) == 5


def test_a_cancelled_function_is_not_run(thread: CallThread) -> None:
    go_on, seen = threading.Event(), []
    thread.submit(go_on.wait, PATIENCE)
    cancelled: Future[None] = thread.submit(seen.append, 1)
    assert cancelled.cancel()
    go_on.set()
    thread.submit(list).result(PATIENCE)

    assert seen == []


def test_an_error_of_a_call_does_not_end_the_thread(thread: CallThread, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    with caplog.at_level(logging.CRITICAL, "daf_orm"):
        thread.run(fail)
        assert thread.submit(str).result(PATIENCE) == ""
    assert "not for its task" in caplog.text


def test_shutdown_runs_what_there_is_and_takes_no_more(thread: CallThread) -> None:
    go_on, seen = threading.Event(), []
    thread.submit(go_on.wait, PATIENCE)
    last = thread.submit(seen.append, 1)
    thread.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="takes no calls"):
        thread.submit(list)
    go_on.set()
    thread.shutdown()

    assert last.done()
    assert seen == [1]
    thread.shutdown()


def test_a_thread_that_never_began_is_shut_down(thread: CallThread) -> None:
    thread.shutdown()
    with pytest.raises(RuntimeError, match="takes no calls"):
        thread.run(list)


def test_a_thread_that_could_not_start_is_started_by_the_next_call(
    thread: CallThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            thread.submit(list)

    assert thread.submit(list).result(5) == []
    thread.shutdown()


def test_no_call_is_lost_to_a_shutdown(thread: CallThread) -> None:
    """Each call is run or refused, whatever is first."""
    for _ in range(200):
        executor, began = CallThread(Places()), threading.Barrier(2)
        executor.submit(list).result(PATIENCE)
        ran = threading.Event()

        def end(executor: CallThread = executor, began: threading.Barrier = began) -> None:
            began.wait(PATIENCE)
            executor.shutdown(wait=False)

        ender = threading.Thread(target=end)
        ender.start()
        began.wait(PATIENCE)
        try:
            executor.run(ran.set)
        except RuntimeError:
            ran.set()
        ender.join(PATIENCE)
        assert ran.wait(PATIENCE)


def test_the_thread_ends_with_the_last_reference() -> None:
    executor = CallThread(Places())
    thread = executor.submit(threading.current_thread).result(PATIENCE)
    gone = weakref.ref(executor)
    del executor
    gc.collect()

    assert gone() is None
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_call_may_shut_its_own_thread_down(thread: CallThread) -> None:
    thread.submit(thread.shutdown).result(PATIENCE)


ENDING = """
import threading
from daf_orm._core.call_thread import CallThread
from daf_orm._core.places import Places

began, main = threading.Event(), threading.main_thread()
thread = CallThread(Places())

def work():
    began.set()
    main.join()  # until the main thread has ended
    print("committed", flush=True)

thread.submit(work)
began.wait()
print("main ends", flush=True)
"""


def test_the_process_waits_for_a_running_call() -> None:
    ended = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=PATIENCE, check=True)

    assert ended.stdout.split("\n") == ["main ends", "committed", ""]


FORKED = """
import os
from daf_orm._core.call_thread import CallThread
from daf_orm._core.places import Places

thread = CallThread(Places())
thread.submit(list).result()
thread._lock.acquire()  # as another thread may, at the moment of the fork
child = os.fork()
if child:
    thread._lock.release()
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_waits_for_no_thread_of_its_parent() -> None:
    ended = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=PATIENCE, check=True)

    assert ended.stdout == "0\n"
