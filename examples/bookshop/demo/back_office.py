"""The part of the smoke run that uses Django's admin: its files, and a change that open pages show at once."""

from __future__ import annotations

import json
import re

import httpx

from demo.catalogue import csrf_token
from demo.listening import STOCK_PATH, listen
from demo.shelf import Shelf
from demo.transcript import Transcript

STYLES = re.compile(r'href="(/static/[^"]+\.css)"')


async def administration(say: Transcript, client: httpx.AsyncClient, shelf: Shelf) -> None:
    """The clerk counts the shelf, and types in the number."""
    page = say.show(await client.get("/admin/"), status=200)
    styles = STYLES.findall(page.text)
    files = [(await client.get(path)).status_code for path in styles]
    say.expect(bool(styles) and set(files) == {200}, f"the admin has its styles: {len(styles)} files")
    path = f"/admin/shop/stock/{shelf.common}/change/"
    page = say.show(await client.get(path), status=200)
    form = {"book": str(shelf.common), "quantity": "700", "csrfmiddlewaretoken": csrf_token(page)}
    async with listen(say.client, path=STOCK_PATH.format(shelf.common)) as stream:
        await stream.event()
        say.show(await client.post(path, data=form), status=302)
        changed = json.loads((await stream.event())["data"])
        say.expect(changed == {"quantity": 700}, "a change in the admin is on all open pages")
    say.show(await client.get("/admin/auth/user/"), status=403)
