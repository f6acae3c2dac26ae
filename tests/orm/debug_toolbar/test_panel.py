"""The panel of django-debug-toolbar, under requests of both handlers, several at once."""

import asyncio
import re
from types import SimpleNamespace

import pytest
from django.core import asgi as django_asgi
from django.db import connection
from django.test import Client

from daf_orm.debug_toolbar.panel import DAFPanel
from daf_orm.debug_toolbar.record import MAX_CALLS, RequestRecord
from daf_orm.detection import recorders
from daf_views import asgi as daf_asgi
from tests.orm.debug_toolbar import views
from tests.orm.debug_toolbar.views import STATEMENTS
from tests.support.exchange import exchange


async def show(request):
    """Show the toolbar to all. A function that is not async would be called in a hop, which may wait for a lease."""
    return True


HANDLERS = {"Django's": django_asgi, "DAF's": daf_asgi}
TOOLBAR = {
    "DEBUG": True,
    "DEBUG_TOOLBAR_CONFIG": {
        "SHOW_TOOLBAR_CALLBACK": show,
        "RESULTS_CACHE_SIZE": 1000,
        "IS_RUNNING_TESTS": False,
    },
    "DEBUG_TOOLBAR_PANELS": ["debug_toolbar.panels.history.HistoryPanel", "daf_orm.debug_toolbar.DAFPanel"],
    "MIDDLEWARE": ["debug_toolbar.middleware.DebugToolbarMiddleware"],
    "ROOT_URLCONF": "tests.orm.debug_toolbar.urls",
    "TEMPLATES": [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
}


@pytest.fixture
def ask(settings):
    """Send a request to a handler with the toolbar; return what the panel has of it."""
    views.reset()
    before = recorders.set_recorders([])  # that of the test would fail it for its blocking calls
    # One after the other: the application reads STATIC_URL, and a change of the panels imports its models.
    settings.STATIC_URL = "/static/"
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django.contrib.staticfiles", "debug_toolbar"]
    for name, value in TOOLBAR.items():
        setattr(settings, name, value)
    from debug_toolbar.store import get_store  # noqa: PLC0415 - it has a model

    Client().get("/warm")  # the toolbar loads its templates where they are first rendered: not on the event loop
    applications = {name: module.get_asgi_application() for name, module in HANDLERS.items()}

    async def send(path, name="", handler="DAF's"):
        answer = await exchange(applications[handler], path=path, query=f"name={name}".encode() if name else b"")
        assert answer.status == 200, answer.body
        # The answer names the request: the toolbar is part of it.
        (request_id,) = set(re.findall(rb'data-request-id="(\w+)"', answer.body))
        return get_store().panel(request_id.decode(), "DAFPanel")

    yield send
    recorders.set_recorders(before)


def page_of(stats):
    """Return the panel's page as the toolbar makes it of stored figures."""
    panel = DAFPanel(SimpleNamespace(stats={"DAFPanel": stats}), None)
    return panel.nav_subtitle, panel.content


@pytest.mark.parametrize("handler", HANDLERS)
async def test_hops_and_leases_are_those_of_the_request(ask, handler):
    views.go_on.set()
    seen = await ask("/load/3", handler=handler)
    assert [seen["leases"]] == views.lent == [6]
    needs_hops = not getattr(connection, "runs_on_event_loop", False)
    assert dict(seen["hops_by_name"]).get("QuerySet.count", 0) == (6 if needs_hops else 0)
    assert seen["hops"] == sum(count for _, count in seen["hops_by_name"])
    assert (seen["is_pinned"], seen["blocking_calls"]) == (False, [])


@pytest.mark.parametrize("handler", HANDLERS)
async def test_each_of_many_requests_has_only_what_is_its_own(ask, handler):
    loads = [asyncio.create_task(ask(f"/load/{number}", f"load{number}", handler)) for number in range(1, 6)]
    blocks = [asyncio.create_task(ask(f"/block/{number}", f"block{number}", handler)) for number in range(1, 6)]
    while len(views.arrived) < 10:
        await asyncio.sleep(0)
    views.go_on.set()
    loaded, blocked = await asyncio.gather(*loads), await asyncio.gather(*blocks)
    assert [seen["leases"] for seen in loaded] == [2, 4, 6, 8, 10]
    assert [seen["blocking_call_count"] for seen in loaded] == [0] * 5
    assert [seen["leases"] for seen in blocked] == [0] * 5
    assert [len(seen["blocking_calls"]) for seen in blocked] == [1, 2, 3, 4, 5]


async def test_a_blocking_call_has_its_line_expression_and_remedy(ask):
    views.go_on.set()
    seen = await ask("/block/1")
    (call,) = seen["blocking_calls"]
    assert re.search(r"orm/debug_toolbar/views\.py:\d+ in block$", call["site"])
    assert call["expression"].startswith("Author.objects.filter(name=request.GET")
    assert "acount()" in call["remedy"]
    assert call["raised"] is True
    subtitle, page = page_of(seen)
    assert subtitle.endswith(", 1 blocking")
    assert "&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;" in page
    assert "<script" not in page


async def test_blocking_calls_are_bounded(ask):
    views.go_on.set()
    seen = await ask(f"/block/{MAX_CALLS + 20}")
    assert (seen["blocking_call_count"], len(seen["blocking_calls"])) == (MAX_CALLS + 20, MAX_CALLS)


@pytest.mark.usefixtures("many_connections")
@pytest.mark.parametrize("handler", HANDLERS)
async def test_a_pin_is_shown_with_its_statement_and_line(ask, handler):
    views.go_on.set()
    seen = await ask("/pin", handler=handler)
    assert seen["is_pinned"]
    assert seen["pinned_by"] in {*STATEMENTS.values(), "SET @daf = 1 -- <b>"}
    assert re.search(r"views\.py:\d+ in set_something", seen["pinned_at"])
    assert "-- &lt;b&gt;" in page_of(seen)[1]
    assert not (await ask("/load/1", handler=handler))["is_pinned"]


@pytest.mark.usefixtures("many_connections")
async def test_the_wait_for_a_connection_is_the_request_s(ask, pool_with):
    pool = pool_with(MAX_SIZE=1)
    holding = asyncio.create_task(ask("/wait", "holds"))
    while not ("holds" in views.arrived and views.arrived["holds"].is_set()):
        await asyncio.sleep(0.001)
    waiting = asyncio.create_task(ask("/wait", "waits"))
    while not ("waits" in views.arrived and pool.get_stats()["requests_waiting"]):
        await asyncio.sleep(0.001)
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(0.05)
    views.go_on.set()
    held, waited = await holding, await waiting
    elapsed = (asyncio.get_running_loop().time() - began) * 1000
    assert held["waited_ms"] == 0
    assert 50 <= waited["waited_ms"] <= elapsed + 50
    assert (held["leases"], waited["leases"]) == (1, 1)


async def test_a_record_that_has_ended_leaves_nothing_behind():
    before = list(recorders._recorders)
    record = RequestRecord()
    assert record in recorders._recorders
    record.end()
    record.end()
    assert recorders._recorders == before
    assert record.as_dict()["hops"] == 0


def test_a_page_without_figures_and_with_the_guard_off_says_so(settings):
    settings.DAF_ORM = {"BLOCKING": "off"}
    record = RequestRecord()
    record.end()
    subtitle, page = page_of(record.as_dict())
    assert subtitle == "0 hops, 0 leases"
    assert "the guard is off" in page
    assert page_of({})[0] == ""
