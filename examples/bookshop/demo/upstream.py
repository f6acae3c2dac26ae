"""The part of the smoke run that asks for the supplier's price, which comes at once, late, or never."""

from __future__ import annotations

import time

from demo.shelf import Shelf
from demo.transcript import Transcript

DEADLINE = 1.0


async def offers(say: Transcript, shelf: Shelf) -> None:
    """One book that the supplier knows by heart, one that takes it half a minute."""
    say.section("A slow supplier")
    offer = await say.get(f"/books/{shelf.common}/offer/")
    say.expect(set(offer) == {"book", "price"}, "the supplier's price of a book")
    started = time.monotonic()
    problem = await say.get(f"/books/{shelf.rare}/offer/", status=504)
    waited = time.monotonic() - started
    say.expect(problem["code"] == "deadline_exceeded", "a supplier that is slow is not waited for")
    say.expect(DEADLINE <= waited < 5 * DEADLINE, f"the problem came after {waited:.2f} s, and not after 30")
    await say.get(f"/books/{2**62}/offer/", status=404)
