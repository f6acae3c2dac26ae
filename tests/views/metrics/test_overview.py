"""The page of metrics: its access, its content from the registry, its escaping."""

import os
import re

import pytest
from django.contrib.auth.models import User
from django.urls import path

from daf_orm.metrics import Counter, collect, registry
from daf_views.metrics import metrics_overview

urlpatterns = [path("staff/metrics/", metrics_overview)]
HTML = {"Accept": "text/html"}
HOSTILE = "<script>alert('&')</script>"
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


@pytest.fixture(autouse=True)
def with_users(settings):
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ]


@pytest.fixture
async def staff(async_client):
    await async_client.aforce_login(await User.objects.acreate(username="ada", is_staff=True))
    return async_client


@pytest.fixture
def calls(monkeypatch):
    """A metric of the test."""
    for name in ("_families", "_counters"):
        monkeypatch.setattr(registry, name, list(getattr(registry, name)))
    return Counter("shop_orders_total", f"Orders {HOSTILE}.", unit="orders", labels=("kind",))


async def test_a_visitor_is_sent_to_log_in(async_client):
    response = await async_client.get("/staff/metrics/", headers=HTML)
    assert (response.status_code, response["Location"]) == (302, "/accounts/login/?next=/staff/metrics/")
    assert (await async_client.get("/staff/metrics/")).status_code == 401


async def test_a_user_without_staff_status_sees_nothing(async_client):
    await async_client.aforce_login(await User.objects.acreate(username="eve"))
    response = await async_client.get("/staff/metrics/", headers=HTML)
    assert response.status_code == 403
    assert b"daf_" not in response.content


async def test_json_has_every_series_of_the_registry(staff, calls):
    calls.add("book")
    response = await staff.get("/staff/metrics/?format=json", headers=HTML)
    data = response.json()
    assert data["process"] == os.getpid()
    shown = {(figure["name"], *figure["labels"].items()) for group in data["groups"] for figure in group["figures"]}
    expected = {
        (metric.name, *zip(metric.labels, values, strict=True)) for metric, series in collect() for values in series
    }
    assert shown == expected
    assert ("shop_orders_total", ("kind", "book")) in shown
    assert [group["title"] for group in data["groups"]][:2] == ["Connection pool", "Event loop"]
    assert "no-store" in response["Cache-Control"]


async def test_the_page_escapes_what_it_shows(staff, calls):
    calls.add(HOSTILE, amount=1234.5)
    page = (await staff.get("/staff/metrics/", headers=HTML)).content.decode()
    assert page.count("&lt;script&gt;") == 2
    assert "<script" not in page
    assert ">1234.500<br>" in page


async def test_it_goes_with_a_strict_policy(staff):
    page = (await staff.get("/staff/metrics/", headers=HTML)).content.decode()
    assert not re.search(r"<style|style=|<script|\son\w+=|https?:", page)
    assert '<link rel="stylesheet" href="?format=css">' in page
