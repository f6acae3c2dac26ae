"""Pages of the bookshop in a browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page

from tests.bookshop.running import CLERK, Shop
from tests.support.chromium import chromium


@asynccontextmanager
async def opening(browser: Browser, url: str, **options) -> AsyncIterator[Page]:
    """Open a page of a new session; an error of its scripts fails the test."""
    errors = []
    context = await browser.new_context(base_url=url, **options)
    page = await context.new_page()
    page.on("pageerror", lambda error: errors.append(error))
    yield page
    await context.close()
    assert errors == []


@asynccontextmanager
async def browsing(shop: Shop) -> AsyncIterator[Page]:
    """Open a page in a new browser."""
    async with chromium() as browser, opening(browser, shop.url) as page:
        yield page


async def log_in(page: Page, shop: Shop) -> None:
    await page.goto("/login/")
    await page.get_by_label("Username").fill(CLERK)
    await page.get_by_label("Password").fill(shop.password)
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url("**/desk/")
