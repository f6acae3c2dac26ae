"""The bookshop in a browser: the page that documents the API, and the site for people."""

import re

from playwright.async_api import expect

from tests.bookshop.browser.browsing import browsing, log_in
from tests.bookshop.running import CLERK
from tests.support.chromium import MARKS

pytestmark = MARKS


async def open_operation(page, name):
    await page.goto("/api/docs/")
    block = page.locator(f"#operations-shop-{name}")
    await block.locator(".opblock-summary").click()
    await block.get_by_role("button", name="Try it out").click()
    return block


async def execute(block):
    """Send it; return the status and the text of what came back."""
    await block.get_by_role("button", name="Execute").click()
    answer = block.locator(".live-responses-table .response").first
    await expect(answer).to_be_visible()
    status = await answer.locator(".response-col_status").inner_text()
    return int(status.split()[0]), await answer.inner_text()


async def book_of(page, pk=1):
    return await (await page.request.get(f"/books/{pk}/")).json()


async def test_the_documentation_lists_the_operations(shop):
    async with browsing(shop) as page:
        await page.goto("/api/docs/")
        await expect(page.locator(".opblock")).to_have_count(14)
        await expect(page.locator(".opblock-summary-path", has_text="/books/")).to_have_count(7)
        await expect(page.get_by_role("heading", name="The bookshop")).to_be_visible()


async def test_an_operation_can_be_tried_out(shop):
    async with browsing(shop) as page:
        block = await open_operation(page, "get_books_pk")
        await block.get_by_placeholder("pk").fill("1")
        status, text = await execute(block)
        assert status == 200
        assert (await book_of(page))["title"] in text


async def test_an_unsafe_operation_can_be_tried_out_after_a_login(shop):
    async with browsing(shop) as page:
        await log_in(page, shop)
        block = await open_operation(page, "patch_books_pk")
        before = await book_of(page, 2)
        price = "7.77" if before["price"] != "7.77" else "8.88"
        await block.get_by_placeholder("pk").fill("2")
        await block.get_by_placeholder("If-Match").fill(f'"{before["version"]}"')
        await block.locator("textarea.body-param__text").fill(f'{{"price": "{price}"}}')
        status, _ = await execute(block)
        assert status == 200
        assert await book_of(page, 2) == before | {"price": price, "version": before["version"] + 1}


async def test_an_unsafe_operation_fails_without_a_login(shop):
    async with browsing(shop) as page:
        block = await open_operation(page, "patch_books_pk")
        before = await book_of(page, 3)
        await block.get_by_placeholder("pk").fill("3")
        await block.get_by_placeholder("If-Match").fill("*")
        await block.locator("textarea.body-param__text").fill('{"price": "0.01"}')
        status, _ = await execute(block)
        assert status == 401
        assert await book_of(page, 3) == before


async def test_a_clerk_creates_edits_and_deletes_a_book(shop):
    async with browsing(shop) as page:
        await log_in(page, shop)
        await page.goto("/catalogue/")
        await page.get_by_role("link", name="New book").click()
        await page.get_by_label("ISBN").fill("9791234567890")
        await page.get_by_label("Title").fill("<b>By hand</b>")
        await page.get_by_label("Author").select_option(index=1)
        await page.get_by_label("Crime").check()
        await page.get_by_label("Published").fill("2026-01-31")
        await page.get_by_label("Price").fill("19.90")
        await page.get_by_label("Copies").fill("4")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("heading", name="<b>By hand</b>")).to_be_visible()
        await expect(page.get_by_role("status")).to_contain_text("is in the catalogue")

        await page.get_by_role("link", name="Edit").click()
        await expect(page.get_by_label("Published")).to_have_value("2026-01-31")
        await page.get_by_label("Title").fill("Another title")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("heading", name="Another title")).to_be_visible()
        pk = re.search(r"/catalogue/([0-9]+)/", page.url)[1]
        assert (await book_of(page, pk))["version"] == 2

        await page.get_by_role("link", name="Delete").click()
        await page.get_by_role("button", name="Delete it").click()
        await expect(page.get_by_role("status")).to_contain_text("not in the catalogue any more")
        assert (await page.request.get(f"/books/{pk}/")).status == 404


async def test_an_unauthenticated_user_is_sent_to_the_login_page_and_back(shop):
    async with browsing(shop) as page:
        await page.goto("/catalogue/1/edit/")
        await expect(page).to_have_url(re.compile(r"/login/\?next=/catalogue/1/edit/$"))
        await page.get_by_label("Username").fill(CLERK)
        await page.get_by_label("Password").fill(shop.password)
        await page.get_by_role("button", name="Log in").click()
        await expect(page).to_have_url(re.compile(r"/catalogue/1/edit/$"))
        await expect(page.get_by_role("button", name="Save")).to_be_visible()
