"""The page of tasks: its access, and its content."""

import asyncio
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.test import AsyncRequestFactory
from django.urls import path
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from daf_views.asgi import current_drain
from daf_views.tasks.compat import TaskResultStatus
from daf_views.tasks.database.models import Worker
from daf_views.tasks.in_process import backend as tasks_backend
from daf_views.tasks.overview import tasks_overview
from daf_views.tasks.overview.values import LIMIT, STATES
from tests.views.tasks import jobs

urlpatterns = [path("tasks/", tasks_overview)]
HTML = {"Accept": "text/html"}
pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "other"]), pytest.mark.urls(__name__)]


@pytest.fixture(autouse=True)
async def fresh(settings):
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ]
    jobs.reset()
    tasks_backend._forget(setting="TASKS")
    yield
    jobs.go_on.set()
    await current_drain().settle(5)


@pytest.fixture
async def staff(async_client):
    await async_client.aforce_login(await User.objects.acreate(username="ada", is_staff=True))
    return async_client


async def overviews(client):
    response = await client.get("/tasks/")
    assert response["Content-Type"] == "application/json"
    return {each["alias"]: each for each in response.json()["backends"]}


def counts(**states):
    return {**dict.fromkeys(STATES, 0), **states}


async def test_a_visitor_is_sent_to_log_in(async_client):
    response = await async_client.get("/tasks/", headers=HTML)
    assert (response.status_code, response["Location"]) == (302, "/accounts/login/?next=/tasks/")


@pytest.mark.parametrize("query", ["", "?format=json"])
async def test_a_program_that_has_not_logged_in_gets_a_problem(async_client, query):
    response = await async_client.get("/tasks/" + query, headers=HTML if query else {})
    assert response.status_code == 401


@pytest.mark.parametrize("user", [{"is_staff": False}, {"is_staff": True, "is_active": False}])
async def test_a_user_without_staff_status_sees_nothing(async_client, user):
    await async_client.aforce_login(await User.objects.acreate(username="eve", **user))
    response = await async_client.get("/tasks/")
    assert response.status_code in {401, 403}
    assert b"backends" not in response.content


async def test_without_users_it_says_what_is_missing():
    with pytest.raises(ImproperlyConfigured, match=r"AuthenticationMiddleware.*MIDDLEWARE"):
        await tasks_overview(AsyncRequestFactory().get("/tasks/"))


async def test_tasks_in_memory_are_counted_by_state_and_listed(staff):
    await jobs.wait.aenqueue("runs")
    await jobs.started.get()
    await jobs.note.using(queue_name="mail", run_after=timezone.now() + timedelta(hours=1)).aenqueue("later")
    await jobs.fail_with_a_long_pause.aenqueue()
    ended = [await jobs.note.aenqueue("hello"), await jobs.fail.aenqueue("secret")]
    async with asyncio.timeout(10):
        while not all(result.is_finished for result in ended):
            await asyncio.sleep(0.01)
    default = (await overviews(staff))["default"]
    assert default["queues"] == {
        "default": counts(running=1, retrying=1, failed=1, successful=1),
        "mail": counts(delayed=1),
    }
    [failed] = default["tasks"]["failed"]
    assert (failed["task"], failed["error"]) == ("tests.views.tasks.jobs.fail", "builtins.LookupError")
    [running] = default["tasks"]["running"]
    assert (running["task"], running["attempts"]) == ("tests.views.tasks.jobs.wait", 1)
    assert default["tasks"]["retrying"][0]["task"] == "tests.views.tasks.jobs.fail_with_a_long_pause"


async def test_tasks_in_the_database_are_counted_by_state_and_listed(staff):
    task = jobs.note.using(backend="database")
    await task.aenqueue("due")
    await task.using(run_after=timezone.now() + timedelta(hours=1)).aenqueue("later")
    for status, worker_ids in (
        (TaskResultStatus.RUNNING, ["one", "two"]),
        (TaskResultStatus.READY, ["one"]),
        (TaskResultStatus.FAILED, ["one"]),
        (TaskResultStatus.SUCCESSFUL, ["one"]),
    ):
        result = await task.using(queue_name="mail").aenqueue("secret")
        await DBTaskResult.objects.filter(pk=result.id).aupdate(status=status, worker_ids=worker_ids)
    database = (await overviews(staff))["database"]
    assert database["queues"] == {
        "default": counts(ready=1, delayed=1),
        "mail": counts(running=1, retrying=1, failed=1, successful=1),
    }
    [running] = database["tasks"]["running"]
    assert (running["attempts"], running["worker_id"]) == (2, "two")
    assert len(database["tasks"]["ready"]) == 1


async def test_workers_are_listed(staff):
    now = timezone.now()
    row = {"queue_names": "*", "concurrency": 5, "started_at": now}
    await Worker.objects.acreate(pk="here", backend_name="database", expires_at=now + timedelta(hours=1), **row)
    await Worker.objects.acreate(pk="gone", backend_name="database", expires_at=now - timedelta(hours=1), **row)
    assert [each["id"] for each in (await overviews(staff))["database"]["workers"]] == ["gone", "here"]
    page = (await staff.get("/tasks/", headers=HTML)).content.decode()
    assert page.count(", lost") == 1


async def test_the_page_shows_no_arguments_and_escapes_what_it_shows(staff):
    await jobs.fail.using(queue_name="<b>").aenqueue("secret")
    await jobs.note.using(backend="database", queue_name="<i>").aenqueue("secret")
    response = await staff.get("/tasks/", headers=HTML)
    page = response.content.decode()
    assert "tests.views.tasks.jobs.fail" in page
    assert "&lt;b&gt;" in page and "&lt;i&gt;" in page  # noqa: PT018 - both escape
    assert "secret" not in page and "<b>" not in page and "<i>" not in page  # noqa: PT018
    assert "no-store" in response["Cache-Control"]


async def test_of_many_tasks_some_are_listed(staff):
    for number in range(LIMIT + 5):
        await jobs.note.using(backend="database").aenqueue(number)
    database = (await overviews(staff))["database"]
    assert database["queues"]["default"]["ready"] == LIMIT + 5
    assert len(database["tasks"]["ready"]) == LIMIT


async def test_a_backend_of_another_kind_is_named(staff, settings):
    celery = {"BACKEND": "daf_views.tasks.celery.CeleryBackend", "OPTIONS": {"APP": "tests.views.tasks.killed.app"}}
    settings.TASKS = {"default": celery}
    [overview] = (await overviews(staff)).values()
    assert overview["scope"].startswith("unknown here")
