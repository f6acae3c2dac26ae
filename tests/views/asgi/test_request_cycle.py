import asyncio
import threading

import pytest
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.signals import request_finished, request_started
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import path

from daf_orm.test import count_hops
from daf_views.asgi import get_asgi_application, request_cycle
from tests.support.exchange import exchange

closed: list[threading.Thread]
finished: asyncio.Event


@pytest.fixture(autouse=True)
def nothing_closed():
    global closed  # noqa: PLW0603 - views find it here
    closed = []


async def plain(request):
    return HttpResponse("hello")


async def with_closer(request):
    response = HttpResponse("hello")
    response._resource_closers.append(lambda: closed.append(threading.current_thread()))
    return response


class OwnClose(HttpResponse):
    def close(self):
        closed.append(threading.current_thread())
        super().close()


async def with_own_close(request):
    return OwnClose("hello")


async def use_cache(request):
    await caches["default"].aset("key", 1)
    return HttpResponse("hello")


def upload(request):
    return HttpResponse(request.FILES["file"].read())


urlpatterns = [
    path("plain", plain),
    path("closer", with_closer),
    path("own", with_own_close),
    path("cache", use_cache),
    path("upload", upload),
]


class Receiver:
    """Receives a signal, and keeps what it got."""

    def __init__(self, signal):
        self.signal = signal
        self.calls = []

    def __call__(self, **kwargs):
        self.calls.append((threading.current_thread(), kwargs))

    async def receive(self, **kwargs):
        self(**kwargs)


@pytest.fixture(params=[request_started, request_finished], ids=["started", "finished"])
def receiver(request):
    return Receiver(request.param)


async def test_a_synchronous_receiver_runs_off_the_loop_with_djangos_arguments(receiver):
    receiver.signal.connect(receiver)
    try:
        application = get_asgi_application()
        await exchange(application, path="/plain")
    finally:
        assert receiver.signal.disconnect(receiver)
    ((thread, kwargs),) = receiver.calls
    assert thread is not threading.current_thread()
    assert (kwargs["sender"], kwargs["signal"]) == (type(application), receiver.signal)
    assert ("scope" in kwargs) == (receiver.signal is request_started)


async def test_an_asynchronous_receiver_costs_no_hop_for_djangos_own(receiver):
    receiver.signal.connect(receiver.receive)
    try:
        application = get_asgi_application()
        with count_hops() as hops:
            await exchange(application, path="/plain")
    finally:
        receiver.signal.disconnect(receiver.receive)
    assert len(receiver.calls) == 1
    # Closing the response is one; the signal's Django receivers are none.
    assert hops.total == (0 if receiver.signal is request_started else 1)


async def test_a_receiver_that_a_thread_connects_while_others_are_looked_at_is_called_for_the_next_request(
    receiver, monkeypatch
):
    class Receivers(list):
        """Another thread connects one when these have been looked at for the first time."""

        is_fresh = True

        def __iter__(self):
            yield from super().__iter__()
            if self.is_fresh:
                self.is_fresh = False
                receiver.signal.connect(receiver)

    application = get_asgi_application()
    monkeypatch.setattr(request_cycle, "_heard", {})
    monkeypatch.setattr(receiver.signal, "receivers", Receivers(receiver.signal.receivers))
    try:
        await exchange(application, path="/plain")
        receiver.calls.clear()
        await exchange(application, path="/plain")
    finally:
        receiver.signal.disconnect(receiver)
    assert len(receiver.calls) == 1


async def test_a_receiver_for_another_sender_is_not_called(receiver):
    receiver.signal.connect(receiver, sender=Receiver)
    try:
        await exchange(get_asgi_application(), path="/plain")
    finally:
        receiver.signal.disconnect(receiver, sender=Receiver)
    assert receiver.calls == []


async def test_closers_of_a_response_run_off_the_loop():
    await exchange(get_asgi_application(), path="/closer")
    assert len(closed) == 1
    assert closed[0] is not threading.current_thread()


async def test_a_response_with_its_own_close_has_it_called_off_the_loop():
    await exchange(get_asgi_application(), path="/own")
    assert len(closed) == 1
    assert closed[0] is not threading.current_thread()


class ClosingCache(LocMemCache):
    def close(self, **kwargs):
        closed.append(threading.current_thread())


async def test_a_cache_that_must_be_closed_is_closed_off_the_loop():
    with override_settings(CACHES={"default": {"BACKEND": f"{__name__}.ClosingCache"}}):
        application = get_asgi_application()
        await exchange(application, path="/plain")
        assert closed == []
        await exchange(application, path="/cache")
        assert len(closed) == 1
    assert closed[0] is not threading.current_thread()


@override_settings(FILE_UPLOAD_HANDLERS=["django.core.files.uploadhandler.TemporaryFileUploadHandler"])
async def test_uploaded_files_on_disk_are_closed_off_the_loop():
    form = RequestFactory().post("/", {"file": SimpleUploadedFile("a.txt", b"contents")})
    headers = [("Content-Type", form.headers["Content-Type"]), ("Content-Length", form.headers["Content-Length"])]
    application = get_asgi_application()
    with count_hops() as hops:
        answer = await exchange(application, method="POST", path="/upload", body=form.body, headers=headers)
    assert answer.body == b"contents"
    assert set(hops.by_name) == {"upload", "_close_all"}
