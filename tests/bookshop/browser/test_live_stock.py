"""Two browsers at two processes of the shop: a sale in one is seen in the other at once."""

from playwright.async_api import expect

from tests.bookshop.browser.browsing import log_in, opening
from tests.support.chromium import MARKS, chromium

pytestmark = MARKS
BOOK = 7


async def watch(page):
    """Open the book's page, and wait until it is live."""
    await page.goto(f"/catalogue/{BOOK}/")
    await expect(page.get_by_text("live", exact=True)).to_be_visible()
    return page.locator("[data-stream]")


async def test_a_second_browser_sees_the_stock_change_through_another_process(shop_of_two):
    shop = shop_of_two
    async with (
        chromium() as mine,
        chromium() as anothers,
        opening(mine, shop.urls[0]) as clerk,
        opening(anothers, shop.urls[1]) as customer,
    ):
        await log_in(clerk, shop)
        shown = await watch(customer)
        copies = int(await shown.inner_text())
        await buy(clerk, copies=2)
        await expect(shown).to_have_text(str(copies - 2))
        await change_in_admin(clerk, copies=321)
        await expect(shown).to_have_text("321")
        # The other way round, without a reload of either page.
        own = await watch(clerk)
        await buy(customer, copies=21)
        await expect(own).to_have_text("300")
        await buy_the_last_and_one_more(customer)
        await expect(own).to_have_text("0")


async def buy(page, copies):
    await page.goto(f"/catalogue/{BOOK}/")
    await page.get_by_label("Your e-mail address").fill("ada@example.com")
    await page.get_by_label("Copies").fill(str(copies))
    await page.get_by_role("button", name="Buy").click()
    await expect(page.get_by_role("status")).to_contain_text("Thank you: order")


async def buy_the_last_and_one_more(page):
    for copies in (100, 100, 100):
        await buy(page, copies)
    await page.get_by_label("Your e-mail address").fill("ada@example.com")
    await page.get_by_role("button", name="Buy").click()
    await expect(page.get_by_role("status")).to_contain_text(f"Not enough copies of book {BOOK}")


async def change_in_admin(page, copies):
    await page.goto(f"/admin/shop/stock/{BOOK}/change/")
    await page.get_by_label("Quantity").fill(str(copies))
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_text("was changed successfully")).to_be_visible()


async def test_the_admin_is_styled(shop_of_two):
    async with chromium() as browser, opening(browser, shop_of_two.url) as page:
        await expect_styles(page, "/admin/login/")
        await log_in(page, shop_of_two)
        for path in ("/admin/", "/admin/shop/book/", "/admin/shop/stock/1/change/"):
            await expect_styles(page, path)


async def expect_styles(page, path):
    answers = {}

    def note(answer):
        answers[answer.url] = answer.status

    page.on("response", note)
    await page.goto(path)
    page.remove_listener("response", note)
    files = {url: status for url, status in answers.items() if "/static/" in url}
    assert len(files) > 3
    assert set(files.values()) <= {200, 304}
    colour = await page.locator("#header").evaluate("header => getComputedStyle(header).backgroundColor")
    assert colour not in {"rgba(0, 0, 0, 0)", "rgb(255, 255, 255)"}
