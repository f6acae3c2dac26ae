"""Workers that look at a schedule, die or get no answer, and clocks that jump: each tick is fired once."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError
from django_tasks_db.models import DBTaskResult
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from daf_views.tasks import every
from daf_views.tasks.database import periodic
from daf_views.tasks.database.models import PeriodicTask
from daf_views.tasks.database.periodic import PeriodicTasks
from tests.views.tasks import jobs

SCHEDULES = [every(minutes=1), every(minutes=7), every(days=1)]


class TickMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        DBTaskResult.objects.all().delete()
        PeriodicTask.objects.all().delete()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(periodic, "_now", lambda _: self.now)
        self.workers = [PeriodicTasks("database") for _ in range(3)]
        self.now = datetime.now(UTC)
        self.fired = 0

    def teardown(self):
        self.patch.undo()

    @initialize(schedule=st.sampled_from(SCHEDULES))
    def declare(self, schedule):
        task = dataclasses.replace(jobs.tick, schedule=schedule, backend="database")
        self.patch.setattr(periodic, "periodic_tasks", {"tick": task})
        self.schedule = schedule
        self.workers[0].fire()
        self.due = PeriodicTask.objects.get().due_at

    @rule(seconds=st.integers(-100_000, 300_000))
    def set_the_clock(self, seconds):
        self.now += timedelta(seconds=seconds)

    @rule()
    def wait_for_the_tick(self):
        self.now = max(self.now, self.due)

    @rule(number=st.integers(0, 2))
    def look(self, number):
        is_due = self.due <= self.now
        fired = self.workers[number].fire()
        assert fired.enqueued == is_due
        if is_due:
            self.has_fired()
        assert 0 < fired.pause <= periodic.MAX_PAUSE

    @rule(number=st.integers(0, 2))
    def die_before_the_commit(self, number):
        def die(self, **values):
            create(self, **values)
            raise OperationalError

        create = type(DBTaskResult.objects).create
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(DBTaskResult.objects), "create", die)
            if self.due <= self.now:
                with pytest.raises(OperationalError):
                    self.workers[number].fire()
            else:
                self.workers[number].fire()

    @rule(number=st.integers(0, 2))
    def get_no_answer(self, number):
        def fire(*arguments):
            original(*arguments)
            raise OperationalError

        original = PeriodicTasks._fire
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PeriodicTasks, "_fire", fire)
            if self.due <= self.now:
                with pytest.raises(OperationalError):
                    self.workers[number].fire()
                self.has_fired()
            else:
                self.workers[number].fire()

    def has_fired(self):
        self.fired += 1
        due, self.due = self.due, PeriodicTask.objects.get().due_at
        assert due <= self.now < self.due <= self.now + self.schedule.length

    @invariant()
    def the_database_says_so(self):
        assert DBTaskResult.objects.count() == self.fired


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@pytest.mark.timeout(180)
def test_each_tick_is_fired_once():
    run_state_machine_as_test(
        TickMachine,
        settings=settings(
            max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
