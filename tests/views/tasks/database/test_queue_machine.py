"""Workers that take, end, give back and die, tasks that are cancelled: each has one worker, and none is lost."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_tasks_db.models import DBTaskResult
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from daf_views.tasks.compat import TaskResultStatus
from daf_views.tasks.database.models import Worker
from daf_views.tasks.database.queue import LOST, Queues, TaskQueue
from tests.views.tasks import jobs

POLICIES = {"once": jobs.scripted_once, "thrice": jobs.scripted_thrice}
READY, RUNNING = TaskResultStatus.READY, TaskResultStatus.RUNNING
ENDED = {TaskResultStatus.SUCCESSFUL, TaskResultStatus.FAILED}


class LedgerMachine(RuleBasedStateMachine):
    workers = Bundle("workers")
    claims = Bundle("claims")
    enqueued = Bundle("enqueued")

    def __init__(self):
        super().__init__()
        DBTaskResult.objects.all().delete()
        Worker.objects.all().delete()
        self.expected = {}
        """By task: status, and the claim that it runs by."""
        self.begun = {}
        self.tasks = {}
        self.asked = set()
        """To be cancelled, by request."""
        self.by_key = {}
        """By unique key: the task that was enqueued last."""
        self.dead = set()

    @rule(target=enqueued, policy=st.sampled_from(sorted(POLICIES)))
    def enqueue(self, policy):
        return self.note(POLICIES[policy].using(backend="database").enqueue(policy))

    @rule(target=enqueued, key=st.sampled_from("ab"))
    def enqueue_unique(self, key):
        result = jobs.unique_by_what.enqueue(key, number=len(self.expected))
        last = self.by_key.get(key)
        if last is not None and self.expected[last][0] not in ENDED:
            assert result.id == last
            return last
        assert result.id not in self.expected
        self.by_key[key] = result.id
        return self.note(result)

    def note(self, result):
        self.expected[result.id] = (READY, None)
        self.begun[result.id] = 0
        self.tasks[result.id] = result.task
        return result.id

    @rule(key=enqueued)
    def cancel(self, key):
        status = self.expected[key][0]
        assert self.tasks[key].cancel(key) == (status not in ENDED)
        if status == READY:
            self.expected[key] = (TaskResultStatus.FAILED, None)
        elif status == RUNNING:
            self.asked.add(key)

    @rule(target=workers)
    def start(self):
        queue = TaskQueue(Queues(backend="database", names=None), concurrency=5, lease=1000)
        queue.register()
        return queue

    @rule(target=claims, worker=workers, count=st.integers(1, 3))
    def take(self, worker, count):
        ready = sum(status == READY for status, _ in self.expected.values())
        taken = worker.take(count).claims
        if worker not in self.dead:
            assert len(taken) <= min(count, ready)
            if not (self.has_suspects() or self.asked):
                assert len(taken) == min(count, ready)
        elif ready and Worker.objects.filter(pk=worker.worker_id).exists():
            self.dead.discard(worker)  # taking is a heartbeat, too
        else:
            assert not taken
        for claim in taken:
            key = str(claim.row.pk)
            assert self.expected[key] == (READY, None)
            assert key not in self.asked
            self.expected[key] = (RUNNING, claim)
            self.begun[key] += 1
        for row in DBTaskResult.objects.filter(status=TaskResultStatus.FAILED, pk__in=self.asked):
            if self.expected[str(row.pk)] == (READY, None):  # taken, and found to be cancelled
                assert row.exception_class_path == "daf_views.exceptions.TaskCancelledError"
                self.expected[str(row.pk)] = (TaskResultStatus.FAILED, None)
                self.begun[str(row.pk)] += 1
        return multiple(*taken)

    def has_suspects(self):
        """One more loss is their failure: a worker takes one of them at a time, and puts the others off."""
        limits = {key: task.policy.retries + LOST for key, task in self.tasks.items()}
        return any(begun >= limits[key] for key, begun in self.begun.items())

    @rule(claim=claims)
    def succeed(self, claim):
        self.write(claim, TaskResultStatus.SUCCESSFUL, lambda queue, row: queue.succeed(row, "value"))

    @rule(claim=claims)
    def fail(self, claim):
        if len(claim.result.worker_ids) > claim.result.task.policy.retries:
            self.write(claim, TaskResultStatus.FAILED, lambda queue, row: queue.fail(row, LookupError()))
        else:
            self.write(claim, READY, lambda queue, row: queue.try_again(row, LookupError(), 0))

    @rule(claim=claims)
    def give_back(self, claim):
        if self.write(claim, READY, lambda queue, row: queue.give_back(row)):
            self.begun[str(claim.row.pk)] -= 1

    def write(self, claim, status, write):
        key = str(claim.row.pk)
        is_its_own = self.expected[key] == (RUNNING, claim)
        queue = TaskQueue(Queues(backend="database"), concurrency=1, lease=1)
        assert write(queue, claim.row) == is_its_own
        if is_its_own:
            self.expected[key] = (status, None)
        return is_its_own

    @rule(worker=workers)
    def die(self, worker):
        self.dead.add(worker)
        Worker.objects.filter(pk=worker.worker_id).update(expires_at=timezone.now() - timedelta(days=1))

    @rule(worker=workers)
    def beat(self, worker):
        if worker.beat():  # before another worker has noticed
            self.dead.discard(worker)
        else:
            assert worker in self.dead

    @rule()
    def recover(self):
        TaskQueue(Queues(backend="database"), concurrency=1, lease=1).recover()
        dead = {worker.worker_id for worker in self.dead}
        for key, (status, claim) in self.expected.items():
            if status == RUNNING and claim.worker_id in dead:
                may_go_on = key not in self.asked and self.begun[key] <= claim.result.task.policy.retries + LOST
                self.expected[key] = (READY if may_go_on else TaskResultStatus.FAILED, None)

    @invariant()
    def the_database_says_so(self):
        rows = {str(row.pk): row for row in DBTaskResult.objects.all()}
        assert {key: row.status for key, row in rows.items()} == {key: each[0] for key, each in self.expected.items()}
        for key, row in rows.items():
            assert len(row.worker_ids) == self.begun[key] <= row.task.policy.retries + LOST + 1


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@pytest.mark.timeout(400)
def test_each_task_has_one_worker_and_none_is_lost():
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=45, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
