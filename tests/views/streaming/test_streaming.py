"""Streams: their bytes on the wire, and their end, which leaves nothing behind."""

import asyncio
import json
import logging
import re
from contextvars import ContextVar
from decimal import Decimal

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.test import RequestFactory, override_settings
from django.urls import path
from hypothesis import given
from hypothesis import strategies as st

from daf_orm import get_pool
from daf_views.asgi import current_drain
from daf_views.streaming import Event, jsonl, last_event_id, sse
from daf_views.streaming.sources import SourceReader
from tests.project.library.models import Author
from tests.support.exchange import Exchange, exchange, scope

QUIET = 3600  # a heartbeat that no test lives to hear


async def count(number):
    for value in range(number):
        yield value


def parse(stream: bytes):
    """Dispatch the events of a complete stream, by the letter of WHATWG HTML, section 9.2.6."""
    events, data, name, last_id, retry = [], "", "", "", None
    for line in re.split(r"\r\n|\n|\r", stream.decode().removeprefix("\ufeff")):
        if not line:
            if data:
                events.append((name or "message", data.removesuffix("\n"), last_id, retry))
            data, name = "", ""
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        data += f"{value}\n" if field == "data" else ""
        name = value if field == "event" else name
        last_id = value if field == "id" and "\0" not in value else last_id
        retry = int(value) if field == "retry" and re.fullmatch("[0-9]+", value) else retry
    return events


async def read(response) -> bytes:
    return b"".join([part async for part in response])


# Framing

LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"))
EVENTS = st.builds(
    Event,
    data=st.text(st.characters(exclude_categories=["Cs"])),
    event=st.none() | LINE,
    id=st.none() | LINE.filter(lambda value: "\0" not in value),
    retry=st.none() | st.integers(0, 10**9),
)


@given(st.lists(EVENTS, max_size=5))
def test_a_client_dispatches_the_sent_events(events):
    expected, last_id, retry = [], "", None
    for event in events:
        last_id = last_id if event.id is None else event.id
        retry = retry if event.retry is None else event.retry
        data = event.data.replace("\r\n", "\n").replace("\r", "\n")
        expected.append((event.event or "message", data, last_id, retry))

    assert parse(b"".join(event.encode() for event in events)) == expected


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.tuples(inner)
    )
)
def test_data_that_is_no_string_is_json(value):
    [(_, data, _, _)] = parse(Event(data={"value": value}).encode())

    assert json.loads(data) == json.loads(json.dumps({"value": value}))


@pytest.mark.parametrize(
    "fields", [{"event": "a\nb"}, {"event": "a\r"}, {"id": "a\nb"}, {"id": "a\0"}, {"retry": -1}, {"retry": True}]
)
def test_an_event_cannot_break_out_of_its_fields(fields):
    with pytest.raises(ValueError, match=r"event|retry"):
        Event(data="x", **fields)


async def test_a_plain_value_is_the_data_of_an_event():
    async def source():
        yield "text"
        yield {"price": Decimal("1.50")}
        yield Event(data="named", event="order", id="7")

    frames = await read(sse(source()))

    assert frames == b'data: text\n\ndata: {"price":"1.50"}\n\nevent: order\nid: 7\ndata: named\n\n'


async def test_retry_is_sent_first():
    assert await read(sse(count(1), retry=500)) == b"retry: 500\n\ndata: 0\n\n"


