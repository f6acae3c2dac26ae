"""Any order of enqueuing, succeeding, failing and stopping: nothing lost, nothing run more often than it may."""

import asyncio
import logging

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from daf_views.asgi import current_drain
from daf_views.exceptions import TaskTimeoutError
from daf_views.tasks.compat import TaskResultStatus, task_backends
from daf_views.tasks.in_process import backend as tasks_backend
from daf_views.tasks.notifier import flush
from tests.views.tasks import jobs

CONCURRENCY = 2
POLICIES = {"once": jobs.scripted_once, "twice": jobs.scripted_twice, "thrice": jobs.scripted_thrice}


class Named(logging.Handler):
    """The ids of tasks that the log says are lost."""

    def __init__(self):
        super().__init__()
        self.ids = set()

    def emit(self, record):
        if "The server stops" in record.getMessage():
            self.ids.add(record.getMessage().rpartition("id ")[2].rstrip("."))


class TasksMachine(RuleBasedStateMachine):
    tasks = Bundle("tasks")

    def __init__(self):
        super().__init__()
        tasks_backend._forget(setting="TASKS")
        jobs.attempts.clear()
        jobs.under_way.clear()
        self.runner = asyncio.Runner()
        self.results, self.expected, self.ends = {}, {}, {}
        self.named = Named()
        logging.getLogger("daf_views").addHandler(self.named)

    def turn(self, coroutine=None):
        """Let the event loop go on, as far as it comes without help."""

        async def turn():
            value = await coroutine if coroutine is not None else None
            for _ in range(3):
                await asyncio.sleep(0)
            if any(attempts for attempts in self.expected.values()):
                await asyncio.sleep(0.002)  # threads log
            return value

        return self.runner.run(turn())

    @rule(target=tasks, policy=st.sampled_from(sorted(POLICIES)))
    def enqueue(self, policy):
        key = f"{policy}-{len(self.results)}"
        self.expected[key] = 0
        self.results[key] = self.turn(POLICIES[policy].aenqueue(key))
        return key

    @rule(key=tasks, value=st.integers())
    def succeed(self, key, value):
        if key in jobs.under_way:
            self.ends[key] = value
            self.end(key, lambda future: future.set_result(value))

    @rule(key=tasks, error=st.sampled_from([LookupError("no"), TaskTimeoutError("late"), asyncio.CancelledError()]))
    def fail(self, key, error):
        if key in jobs.under_way:
            last = 1 + self.task(key).policy.retries == jobs.attempts[key]
            if last:
                self.ends[key] = type(error)
            if isinstance(error, asyncio.CancelledError):
                self.end(key, lambda future: future.cancel())
            else:
                self.end(key, lambda future: future.set_exception(error))

    def end(self, key, how):
        async def end():
            how(jobs.under_way[key])

        self.turn(end())

    def task(self, key):
        return self.results[key].task

    @invariant()
    def no_task_is_tried_more_often_than_it_may(self):
        for key, attempts in jobs.attempts.items():
            assert attempts <= self.task(key).policy.retries + 1

    @invariant()
    def no_more_run_at_a_time_than_may(self):
        assert len(jobs.under_way) <= CONCURRENCY

    def teardown(self):
        self.runner.run(self.settle())
        for key, result in self.results.items():
            self.has_its_end(key, result)
        self.runner.close()
        logging.getLogger("daf_views").removeHandler(self.named)

    async def settle(self):
        await asyncio.sleep(0.01)
        await current_drain().settle(0.01)
        await asyncio.to_thread(flush)

    def has_its_end(self, key, result):
        if key not in self.ends:
            assert result.id in self.named.ids
            assert not isinstance(result._return_value, int)
            return
        assert result.id not in self.named.ids
        if isinstance(self.ends[key], int):
            assert result.return_value == self.ends[key]
        else:
            assert result.status == TaskResultStatus.FAILED
            assert result.errors[-1].exception_class is self.ends[key]
        assert result.attempts == len(result.errors) + isinstance(self.ends[key], int)
        assert task_backends["default"].get_result(result.id) is result


def test_nothing_is_lost_and_nothing_runs_too_often(options):
    options(CONCURRENCY=CONCURRENCY)
    run_state_machine_as_test(
        TasksMachine,
        settings=settings(
            max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
