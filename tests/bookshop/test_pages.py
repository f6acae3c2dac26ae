"""The site for people: no URL and no form causes a server error."""

import re

import pytest

from tests.bookshop.running import CLERK

pytestmark = [pytest.mark.sqlite_memory, pytest.mark.timeout(180)]  # it opens a shop
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
BOOK = {
    "isbn": "9789999999991",
    "title": "A title",
    "author": "1",
    "tags": "Crime",
    "published": "2026-01-01",
    "price": "1.00",
    "seen_version": "1",
    "copies": "1",
}
HUGE = ("9" * 19, "9" * 30, "9" * 5000)


@pytest.fixture
def browser(shop):
    with shop.client(Accept="text/html") as client:
        yield client


@pytest.fixture
def clerk(browser, shop):
    token = TOKEN.search(browser.get("/login/").text)[1]
    login = {"username": CLERK, "password": shop.password, "csrfmiddlewaretoken": token}
    assert browser.post("/login/", data=login).status_code == 302
    return browser


def form(client, path, **values):
    return {**BOOK, "csrfmiddlewaretoken": TOKEN.search(client.get(path).text)[1], **values}


@pytest.mark.parametrize("query", ["page=x", "page=-1", "page=0", f"page={HUGE[1]}", "page=%00"])
def test_there_is_no_such_page(browser, query):
    assert browser.get(f"/catalogue/?{query}").status_code == 404


@pytest.mark.parametrize("words", ["%00", "%ff", "a" * 5000, "+".join("a" * 200), "%25_%27%22"])
def test_anything_may_be_searched_for(browser, words):
    assert browser.get(f"/catalogue/?q={words}").status_code == 200


@pytest.mark.parametrize("number", HUGE)
@pytest.mark.parametrize("path", ["/catalogue/{}/", "/catalogue/{}/edit/", "/catalogue/{}/delete/"])
def test_there_is_no_such_book(clerk, path, number):
    assert clerk.get(path.format(number)).status_code == 404


@pytest.mark.parametrize("number", HUGE)
def test_a_book_without_a_restock_request_is_not_found(clerk, number):
    sent = form(clerk, "/catalogue/new/")
    assert clerk.post(f"/desk/restock/{number}/", data=sent).status_code == 404


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, HUGE[1]) for field in ("author", "tags", "seen_version", "copies", "price", "isbn")),
        *((field, "\0") for field in BOOK),
        *(("price", value) for value in ("NaN", "Infinity", "1e400", "-1e9")),
        *(("isbn", value) for value in ("9789999999991\n1", "9780000000002")),
        ("published", "0000-00-00"),
    ],
)
def test_a_form_that_is_wrong_is_shown_again(clerk, field, value):
    answer = clerk.post("/catalogue/new/", data=form(clerk, "/catalogue/new/", **{field: value}))
    assert (answer.status_code, "errorlist" in answer.text) == (200, True)


def test_a_page_that_has_been_open_for_long_writes_over_nothing(clerk):
    made = clerk.post("/catalogue/new/", data=form(clerk, "/catalogue/new/", isbn="9799999999991"))
    book = made.headers["Location"]
    old = form(clerk, f"{book}edit/", isbn="9799999999991", title="Second")
    assert clerk.post(f"{book}edit/", data=old | {"title": "First"}).status_code == 302
    assert "has changed since you opened it" in clerk.post(f"{book}edit/", data=old).text
    assert "<h1>First</h1>" in clerk.get(book).text
    assert clerk.post(f"{book}delete/", data=old).status_code == 302


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_book_that_was_sold_stays(clerk, shop, method):
    with shop.client() as program:
        order = {"customer": "ada@example.com", "lines": [{"book": 5, "quantity": 1}]}
        assert program.post("/orders/", json=order).status_code == 201
    sent = form(clerk, "/catalogue/5/delete/")
    answer = clerk.request(
        method, "/catalogue/5/delete/", data=sent, headers={"X-CSRFToken": sent["csrfmiddlewaretoken"]}
    )
    assert answer.status_code == {"POST": 302, "DELETE": 405}[method]
    assert clerk.get("/catalogue/5/").status_code == 200
