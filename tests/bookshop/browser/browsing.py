"""Debian's chromium, driven by playwright."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.bookshop.running import CLERK, Shop

CHROMIUM = Path("/usr/bin/chromium")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
MARKS = [
    pytest.mark.sqlite_memory,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium: apt-get install chromium"),
]


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start a browser, with a profile that nothing else has."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        await browser.close()


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
