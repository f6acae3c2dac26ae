"""Faults of a page in chromium: those that axe-core finds, and a page that is wider than its screen."""

from collections.abc import Collection

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

SCREENS = {
    "desk": {"viewport": {"width": 1280, "height": 800}},
    "phone": {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True},
}
_OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


async def serious_faults(page: Page, *, known: Collection[str] = ()) -> list[str]:
    """Return the serious faults of a page, one line each, without those of the rules that are `known`."""
    pixels = await page.evaluate(_OVERFLOW)
    faults = [f"it is {pixels} px too wide"] if pixels > 0 else []
    found = await Axe().run(page)
    return faults + [
        f"{fault['id']}: {node['html'][:120]} ({node['failureSummary']})"
        for fault in found.response["violations"]
        if fault["impact"] in {"serious", "critical"} and fault["id"] not in known
        for node in fault["nodes"]
    ]
