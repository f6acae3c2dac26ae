"""Every page in light and dark, on a desk and on a phone: nothing overlaps, and axe finds no serious fault."""

from itertools import product

from tests.bookshop.browser.browsing import log_in, opening
from tests.support.axe import SCREENS, serious_faults
from tests.support.chromium import MARKS, chromium

pytestmark = MARKS
PAGES = (
    *("/catalogue/", "/catalogue/?q=nothing+like+it", "/catalogue/2/", "/catalogue/2/edit/", "/catalogue/2/delete/"),
    *("/catalogue/new/", "/desk/", "/staff/tasks/", "/staff/metrics/", "/catalogue/0/"),
)
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
SWAGGER_UI = {"nested-interactive", "label"}  # its markup: a link in the button of an operation, a body without a label


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
    return [f"overlap: {fault}" for fault in await page.evaluate(OVERLAPS)] + await serious_faults(page)


async def test_the_page_of_the_api_can_be_read(shop):
    faults = []
    async with chromium() as browser:
        for scheme, screen in product(("light", "dark"), SCREENS):
            async with opening(browser, shop.url, color_scheme=scheme, **SCREENS[screen]) as page:
                await page.goto("/api/docs/")
                block = page.locator("#operations-shop-patch_books_pk")
                await block.locator(".opblock-summary").click()
                await block.get_by_role("button", name="Try it out").click()
                found = await serious_faults(page, known=SWAGGER_UI)
                faults += [f"{scheme}, {screen}: {fault}" for fault in found]
    assert faults == []


async def test_an_unstyled_page_would_not_pass(shop):
    async with chromium() as browser, opening(browser, shop.url, **SCREENS["phone"]) as page:
        await page.goto("/login/")
        await page.evaluate("document.body.style.width = '900px'")
        await page.evaluate("document.querySelector('h1').style.cssText = 'color: #ccc; margin-top: -3rem'")
        faults = "\n".join(await faults_of(page))
    assert "overlap" in faults
    assert "too wide" in faults
    assert "color-contrast" in faults
