"""After a fork the child has a new pool, and leaves the parent's connections alone."""

import pytest

from tests.project.library.models import Author
from tests.support.processes import run_program

pytestmark = [
    pytest.mark.usefixtures("many_connections"),  # a fork's copy of a memory database proves nothing
    pytest.mark.timeout(180),  # up to four processes each, on a machine that may be busy
]

HELPERS = """
def add(name):
    asyncio.run(Author.objects.acreate(name=name))

async def driver_connection():
    return await database_sync_to_async(lambda: (connection.ensure_connection(), connection.connection)[1])()

def in_child(func):
    '''Run the function in a forked child, to the end of the interpreter; return when the child has exited.'''
    sys.stdout.flush()
    if (child := os.fork()) == 0:
        func()
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0, "the child failed"
"""


def run(source: str) -> None:
    run_program(HELPERS + source)


def names() -> list[str]:
    return sorted(Author.objects.values_list("name", flat=True))


def test_a_child_starts_with_an_empty_pool_and_its_own_connections() -> None:
    run("""
add("parent")
ours = asyncio.run(driver_connection())

def child():
    stats = get_pool().get_stats()
    assert stats["pool_size"] == stats["connections_open"] == stats["requests_num"] == 0
    add("child")
    assert asyncio.run(driver_connection()) is not ours

for _ in range(3):
    in_child(child)
add("parent again")
assert asyncio.run(driver_connection()) is ours
""")
    assert names() == ["child", "child", "child", "parent", "parent again"]


def test_a_child_that_ends_without_a_query_costs_the_parent_nothing() -> None:
    run("""
add("parent")
ours = asyncio.run(driver_connection())
in_child(lambda: None)
in_child(lambda: get_pool().close())
assert asyncio.run(driver_connection()) is ours
assert get_pool().get_stats()["connections_lost"] == 0
""")


def test_a_process_of_multiprocessing_queries() -> None:
    run("""
add("parent")
process = multiprocessing.get_context("fork").Process(target=add, args=("child",))
process.start()
process.join(30)
assert process.exitcode == 0
add("parent again")
""")
    assert names() == ["child", "parent", "parent again"]


def test_a_fork_in_the_middle_of_a_transaction_loses_no_row() -> None:
    run("""
async def main():
    async with transaction.atomic():
        before = await driver_connection()
        if connection.vendor != "sqlite":  # which lets only one process write
            await Author.objects.acreate(name="parent")
            if (child := os.fork()) == 0:
                status = 1
                try:
                    add("child")
                    status = 0
                finally:
                    os._exit(status)
        else:
            if (child := os.fork()) == 0:
                asyncio.run(Author.objects.acount())
                os._exit(0)
            await Author.objects.acreate(name="parent")
        assert (await asyncio.to_thread(os.waitpid, child, 0))[1] == 0
        await Author.objects.acreate(name="parent again")
        assert await driver_connection() is before

asyncio.run(main())
if connection.vendor == "sqlite":
    add("child")
""")
    assert names() == ["child", "parent", "parent again"]


def test_a_fork_within_a_call_does_not_take_the_calls_connection_along() -> None:
    run("""
@database_sync_to_async
def call():
    connection.ensure_connection()
    ours = connection.connection

    def child():
        connection.ensure_connection()
        assert connection.connection is not ours
        Author.objects.create(name="child")
        connection.close()
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(30)
    assert process.exitcode == 0
    Author.objects.create(name="parent")
    assert connection.connection is ours

asyncio.run(call())
""")
    assert names() == ["child", "parent"]


@pytest.mark.usefixtures("has_server")  # SQLite's library keeps the parent's locks in the child, where they stay
def test_a_fork_while_another_thread_ends_a_commit_does_not_deadlock() -> None:
    run("""
from daf_orm.databases import cancellation

async def add_in_block(name):
    async with transaction.atomic():
        await Author.objects.acreate(name=name)

add("parent")
with cancellation.commits:  # as a thread has it at the end of each COMMIT
    if (child := os.fork()) == 0:
        status = 1
        try:
            asyncio.run(add_in_block("child"))
            status = 0
        finally:
            os._exit(status)
assert os.waitpid(child, 0)[1] == 0
""")
    assert names() == ["child", "parent"]


@pytest.mark.usefixtures("has_server")  # SQLite's library keeps the parent's locks in the child, where they stay
def test_forks_beside_busy_threads_do_not_deadlock() -> None:
    run("""
stop = threading.Event()

async def busy():
    while not stop.is_set():
        await asyncio.gather(*(Author.objects.acreate(name="parent") for _ in range(4)))

thread = threading.Thread(target=asyncio.run, args=(busy(),))
thread.start()
try:
    for _ in range(8):
        if (child := os.fork()) == 0:
            status = 1
            try:
                add("child")
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
finally:
    stop.set()
    thread.join()
stats = get_pool().get_stats()
assert stats["pool_available"] == stats["pool_size"]
""")
    assert names().count("child") == 8
