"""The part of the smoke run that sends what the shop must refuse, and reads the problems it answers with (RFC 9457)."""

from __future__ import annotations

from typing import Any

from demo.shelf import Shelf
from demo.transcript import Transcript, json_of

PROBLEM = "application/problem+json"


async def wrong_requests(say: Transcript, shelf: Shelf) -> None:
    """Each is refused with its status and a reason, and changes nothing."""
    say.section("Wrong requests")
    stock = await say.get(f"/books/{shelf.common}/stock/")
    await _wrong_bodies(say)
    for body, pointers in _wrong_orders(shelf):
        problem = _explained(say, await say.post("/orders/", body, status=422), 422)
        if (told := [error["pointer"] for error in problem.get("errors", ())]) != pointers:
            say.fail(f"the problem points to {pointers}, not {told}")
    for order in ([(2**63 - 1, 1)], [(shelf.common, 1), (2**63 - 1, 1)]):
        _explained(say, await say.post("/orders/", shelf.order(*order), status=404), 404)
    for path, status in _wrong_reads():
        _explained(say, await say.get(path, status=status), status)
    await _wrong_method(say)
    say.expect(await say.get(f"/books/{shelf.common}/stock/") == stock, "no wrong order took a copy")


async def _wrong_bodies(say: Transcript) -> None:
    malformed = _explained(say, await say.post("/orders/", b'{"lines":\n [1,]}', status=400), 400)
    place = {name: malformed.get(name) for name in ("line", "column", "position")}
    say.expect(None not in place.values() and place["line"] == 2, f"malformed JSON is answered with its place: {place}")
    for body in (b"\xff\xfe", b"[" * 50_000, b'{"lines": NaN}', b'{"lines": [], "lines": []}', b'"\\ud800"'):
        _explained(say, await say.post("/orders/", body, status=400), 400)
    answer = say.show(await say.client.post("/orders/", data={"customer": "ada@example.com"}), status=415)
    _explained(say, json_of(answer), 415)
    say.expect(answer.headers.get("Accept") == "application/json", "a form is answered with what is accepted instead")
    _explained(say, await say.post("/orders/", b"{}" + b" " * 100_000, status=413), 413)


def _wrong_orders(shelf: Shelf) -> list[tuple[object, list[str]]]:
    line = {"book": shelf.common, "quantity": 1}
    return [
        (["a", "list"], ["#"]),
        ({"customer": shelf.customer}, ["#/lines"]),
        ({"customer": shelf.customer, "lines": []}, ["#/lines"]),
        ({"customer": shelf.customer, "lines": [line] * 51}, ["#/lines"]),
        ({"customer": shelf.customer, "lines": [line, 7]}, ["#/lines/1"]),
        ({"customer": shelf.customer, "lines": [line], "gift": True}, ["#/gift"]),
        ({"customer": "no address", "lines": [line]}, ["#/customer"]),
        ({"customer": f"{shelf.customer}\n", "lines": [line]}, ["#/customer"]),
        ({"customer": f"{'a' * 300}@example.com", "lines": [line]}, ["#/customer"]),
        *((shelf.order((shelf.common, no)), ["#/lines/0/quantity"]) for no in (0, -1, 1.5, "1", True, None, 10**30)),
        (shelf.order(("1", 1)), ["#/lines/0/book"]),
        # All that is wrong is told at once.
        ({"customer": "no address", "lines": [line, line | {"quantity": 0}]}, ["#/customer", "#/lines/1/quantity"]),
    ]


def _wrong_reads() -> list[tuple[str, int]]:
    return [
        ("/books/?page=many", 400),
        ("/books/?page_size=0", 400),
        ("/books/?page_size=1000", 400),
        ("/books/?page=-1", 400),
        ("/books/?page=100000", 404),
        ("/books/?author=many", 422),
        ("/books/?q=%00", 422),
        (f"/books/{2**63 - 1}/", 404),
        (f"/books/{10**30}/", 404),
        (f"/books/{2**63}/stock/", 404),
        ("/nowhere/", 404),
    ]


async def _wrong_method(say: Transcript) -> None:
    answer = say.show(await say.client.delete("/orders/"), status=405)
    _explained(say, json_of(answer), 405)
    say.expect(
        answer.headers.get("Allow") == "GET, POST, HEAD, OPTIONS",
        "a wrong method is answered with those that are allowed",
    )
    say.expect(answer.headers["Content-Type"] == PROBLEM, f"every refusal is {PROBLEM}")


def _explained(say: Transcript, problem: Any, status: int) -> dict[str, Any]:
    """Expect a problem; worth a line only when it is none."""
    if not (isinstance(problem, dict) and problem.get("status") == status and problem.get("title")):
        say.fail("a refused request is told why, as a problem")
        return {}
    return problem
