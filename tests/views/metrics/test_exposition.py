"""The metrics view: its access."""

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.test import AsyncRequestFactory
from django.urls import path
from prometheus_client.parser import text_string_to_metric_families

from daf_views.metrics import metrics
from daf_views.settings import get_settings

TOKEN = "a token of more than 16 characters"
urlpatterns = [path("metrics", metrics)]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


@pytest.fixture(autouse=True)
def with_users(settings):
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ]


@pytest.fixture
def without_users(settings):
    settings.MIDDLEWARE = []


def samples(response):
    assert response.status_code == 200
    assert response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


async def status_from(address, headers=None):
    request = AsyncRequestFactory().get("/metrics", headers=headers)
    request.META["REMOTE_ADDR"] = address
    return (await metrics(request)).status_code


async def test_by_default_a_visitor_is_refused(async_client):
    response = await async_client.get("/metrics")
    assert response.status_code == 401
    assert b"daf_" not in response.content


@pytest.mark.usefixtures("without_users")
async def test_in_a_project_without_users_too(async_client):
    assert (await async_client.get("/metrics")).status_code == 401


@pytest.mark.parametrize(
    ("user", "status"),
    [
        ({"is_staff": True}, 200),
        ({"is_staff": False}, 403),
        ({"is_staff": True, "is_active": False}, 401),
    ],
)
async def test_of_users_staff_may(async_client, user, status):
    await async_client.aforce_login(await User.objects.acreate(username="ada", **user))
    response = await async_client.get("/metrics")
    assert response.status_code == status
    assert (b"daf_loop_stalls_total" in response.content) == (status == 200)
    assert "no-store" in response["Cache-Control"]


@pytest.mark.usefixtures("without_users")
@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer  {TOKEN} "])
async def test_a_client_with_the_token_may(async_client, settings, header):
    settings.DAF_VIEWS = {"METRICS_TOKEN": TOKEN}
    assert ("daf_loop_stalls_total",) in samples(await async_client.get("/metrics", headers={"Authorization": header}))


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer None", "Bearer ü"]
)
@pytest.mark.parametrize("token", [TOKEN, None])
async def test_a_client_without_it_may_not(async_client, settings, header, token):
    settings.DAF_VIEWS = {"METRICS_TOKEN": token}
    response = await async_client.get("/metrics", headers={"Authorization": header})
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == ("Bearer" if token else "Session")


@pytest.mark.parametrize(
    ("networks", "address", "status"),
    [
        (["10.0.0.0/8"], "10.1.2.3", 200),
        (["10.0.0.0/8", "2001:db8::/32"], "2001:db8::1", 200),
        (["10.0.0.0/8"], "11.1.2.3", 401),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", 200),
        ([], "10.1.2.3", 401),
        (["0.0.0.0/0"], "", 401),
    ],
)
async def test_networks(settings, networks, address, status):
    settings.DAF_VIEWS = {"METRICS_NETWORKS": networks}
    assert await status_from(address) == status


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
async def test_a_proxy_that_is_not_known_as_one_lets_no_client_in(settings, header):
    settings.DAF_VIEWS = {"METRICS_NETWORKS": ["127.0.0.0/8"]}
    assert await status_from("127.0.0.1") == 200
    assert await status_from("127.0.0.1", {header: "203.0.113.7"}) == 401


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [("10.1.2.3", 200), ("203.0.113.7", 401), ("10.1.2.3, 203.0.113.7", 401)],  # the client has sent the first entry
)
async def test_behind_a_trusted_proxy_the_client_s_address_counts(settings, forwarded, status):
    settings.DAF_VIEWS = {"METRICS_NETWORKS": ["10.0.0.0/8"], "TRUSTED_PROXIES": ["127.0.0.1"]}
    assert await status_from("127.0.0.1", {"X-Forwarded-For": forwarded}) == status


@pytest.mark.parametrize("forwarded", ["unknown, 10.0.0.2", "10.0.0.2"])
async def test_the_address_of_an_inner_proxy_lets_no_unknown_client_in(settings, forwarded):
    settings.DAF_VIEWS = {"METRICS_NETWORKS": ["10.0.0.0/8"], "TRUSTED_PROXIES": ["10.0.0.1", "10.0.0.2"]}
    assert await status_from("10.0.0.1", {"X-Forwarded-For": forwarded}) == 401
    assert await status_from("10.0.0.2") == 200  # the machine itself


@pytest.mark.parametrize("header", ["X-Forwarded-Host", "X-Forwarded-Proto", "CF-Connecting-IP", "True-Client-IP"])
async def test_headers_that_proxies_add_show_an_unknown_proxy(settings, header):
    settings.DAF_VIEWS = {"METRICS_NETWORKS": ["127.0.0.0/8"]}
    assert await status_from("127.0.0.1", {header: "203.0.113.7"}) == 401


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ({"METRICS_TOKEN": "short"}, "METRICS_TOKEN.*16 characters or more"),
        ({"METRICS_NETWORKS": ["unix"]}, "METRICS_NETWORKS.*not 'unix'"),
        ({"METRICS_NETWORKS": ["local"]}, "METRICS_NETWORKS.*'local'"),
    ],
)
def test_settings_that_protect_nothing_are_refused(settings, setting, error):
    settings.DAF_VIEWS = setting
    with pytest.raises(ImproperlyConfigured, match=error) as raised:
        get_settings()
    assert "short" not in str(raised.value)


async def test_it_only_reads(async_client, settings):
    settings.DAF_VIEWS = {"METRICS_TOKEN": TOKEN}
    response = await async_client.post("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert response.status_code == 405
