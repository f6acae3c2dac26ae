"""The branches of the chain: on PostgreSQL each has its own orders, on SQLite they stay closed."""

import asyncio
import os
import subprocess
import sys
import uuid
from collections import Counter

import httpx
import psycopg
import pytest

from tests.bookshop.browser.browsing import log_in, opening
from tests.bookshop.running import PROJECT, ROOT, running_bookshop
from tests.support.chromium import CHROMIUM, chromium
from tests.support.servers import default_postgres

pytestmark = [pytest.mark.sqlite_memory, pytest.mark.timeout(180)]  # the bookshop brings its own database, and opens
BRANCHES = ("bergen", "kyoto")
REQUESTS = 200
OPEN = """
import asyncio, django
django.setup()
from shop import branches
asyncio.run(branches.open_branches())
print(*sorted(branches._open))
"""


@pytest.fixture(scope="module")
def chain():
    """The bookshop on a database whose owner is no superuser."""
    server, name = default_postgres(), f"chain_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.url, autocommit=True) as session:
        session.execute(f"CREATE ROLE {name} LOGIN")
        session.execute(f"CREATE DATABASE {name} OWNER {name}")
    with running_bookshop(database_url=f"postgresql://{name}@127.0.0.1:{server.port}/{name}") as shop:
        yield shop


def calling(shop, branch):
    """Return a client of a branch, with the clerk's token."""
    headers = {"Host": f"{branch}.localhost", "Authorization": f"Bearer {shop.token}"}
    limits = httpx.Limits(max_connections=REQUESTS)
    return httpx.AsyncClient(base_url=shop.url, headers=headers, limits=limits, timeout=60, trust_env=False)


async def buy(client, branch):
    order = {"customer": f"reader@{branch}.example", "lines": [{"book": BRANCHES.index(branch) + 20, "quantity": 1}]}
    placed = await client.post("/orders/", json=order)
    assert placed.status_code == 201, placed.text
    return placed.json()


async def customers(client):
    """Return the customers of the branch, as its list of orders names them."""
    listed = (await client.get("/orders/?page_size=100")).raise_for_status().json()
    return {order["customer"] for order in listed["results"]}


async def test_hundreds_of_requests_at_once_see_the_orders_of_their_branch(chain):
    async with calling(chain, "bergen") as bergen, calling(chain, "kyoto") as kyoto:
        clients = dict(zip(BRANCHES, (bergen, kyoto), strict=True))
        for branch, client in clients.items():
            await buy(client, branch)

        async def ask(number):
            branch = BRANCHES[number % 2]
            if number % 4 > 1:
                await buy(clients[branch], branch)
            pinned = (await clients[branch].get("/pool/")).json()["connections_pinned"]
            return await customers(clients[branch]) == {f"reader@{branch}.example"}, pinned

        seen = Counter(await asyncio.gather(*(ask(number) for number in range(REQUESTS))))
    assert seen == {(True, 0): REQUESTS}


async def test_an_order_is_found_in_its_branch_alone(chain):
    async with calling(chain, "bergen") as bergen, calling(chain, "kyoto") as kyoto, calling(chain, "main") as main:
        path = f"/orders/{(await buy(bergen, 'bergen'))['id']}/"
        assert [(await client.get(path)).status_code for client in (bergen, kyoto, main)] == [200, 404, 404]
        async with asyncio.timeout(30):
            while (await bergen.get(f"{path}receipt/")).status_code != 200:  # until the task has sent it
                pass
        assert [(await client.get(f"{path}receipt/")).status_code for client in (kyoto, main)] == [404, 404]


async def test_a_stream_has_the_orders_of_its_branch_old_and_new(chain):
    async with calling(chain, "bergen") as bergen, calling(chain, "kyoto") as kyoto:
        first = await buy(kyoto, "kyoto")
        missed = [await buy(client, branch) for client, branch in ((bergen, "bergen"), (kyoto, "kyoto"))]
        resumed = {"Last-Event-ID": str(first["id"])}
        async with kyoto.stream("GET", "/orders/stream/", headers=resumed) as response, asyncio.timeout(30):
            lines = response.aiter_lines()
            heard = [await next_id(lines)]
            live = [await buy(client, branch) for client, branch in ((bergen, "bergen"), (kyoto, "kyoto"))]
            heard.append(await next_id(lines))
    assert heard == [missed[1]["id"], live[1]["id"]]


async def next_id(lines):
    async for line in lines:
        if line.startswith("id:"):
            return int(line.removeprefix("id:"))
    raise EOFError


@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium: apt-get install chromium")
async def test_the_desk_and_the_synchronous_admin_show_the_branch_its_own(chain):
    async with calling(chain, "bergen") as bergen, calling(chain, "kyoto") as kyoto:
        await buy(bergen, "bergen")
        await buy(kyoto, "kyoto")
    async with chromium() as browser, opening(browser, chain.url.replace("127.0.0.1", "kyoto.localhost")) as page:
        await log_in(page, chain)
        for path in ("/desk/", "/admin/shop/order/"):
            await page.goto(path)
            text = await page.locator("main").inner_text()
            assert ("reader@kyoto.example" in text, "reader@bergen.example" in text) == (True, False), path


async def test_there_is_no_other_branch(chain):
    async with calling(chain, "oslo") as client:
        answer = await client.get("/books/1/")
    assert (answer.status_code, answer.json()["detail"]) == (404, "The chain has no such branch.")


async def test_branches_are_closed_on_sqlite(shop):
    async with calling(shop, "bergen") as client, calling(shop, "main") as main:
        answer = await client.get("/orders/")
        assert (await main.get("/orders/")).status_code == 200
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("This branch is closed: PostgreSQL's row-level security would")


def test_branches_stay_closed_for_a_user_that_policies_do_not_apply_to():
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "bookshop.settings",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(PROJECT)]),
        "DATABASE_URL": default_postgres().url,
    }
    done = subprocess.run(
        [sys.executable, "-c", OPEN], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "main\n"), done.stderr
    assert "exempts superusers, and roles with BYPASSRLS, from row-level security" in done.stderr