async def test_headers_keep_proxies_and_gzip_away():
    response = sse(count(1), headers={"X-Own": "1", "Cache-Control": "private"})

    assert response["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response["Content-Encoding"] == "identity"
    assert response["X-Accel-Buffering"] == "no"
    assert response["Cache-Control"] == "private"
    assert response["X-Own"] == "1"


def test_the_header_line_of_a_response_may_hold_any_of_them():
    assert sse(count(1))["Cache-Control"] == "no-store, no-transform"


# Sources


@pytest.mark.parametrize("make", [sse, jsonl])
@pytest.mark.parametrize("source", [[1, 2], iter([1]), "text", None])
def test_a_sync_source_is_refused(make, source):
    with pytest.raises(TypeError, match=f"{make.__name__}.*async generator"):
        make(source)


def test_a_coroutine_is_refused():
    async def forgot_to_yield():
        """Nothing to yield."""

    with pytest.raises(TypeError, match="yield"):
        sse(forgot_to_yield())


@pytest.mark.parametrize("wrong", [{"heartbeat": 0}, {"heartbeat": -1.0}, {"retry": 1.5}])
def test_wrong_times_are_refused(wrong):
    with pytest.raises(ValueError, match=r"heartbeat|retry"):
        sse(count(1), **wrong)


async def test_a_function_is_told_where_to_go_on():
    async def feed(last):
        yield f"after {last}"

    request = RequestFactory().get("/", headers={"Last-Event-ID": "42"})

    assert await read(sse(feed, request=request)) == b"data: after 42\n\n"
    assert await read(sse(feed, request=RequestFactory().get("/"))) == b"data: after None\n\n"


def test_a_function_needs_the_request():
    with pytest.raises(TypeError, match="request="):
        sse(count)


@pytest.mark.parametrize(("sent", "read_as"), [("7", "7"), ("é".encode().decode("latin-1"), "é"), ("\xff", "\ufffd")])
def test_last_event_id_is_utf8(sent, read_as):
    assert last_event_id(RequestFactory().get("/", headers={"Last-Event-ID": sent})) == read_as


async def test_a_source_is_read_and_closed_in_one_task_and_context():
    seen, variable = [], ContextVar("variable", default="outside")

    async def source():
        variable.set("inside")
        try:
            while True:
                seen.append((asyncio.current_task(), variable.get()))
                yield "event"
        finally:
            seen.append((asyncio.current_task(), variable.get()))

    stream = aiter(sse(source()))
    await anext(stream)
    await anext(stream)
    await stream.aclose()

    assert len(seen) == 3
    assert len(set(seen)) == 1
    assert variable.get() == "outside"


async def test_the_source_is_asked_only_when_the_last_event_was_taken():
    asked = []

    async def source():
        for number in range(10):
            asked.append(number)
            yield number

    stream = aiter(sse(source()))
    await anext(stream)
    await turn_over()
    assert asked == [0]
    await anext(stream)
    assert asked == [0, 1]
    await stream.aclose()


async def turn_over():
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


# Heartbeats


async def test_silence_is_filled_and_the_source_is_not_disturbed():
    go_on = asyncio.Event()

    async def source():
        await go_on.wait()
        yield "at last"

    stream = aiter(sse(source(), heartbeat=0.001))
    assert [await anext(stream), await anext(stream)] == [b":\n\n", b":\n\n"]
    go_on.set()
    rest = b"".join([part async for part in stream])

    assert rest.replace(b":\n\n", b"") == b"data: at last\n\n"


async def test_the_heartbeat_is_a_setting(settings):
    settings.DAF_VIEWS = {"HEARTBEAT": 0.001}
    stream = aiter(sse(wait_for_ever()))

    assert await anext(stream) == b":\n\n"
    await stream.aclose()


async def wait_for_ever():
    await asyncio.Event().wait()
    yield


# Ends


class Source:
    """An endless source that says what happens to it, and can be held at any point."""

    def __init__(self, pause=None):
        self.closed_in = None
        self.asked = 0
        self.pause = pause or asyncio.Event()

    def __aiter__(self):
        return self

    async def __anext__(self):
        self.asked += 1
        if self.asked > 2:
            await self.pause.wait()
        return self.asked

    async def aclose(self):
        await asyncio.sleep(0)
        assert self.closed_in is None, "closed twice"
        self.closed_in = asyncio.current_task()


async def others():
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


@pytest.mark.parametrize("taken", range(4))
@pytest.mark.parametrize("make", [lambda source: sse(source, retry=1), jsonl])
async def test_a_stream_that_is_left_closes_its_source(make, taken):
    source = Source()
    stream = aiter(make(source))
    for _ in range(min(taken, 2)):
        await anext(stream)
    await stream.aclose()

    assert (source.closed_in is not None) == (source.asked > 0)
    await turn_over()
    assert await others() == []


@pytest.mark.parametrize("steps", range(12))
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("make", [lambda source: sse(source, heartbeat=QUIET), jsonl])
async def test_cancellation_at_every_await_closes_the_source(make, steps, times):
    source = Source()

    async def send():
        async for _ in make(source):
            await asyncio.sleep(0)

    task = asyncio.create_task(send())
    for _ in range(steps):
        await asyncio.sleep(0)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([task])
    await turn_over()

    assert task.cancelled()
    assert await others() == []
    assert times == 2 or source.closed_in is not None or source.asked == 0


async def test_a_client_that_hangs_up_closes_the_source():
    source, sent = Source(), asyncio.Event()

    async def view(request):
        return sse(source, heartbeat=QUIET)

    with override_settings(ROOT_URLCONF=(path("", view),), MIDDLEWARE=[]):
        messages = [{"type": "http.request"}]

        async def receive():
            if messages:
                return messages.pop()
            await sent.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if b"data: 2" in message.get("body", b""):
                sent.set()

        await ASGIHandler()(scope(), receive, send)

    assert source.closed_in is not None
    assert source.asked == 3


async def test_draining_ends_events_and_says_when_to_come_back(settings):
    settings.DAF_VIEWS = {"RETRY_AFTER": 3}
    source = Source()
    reading = asyncio.create_task(read(sse(source, heartbeat=QUIET)))
    await turn_over()
    assert not reading.done()
    current_drain().request()

    assert await reading == b"data: 1\n\ndata: 2\n\nretry: 3000\n\n"
    assert source.closed_in is not None
    assert await others() == []


async def test_draining_does_not_lose_the_event_that_is_there():
    async def source():
        yield "one"
        current_drain().request()
        yield "two"
        yield "three"

    assert await read(sse(source(), retry=7)) == b"retry: 7\n\ndata: one\n\ndata: two\n\nretry: 7\n\n"


async def test_a_client_whose_source_ends_with_the_server_is_told_when_to_come_back():
    async def source():
        yield "one"
        current_drain().request()

    assert await read(sse(source(), retry=7)) == b"retry: 7\n\ndata: one\n\nretry: 7\n\n"


async def test_a_draining_server_does_not_begin():
    current_drain().request()
    source = Source()

    assert await read(sse(source, retry=7)) == b"retry: 7\n\nretry: 7\n\n"
    assert source.asked == 0
    assert source.closed_in is not None


async def test_draining_does_not_shorten_json_lines():
    current_drain().request()

    assert await read(jsonl(count(3))) == b"0\n1\n2\n"


# Errors


async def fail():
    yield "first"
    raise RuntimeError("SELECT secret FROM users")


async def send_all(response):
    """Send a response as Django's handler does; return what the client got and what the server was told."""
    answer, error = Exchange(), None
    with override_settings(MIDDLEWARE=[]):
        handler = ASGIHandler()
    try:
        await handler.send_response(response, answer.receive_from)
    except RuntimeError as raised:
        error = raised
    return answer, error


@pytest.mark.parametrize("make", [sse, jsonl])
async def test_a_source_that_fails_cuts_the_stream_off(make, caplog):
    answer, error = await send_all(make(fail()))

    assert not answer.is_complete
    assert b"first" in answer.body
    assert b"secret" not in answer.body
    [record] = [record for record in caplog.records if record.name == "daf_views"]
    assert record.exc_info[1] is error
    assert re.search(r"error id (\w{32})", record.getMessage())[1] in error.__notes__[0]


async def test_the_client_of_an_event_stream_is_given_the_error_id(caplog):
    answer, _ = await send_all(sse(fail()))

    error_id = re.fullmatch(rb"data: first\n\n: error (\w{32})\n\n", answer.body)[1].decode()
    assert error_id in caplog.text


@pytest.mark.parametrize("value", [float("nan"), object()])
@pytest.mark.parametrize("make", [sse, jsonl])
async def test_a_value_that_is_not_json_cuts_the_stream_off(make, value, caplog):
    async def source():
        yield [value]

    with pytest.raises((TypeError, ValueError)):
        await read(make(source()))
    assert "A stream was cut off" in caplog.text
    assert await others() == []


async def test_a_source_that_is_cancelled_from_outside_is_an_error():
    async def source():
        yield "first"
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="cancelled from outside"):
        await read(sse(source()))


