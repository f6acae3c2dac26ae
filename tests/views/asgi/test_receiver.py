import asyncio
import sys
import threading
from io import BytesIO

import pytest
from django.core.exceptions import RequestAborted, RequestDataTooBig
from django.http import UnreadablePostError
from django.test import override_settings

from daf_views.asgi import body as asgi_body
from daf_views.asgi.receiver import Receiver
from daf_views.exceptions import APIError


class Server:
    """The ``receive()`` of a server."""

    def __init__(self, *messages) -> None:
        self.queue = asyncio.Queue()
        for message in messages:
            self.queue.put_nowait(message)

    async def receive(self):
        return await self.queue.get()


def part(body, *, more=False):
    return {"type": "http.request", "body": body, "more_body": more}


HANG_UP = {"type": "http.disconnect"}


async def test_a_body_of_several_parts_is_put_together_in_memory():
    body = await Receiver(Server(part(b"a", more=True), part(b""), part(b"never asked for")).receive).body()
    assert isinstance(body, BytesIO)
    assert body.read() == b"a"


@override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=3)
async def test_a_body_too_large_for_memory_is_put_on_disk():
    with await Receiver(Server(part(b"abc", more=True), part(b"d")).receive).body() as body:
        assert not isinstance(body, BytesIO)
        assert await asyncio.to_thread(body.read) == b"abcd"


async def test_a_client_that_hangs_up_in_its_body_aborts_the_request():
    with pytest.raises(RequestAborted):
        await Receiver(Server(part(b"a", more=True), HANG_UP).receive).body()


async def test_a_body_over_the_limit_cannot_be_had_by_asking_again():
    receiver = Receiver(Server(part(b"abc", more=True), part(b"d")).receive)
    with pytest.raises(RequestDataTooBig, match="larger than 2 bytes"):
        await receiver.body(2)
    with pytest.raises(RequestDataTooBig):
        await receiver.body()


async def test_a_body_whose_receiving_was_cancelled_cannot_be_had_by_asking_again():
    server = Server(part(b"abc", more=True))
    receiver = Receiver(server.receive)
    first = asyncio.create_task(receiver.body())
    while not server.queue.empty():
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    server.queue.put_nowait(part(b"the rest"))
    with pytest.raises(UnreadablePostError):
        await receiver.body()


async def test_a_message_that_the_listener_receives_is_part_of_the_body():
    server = Server(part(b"a", more=True), part(b"b"))
    receiver = Receiver(server.receive)
    receiver.watch()
    while server.queue.qsize() == 2:
        await asyncio.sleep(0)
    assert (await receiver.body()).read() == b"ab"


async def test_the_listener_asks_for_no_more_than_one_part():
    server = Server(part(b"a", more=True), part(b"b"))
    receiver = Receiver(server.receive)
    receiver.watch()
    while server.queue.qsize() == 2:
        await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)
    assert server.queue.qsize() == 1


async def test_no_listener_is_started_for_what_is_answered_at_once():
    server = Server(HANG_UP)
    receiver = Receiver(server.receive)
    receiver.watch()
    receiver.unwatch()
    await asyncio.sleep(0)
    assert server.queue.qsize() == 1


async def test_hanging_up_cancels_the_task_until_it_is_left_alone():
    receiver = Receiver(Server(HANG_UP).receive)
    receiver.watch()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.Event().wait()
    assert receiver.client_disconnected()
    assert asyncio.current_task().cancelling() == 0


async def test_an_invalid_message_is_raised_in_the_request():
    server = Server(part(b""), {"type": "http.other"})
    receiver = Receiver(server.receive)
    await receiver.body()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.Event().wait()
    with pytest.raises(AssertionError, match=r"http\.other"):
        receiver.client_disconnected()


async def test_a_body_that_came_whole_does_not_keep_hanging_up_from_being_noticed():
    server = Server(part(b"whole"), HANG_UP)
    receiver = Receiver(server.receive)
    receiver.watch()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.Event().wait()
    assert receiver.client_disconnected()


async def test_a_client_that_hangs_up_at_once_is_heard_of_once():
    server = Server(HANG_UP, HANG_UP)
    receiver = Receiver(server.receive)
    receiver.watch()
    with pytest.raises(RequestAborted):
        await receiver.body()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert server.queue.qsize() == 1
    assert not receiver.client_disconnected()


async def test_a_body_that_comes_late_is_read_by_its_reader_alone():
    server = Server(part(b"a", more=True))
    receiver = Receiver(server.receive)
    receiver.watch()
    reading = asyncio.create_task(receiver.body())
    while not server.queue.empty():
        await asyncio.sleep(0)
    server.queue.put_nowait(part(b"b"))
    assert (await reading).read() == b"ab"
    receiver.unwatch()


async def test_the_body_can_be_had_while_the_listener_goes_on():
    server = Server(part(b"whole"))
    receiver = Receiver(server.receive)
    receiver.watch()
    while not server.queue.empty():
        await asyncio.sleep(0)
    assert (await receiver.body()).read() == b"whole"
    server.queue.put_nowait(HANG_UP)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.Event().wait()
    assert receiver.client_disconnected()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_a_client_that_has_left_is_noticed_by_an_eager_task():
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    receiver = Receiver(Server(HANG_UP).receive)
    receiver.watch()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.Event().wait()
    assert receiver.client_disconnected()


@override_settings(DAF_VIEWS={"BODY_TIMEOUT": 0.01})
async def test_a_client_that_is_silent_in_a_body_it_has_announced_is_given_up():
    receiver = Receiver(Server(part(b"a", more=True)).receive, expects_body=True)
    with pytest.raises(APIError, match="The request body did not arrive within") as error:
        await receiver.body()
    assert error.value.status == 408


@override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=3)
async def test_cancelling_while_the_body_goes_to_disk_is_a_cancellation(monkeypatch):
    writing, go_on = threading.Event(), threading.Event()
    write = asgi_body.SpooledBody._write_to_disk

    def slowly(self, chunk):
        writing.set()
        assert go_on.wait(20)
        write(self, chunk)

    monkeypatch.setattr(asgi_body.SpooledBody, "_write_to_disk", slowly)
    task = asyncio.create_task(Receiver(Server(part(b"abcdef", more=True)).receive).body())
    await asyncio.to_thread(writing.wait, 20)
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task


@override_settings(DAF_VIEWS={"BODY_TIMEOUT": 0.1})
async def test_a_client_that_sends_a_byte_now_and_then_is_given_up_as_well():
    async def receive():
        await asyncio.sleep(0.01)
        return part(b"a", more=True)

    with pytest.raises(APIError) as error:
        await Receiver(receive, expects_body=True).body()
    assert error.value.status == 408


@override_settings(DAF_VIEWS={"BODY_TIMEOUT": 0.05})
async def test_a_client_that_is_silent_under_the_listener_is_given_up_too():
    asked = asyncio.Event()

    async def receive():
        asked.set()
        return await asyncio.get_running_loop().create_future()

    receiver = Receiver(receive, expects_body=True)
    receiver.watch()
    await asked.wait()
    with pytest.raises(APIError) as error:
        await receiver.body()
    assert error.value.status == 408
    receiver.unwatch()
