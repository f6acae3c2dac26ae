"""Staff's pages in a browser: on a phone, in light and in dark, under a strict Content-Security-Policy."""

from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.urls import path
from playwright.async_api import expect

from daf_views.asgi import current_drain
from daf_views.metrics import metrics_overview
from daf_views.tasks.overview import tasks_overview
from tests.support.chromium import MARKS, chromium
from tests.views.tasks import jobs

urlpatterns = [path("metrics/", metrics_overview), path("tasks/", tasks_overview)]
POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'"
BACKGROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}
PHONE = {"width": 360, "height": 740}
pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
    pytest.mark.urls(__name__),
    *MARKS,
]


@pytest.fixture
async def staff(async_client, settings):
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ]
    await async_client.aforce_login(await User.objects.acreate(username="ada", is_staff=True))
    jobs.reset()
    for _ in range(3):
        await jobs.fail.using(queue_name="a-queue-with-a-rather-long-name").aenqueue("secret")
    await current_drain().settle(5)
    return async_client


@asynccontextmanager
async def browsing(client, **options):
    """Open a page whose requests the client answers. An error on its console, as of the policy, fails the test."""
    errors = []

    async def answer(route):
        parts = urlsplit(route.request.url)
        response = await client.get(f"{parts.path}?{parts.query}", headers={"Accept": route.request.headers["accept"]})
        headers = {"Content-Type": response["Content-Type"], "Content-Security-Policy": POLICY}
        await route.fulfill(status=response.status_code, headers=headers, body=response.content)

    async with chromium() as browser:
        page = await browser.new_page(base_url="http://staff.test", **options)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        await page.route("**/*", answer)
        yield page
    assert errors == []


@pytest.mark.parametrize("scheme", BACKGROUNDS)
@pytest.mark.parametrize("path", ["/metrics/", "/tasks/"])
async def test_on_a_phone_nothing_is_cut_off(staff, path, scheme):
    async with browsing(staff, viewport=PHONE, color_scheme=scheme) as page:
        await page.goto(path)
        await expect(page.locator("table").first).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == BACKGROUNDS[scheme]
        # A table that is wider than the phone is in a region that scrolls, with the keyboard too.
        regions = page.locator("table").locator("xpath=..")
        for region in await regions.all():
            assert await region.get_attribute("tabindex") == "0"
            assert await region.get_attribute("aria-label")


async def test_the_figures_are_on_the_page(staff):
    async with browsing(staff) as page:
        await page.goto("/metrics/")
        await expect(page.get_by_role("heading", name="Tasks")).to_be_visible()
        row = page.get_by_role("row").filter(has_text="daf_tasks_finished_total").filter(has_text="jobs.fail").last
        await expect(row).to_contain_text("failed")