async def test_a_source_that_fails_while_it_is_closed_is_logged(caplog):
    async def source():
        try:
            yield "first"
        finally:
            raise RuntimeError("cannot close")

    stream = aiter(sse(source()))
    await anext(stream)
    await stream.aclose()

    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "while it was closed" in record.getMessage()


# Responses


async def test_json_lines():
    async def source():
        yield {"text": "two\nlines"}
        yield [1, None]

    response = jsonl(source())

    assert response["Content-Type"] == "application/jsonl"
    assert await read(response) == b'{"text":"two\\nlines"}\n[1,null]\n'


def test_cannot_be_served_synchronously():
    with pytest.raises(TypeError, match="ASGI"):
        iter(sse(count(1)))


async def compressed(request):
    return sse(count(2)) if "sse" in request.GET else jsonl(count(2))


urlpatterns = [path("", compressed)]


@pytest.mark.parametrize("middleware", ["django.middleware.gzip", "daf_views.middleware.gzip"])
async def test_event_streams_are_not_compressed(middleware):
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[f"{middleware}.GZipMiddleware"]):
        answer = await exchange(ASGIHandler(), query=b"sse", headers=[("Accept-Encoding", "gzip")])
        lines = await exchange(ASGIHandler(), headers=[("Accept-Encoding", "gzip")])

    assert answer.body == b"data: 0\n\ndata: 1\n\n"
    assert lines.header("Content-Encoding") == "gzip"


@pytest.mark.django_db(transaction=True)
async def test_idle_streams_hold_no_connection(settings):
    settings.DAF_ORM = {"MAX_SIZE": 2}

    async def orders():
        yield await Author.objects.acount()
        await asyncio.Event().wait()

    streams = [aiter(sse(orders(), heartbeat=QUIET)) for _ in range(6)]
    assert [await anext(stream) for stream in streams] == [b"data: 0\n\n"] * 6
    waiting = [asyncio.create_task(anext(stream)) for stream in streams]
    await turn_over()

    stats = get_pool().get_stats()
    assert stats["pool_available"] == stats["pool_size"]
    await asyncio.gather(*(Author.objects.acount() for _ in range(4)))
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)


class Feed:
    """A source with something to close, which is asked for nothing if the stream is not read."""

    def __init__(self, *, clings=False):
        self.closed = 0
        self.clings = clings

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self.clings:
                return {"one": "more"}
            raise

    async def aclose(self):
        self.closed += 1


@pytest.mark.parametrize("stream", [sse, jsonl])
async def test_the_source_of_a_stream_that_never_began_is_closed(stream):
    feed = Feed()
    response = stream(feed)
    await response._iterator.aclose()
    assert feed.closed == 1


async def test_a_source_that_takes_its_cancellation_for_an_event_is_still_closed():
    feed = Feed(clings=True)
    reader = SourceReader(feed)
    reader.ask()
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await reader.aclose()
    assert feed.closed == 1
