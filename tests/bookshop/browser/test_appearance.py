"""Every page in light and dark, on a desk and on a phone: nothing overlaps, and axe finds no serious fault."""

from itertools import product

from axe_playwright_python.async_playwright import Axe

from tests.bookshop.browser.browsing import log_in, opening
from tests.support.chromium import MARKS, chromium

pytestmark = MARKS
PAGES = (
    *("/catalogue/", "/catalogue/?q=nothing+like+it", "/catalogue/2/", "/catalogue/2/edit/", "/catalogue/2/delete/"),
    *("/catalogue/new/", "/desk/", "/staff/tasks/", "/staff/metrics/", "/catalogue/0/"),
)
SCREENS = {
    "desk": {"viewport": {"width": 1280, "height": 800}},
    "phone": {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True},
}
OVERLAPS = """() => {
    const names = "a, button, input, select, textarea, label, h1, h2, h3, p, dt, dd, th, td, li";
    const shown = [...document.querySelectorAll(names)]
        .filter((each) => each.checkVisibility({visibilityProperty: true}) && !each.closest(".daf-hidden"));
    const boxes = shown.map((each) => [each, [...each.getClientRects()]]);
    const found = [];
    for (const [one, own] of boxes) for (const [other, others] of boxes) {
        if (one === other || one.contains(other) || other.contains(one)) continue;
        const meet = own.some((a) => others.some((b) =>
            Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
            Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1));
        if (meet) found.push(`${one.outerHTML.slice(0, 80)} and ${other.outerHTML.slice(0, 80)}`);
    }
    return found;
}"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


async def test_every_page_can_be_read(shop):
    faults = []
    async with chromium() as browser:
        for scheme, screen in product(("light", "dark"), SCREENS):
            async with opening(browser, shop.url, color_scheme=scheme, **SCREENS[screen]) as page:
                found = await faults_of_all(page, shop)
                faults += [f"{scheme}, {screen}: {fault}" for fault in found]
    assert faults == []


async def faults_of_all(page, shop):
    await page.goto("/login/")
    faults = [f"/login/: {fault}" for fault in await faults_of(page)]
    await log_in(page, shop)
    for path in PAGES:
        await page.goto(path)
        faults += [f"{path}: {fault}" for fault in await faults_of(page)]
    return faults


async def faults_of(page):
    """Return the faults of a page, one line each."""
    faults = [f"overlap: {fault}" for fault in await page.evaluate(OVERLAPS)]
    if (pixels := await page.evaluate(OVERFLOW)) > 0:
        faults.append(f"it is {pixels} px too wide")
    found = await Axe().run(page)
    faults += [
        f"{fault['id']}: {node['html'][:120]} ({node['failureSummary']})"
        for fault in found.response["violations"]
        if fault["impact"] in {"serious", "critical"}
        for node in fault["nodes"]
    ]
    return faults


async def test_an_unstyled_page_would_not_pass(shop):
    async with chromium() as browser, opening(browser, shop.url, **SCREENS["phone"]) as page:
        await page.goto("/login/")
        await page.evaluate("document.body.style.width = '900px'")
        await page.evaluate("document.querySelector('h1').style.cssText = 'color: #ccc; margin-top: -3rem'")
        faults = "\n".join(await faults_of(page))
    assert "overlap" in faults
    assert "too wide" in faults
    assert "color-contrast" in faults
