"""Take the pictures in docs/images: ``make screenshots``. Needs Debian's chromium, and the site in build/docs."""

import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from playwright.async_api import Page, expect

from tests.bookshop.browser.browsing import log_in, opening
from tests.bookshop.running import Shop, running_bookshop
from tests.support.chromium import chromium

IMAGES = ROOT / "docs" / "images"
MAX_BYTES = 1_500_000
DESK = {"viewport": {"width": 1100, "height": 720}}
PHONE = {"viewport": {"width": 360, "height": 700}, "is_mobile": True, "has_touch": True}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A page, and how it is looked at."""

    name: str
    url: str
    visible: str
    """A text that is there once the page is complete."""
    dark: bool = False
    as_clerk: bool = False
    screen: dict[str, Any] = field(default_factory=lambda: DESK)


SITE = (ROOT / "build" / "docs" / "index.html").as_uri()
TUTORIAL = (ROOT / "build" / "docs" / "start" / "tutorial.html").as_uri()
PICTURES = (
    Picture(name="site", url=SITE, visible="stock Django"),
    Picture(name="site-dark", url=TUTORIAL, visible="It sells the last copy", dark=True),
    Picture(name="site-phone", url=TUTORIAL, visible="It sells the last copy", screen=PHONE),
    Picture(name="openapi", url="/api/docs/", visible="/report/"),
    Picture(name="openapi-dark", url="/api/docs/", visible="/report/", dark=True),
    Picture(name="openapi-phone", url="/api/docs/", visible="/report/", screen=PHONE),
    Picture(name="tasks", url="/staff/tasks/", visible="Tasks", as_clerk=True),
    Picture(name="tasks-phone-dark", url="/staff/tasks/", visible="Tasks", as_clerk=True, dark=True, screen=PHONE),
    Picture(name="metrics", url="/staff/metrics/", visible="Metrics", as_clerk=True),
    Picture(
        name="metrics-phone-dark", url="/staff/metrics/", visible="Metrics", as_clerk=True, dark=True, screen=PHONE
    ),
    Picture(name="catalogue", url="/catalogue/", visible="Catalogue", as_clerk=True),
    Picture(name="book", url="/catalogue/1/", visible="live"),
    Picture(name="book-dark", url="/catalogue/1/", visible="live", dark=True),
    Picture(name="book-phone", url="/catalogue/1/", visible="live", screen=PHONE),
    Picture(name="catalogue-phone-dark", url="/catalogue/", visible="Catalogue", dark=True, screen=PHONE),
    Picture(name="desk", url="/desk/", visible="Last orders", as_clerk=True),
    Picture(name="desk-phone", url="/desk/", visible="Last orders", as_clerk=True, screen=PHONE),
    Picture(name="login-phone", url="/login/", visible="Password", screen=PHONE),
    Picture(name="form-phone", url="/catalogue/1/edit/", visible="Save", as_clerk=True, screen=PHONE),
    Picture(name="admin", url="/admin/shop/stock/", visible="Select stock to change", as_clerk=True),
)


async def main() -> None:
    """Open the shop, sell a few books, and take every picture."""
    IMAGES.mkdir(exist_ok=True)
    with running_bookshop() as shop:
        _sell(shop)
        async with chromium() as browser:
            for picture in PICTURES:
                scheme = "dark" if picture.dark else "light"
                async with opening(browser, shop.url, color_scheme=scheme, **picture.screen) as page:
                    await _take(page, picture, shop)
    await _take_panel()
    total = sum(file.stat().st_size for file in IMAGES.iterdir())
    print(f"{len(PICTURES) + 1} pictures, {total // 1000} kB, in {IMAGES.relative_to(ROOT)}")  # noqa: T201 - its result
    if total > MAX_BYTES:
        sys.exit(f"They have {total} bytes, more than {MAX_BYTES}.")


def _sell(shop: Shop) -> None:
    with shop.client() as client:
        for number in range(12):
            lines = [{"book": 1 + number * 97 % 3000, "quantity": 1 + number % 3}]
            order = {"customer": f"reader{number}@example.com", "lines": lines}
            client.post("/orders/", json=order).raise_for_status()


async def _take(page: Page, picture: Picture, shop: Shop) -> None:
    if picture.as_clerk:
        await log_in(page, shop)
    await page.goto(picture.url)
    await expect(page.get_by_text(picture.visible).first).to_be_visible()
    await page.screenshot(path=IMAGES / f"{picture.name}.png", animations="disabled", caret="hide")


async def _take_panel() -> None:
    """Take the panel for django-debug-toolbar, of a page whose view runs on a thread."""
    with running_bookshop(settings="toolbar_settings") as shop:
        async with chromium() as browser, opening(browser, shop.url, **DESK) as page:
            await log_in(page, shop)
            await page.goto("/admin/shop/stock/")
            await page.locator("#djdt-DAFPanel a").click()
            await expect(page.locator("#DAFPanel .djdt-scroll")).to_be_visible()
            await expect(page.locator("#DAFPanel .djdt-loader")).to_have_count(0)
            await page.screenshot(path=IMAGES / "panel.png", animations="disabled", caret="hide")


asyncio.run(main())
