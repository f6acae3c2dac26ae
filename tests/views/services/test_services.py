import asyncio
import contextlib
import contextvars
import pickle
import re
import threading
from dataclasses import dataclass
from typing import ClassVar
from unittest.mock import AsyncMock, MagicMock, Mock

import pytest
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.db import IntegrityError
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import AsyncClient, AsyncRequestFactory, Client
from django.urls import path

from daf_orm import PoolTimeout, database_sync_to_async, transaction
from daf_orm.test import count_hops
from daf_views.api import AsyncAPIView
from daf_views.asgi import get_asgi_application
from daf_views.exceptions import ConflictError, ServiceError
from daf_views.services import override_services
from daf_views.views import AsyncView
from tests.project.library.models import Event
from tests.support.exchange import exchange

request = AsyncRequestFactory().get("/", headers={"X-Shop": "7"})


async def answer(services, handler=None, **attributes):
    """Answer a request by a view with these services; the handler gets the view."""

    async def get(self, request):
        return await handler(self) if handler else HttpResponse()

    view = type("Orders", (AsyncView,), {"services": services, "get": get, **attributes})
    return await view.as_view()(request)


async def made(services):
    """Return what the factories made."""
    seen = {}

    async def handler(view):
        seen.update({name: view.services[name] for name in view.services})
        return HttpResponse()

    await answer(services, handler)
    return seen


def recorded(log, name):
    @contextlib.asynccontextmanager
    async def manager():
        log.append(f"enter {name}")
        try:
            yield name
        except BaseException as error:
            log.append(f"{name} saw {type(error).__name__}")
            raise
        finally:
            log.append(f"exit {name}")

    return manager


@dataclass
class Shop:
    number: str


async def amake():
    return "coroutine"


@contextlib.contextmanager
def sync_manager():
    yield "manager"


@contextlib.asynccontextmanager
async def async_manager():
    yield "async manager"


async def amake_manager():
    return async_manager()


def generator():
    yield "generator"


async def async_generator():
    yield "async generator"


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        (lambda: "function", "function"),
        (lambda request: request.headers["X-Shop"], "7"),
        (lambda shop_request, /: shop_request.headers["X-Shop"], "7"),
        (lambda size=3: size, 3),
        (dict, {}),
        (amake, "coroutine"),
        (sync_manager, "manager"),
        (async_manager, "async manager"),
        (generator, "generator"),
        (async_generator, "async generator"),
        (lambda: async_manager(), "async manager"),
        (lambda: amake_manager(), "async manager"),
        (amake_manager, "async manager"),
        (database_sync_to_async(lambda: "hop"), "hop"),
    ],
)
async def test_every_kind_of_factory(factory, expected):
    assert await made({"it": factory}) == {"it": expected}


@pytest.mark.parametrize("kind", [Mock, MagicMock, AsyncMock])
async def test_a_mock_is_a_service_itself(kind):
    fake = kind()
    assert (await made({"it": lambda: fake}))["it"] is fake


@pytest.mark.parametrize("others", [{}, {"b": amake}])
async def test_a_coroutine_factory_has_a_separate_task(others):
    async def make():
        return {asyncio.current_task()}

    assert (await made({"it": make, **others}))["it"].isdisjoint({asyncio.current_task()})


async def test_plain_services_cost_no_hop():
    with count_hops(at_most=0):
        await made({"a": dict, "b": amake, "c": async_manager, "d": sync_manager})


async def test_a_factory_may_ask_for_other_services_by_name():
    services = {"line": lambda shop, clock: f"{shop.number} at {clock}", "clock": amake, "shop": lambda: Shop("7")}
    assert (await made(services))["line"] == "7 at coroutine"


async def test_an_optional_parameter_is_no_service():
    assert (await made({"shop": lambda clock="noon": clock, "clock": dict}))["shop"] == "noon"


async def test_coroutine_factories_run_concurrently():
    barrier = asyncio.Barrier(2)
    assert set(await made({"a": barrier.wait, "b": barrier.wait})) == {"a", "b"}


async def test_context_managers_run_in_the_task_of_the_request():
    tasks = []

    async def manager():
        tasks.append(asyncio.current_task())
        yield
        tasks.append(asyncio.current_task())

    await made({"a": manager, "b": manager})
    assert set(tasks) == {asyncio.current_task()}


async def test_a_context_variable_may_be_reset_by_its_service():
    variable = contextvars.ContextVar("variable", default="outside")

    async def manager():
        token = variable.set("inside")
        yield
        variable.reset(token)

    async def handler(view):
        return HttpResponse(variable.get())

    assert (await answer({"it": manager}, handler)).content == b"inside"
    assert variable.get() == "outside"


async def test_services_end_in_reverse():
    log = []
    await answer({"a": recorded(log, "a"), "b": recorded(log, "b")})
    assert log == ["enter a", "enter b", "exit b", "exit a"]


async def test_services_see_the_handlers_exception_and_cannot_swallow_it():
    log = []

    class Swallower:
        async def __aenter__(self):
            pass

        async def __aexit__(self, *exc_info):
            return True

    async def handler(view):
        raise LookupError

    with pytest.raises(LookupError):
        await answer({"a": recorded(log, "a"), "swallower": Swallower}, handler)
    assert log == ["enter a", "a saw LookupError", "exit a"]


async def test_services_end_when_the_request_is_cancelled():
    log, started = [], asyncio.Event()

    async def handler(view):
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(answer({"a": recorded(log, "a"), "b": recorded(log, "b")}, handler))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log[2:] == ["b saw CancelledError", "exit b", "a saw CancelledError", "exit a"]


async def test_services_end_when_cancelled_again_while_one_ends():
    log, ending = [], asyncio.Event()

    @contextlib.asynccontextmanager
    async def slow():
        try:
            yield
        finally:
            ending.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(answer({"a": recorded(log, "a"), "slow": slow}))
    await ending.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log[-1] == "exit a"


async def test_services_that_were_made_end_when_another_fails():
    log = []

    def broken(a):
        raise LookupError

    with pytest.raises(ServiceError):
        await answer({"a": recorded(log, "a"), "broken": broken})
    assert log[-1] == "exit a"


async def broken():
    raise LookupError("secret")


async def never():
    await asyncio.Event().wait()


@pytest.mark.parametrize("others", [{}, {"never": never}])
async def test_a_failing_factory_is_named(others):
    with pytest.raises(ServiceError, match=r"service 'db' of tests\.\S*Orders failed") as caught:
        await answer({"db": broken, **others})
    assert isinstance(caught.value.__cause__, LookupError)


def that_ends_with(error):
    async def service():
        yield
        raise error

    return service


async def test_a_service_that_cannot_be_ended_is_named_in_the_log_of_a_response_that_is_sent(caplog):
    log = []
    response = await answer({"a": recorded(log, "a"), "db": that_ends_with(LookupError())})
    assert response.status_code == 200
    (record,) = caplog.records
    assert re.search(r"service 'db' of .* could not be ended", str(record.exc_info[1]))
    assert re.fullmatch("[0-9a-f]{32}", record.error_id)
    assert log == ["enter a", "exit a"]  # and has seen nothing: it may be a transaction


@pytest.mark.parametrize("error", [IntegrityError("at the commit"), PoolTimeout()])
async def test_a_service_whose_end_may_be_the_commit_is_heeded(error):
    class Orders(AsyncAPIView):
        services: ClassVar = {"db": that_ends_with(error)}

        async def get(self, request):
            return self.success()

    assert (await Orders.as_view()(request)).status_code == (503 if isinstance(error, PoolTimeout) else 500)


async def test_the_deadline_does_not_cover_the_end_of_services():
    async def slow():
        yield
        await asyncio.sleep(0.05)

    assert (await answer({"slow": slow}, deadline=0.01)).status_code == 200


async def test_a_service_that_cannot_be_ended_does_not_hide_the_handlers_exception(caplog):
    async def unending():
        try:
            yield
        finally:
            raise RuntimeError

    async def handler(view):
        raise LookupError

    with pytest.raises(LookupError):
        await answer({"db": unending}, handler)
    assert "could not be ended" in caplog.text


@pytest.mark.parametrize(("error", "status"), [(ConflictError(), 409), (PoolTimeout(), 503)])
@pytest.mark.parametrize("others", [{}, {"never": never}])
async def test_an_error_with_an_answer_keeps_it(error, status, others):
    async def make():
        raise error

    assert (await answer({"db": make, **others})).status_code == status
    assert "service 'db'" in error.__notes__[0]


async def test_http_404_of_a_factory_stays_one():
    def make():
        raise Http404

    with pytest.raises(Http404):
        await answer({"db": make})


async def test_a_name_that_is_none_is_told_the_known_ones():
    async def handler(view):
        with pytest.raises(KeyError, match=r"no service 'clock'\. Known: shop"):
            view.services["clock"]
        with pytest.raises(AttributeError, match=r"no service 'clock'\. Known: shop"):
            _ = view.services.clock
        return HttpResponse()

    await answer({"shop": dict}, handler)


async def test_services_are_not_there_before_they_are_made():
    class Orders(AsyncView):
        services: ClassVar = {"shop": dict}

        def setup(self, request, *args, **kwargs):
            super().setup(request, *args, **kwargs)
            with pytest.raises(AttributeError, match="does not exist yet"):
                _ = self.services.shop

        async def get(self, request):
            return HttpResponse()

    await Orders.as_view()(request)


async def test_services_are_merged_along_the_mro():
    class Base(AsyncView):
        services: ClassVar = {"a": lambda: 1, "b": lambda: 1}

    class Orders(Base):
        services: ClassVar = {"b": lambda: 2}

        async def get(self, request):
            return HttpResponse(f"{self.services.a}{self.services.b}")

    assert (await Orders.as_view()(request)).content == b"12"


@pytest.mark.parametrize(
    ("services", "message"),
    [
        ({"db": 7}, "give a factory"),
        ({"not a name": dict}, "cannot be the name"),
        ({"_made": dict}, "cannot be the name"),
        ({"request": dict}, "cannot be the name"),
        ({"a": lambda b: b, "b": lambda a: a}, "circle: a, b"),
        ({"a": lambda a: a}, "circle: a"),
        ({"a": lambda x, y: x + y}, "asks for x, y"),
    ],
)
def test_services_that_cannot_work_are_refused_when_the_class_is_made(services, message):
    with pytest.raises((TypeError, ValueError), match=message):
        type("Orders", (AsyncView,), {"services": services})


async def test_a_transaction_may_be_a_service(db):
    async def handler(view):
        await Event.objects.acreate(name="lost")
        raise LookupError

    with pytest.raises(LookupError):
        await answer({"transaction": transaction.atomic}, handler)
    assert not await Event.objects.aexists()


# Streams


def streamed(log, content):
    async def get(self, request):
        return StreamingHttpResponse(content())

    return type("Stream", (AsyncView,), {"services": {"a": recorded(log, "a")}, "get": get}).as_view()


async def ended(log):
    """Wait for what happens soon, in another task."""
    async with asyncio.timeout(5):
        while log[-1] != "exit a":
            await asyncio.sleep(0)


async def two_parts():
    yield b"1"
    yield b"2"


async def test_a_service_lives_until_its_stream_has_ended():
    log = []
    response = await streamed(log, two_parts)(request)
    assert log == ["enter a"]
    assert [part async for part in response] == [b"1", b"2"]
    assert log == ["enter a", "exit a"]
    await sync_to_async(response.close, thread_sensitive=False)()  # as Django does, on a thread
    await asyncio.sleep(0)
    assert log == ["enter a", "exit a"]


async def test_a_service_ends_with_a_stream_that_is_dropped():
    log = []
    response = await streamed(log, two_parts)(request)
    async with contextlib.aclosing(aiter(response)) as parts:
        await anext(parts)
    await sync_to_async(response.close, thread_sensitive=False)()
    await ended(log)
    assert log[-2:] == ["a saw CancelledError", "exit a"]


@pytest.mark.parametrize("content", [two_parts, lambda: [b"1"]])
async def test_a_service_ends_with_a_stream_that_is_never_begun(content):
    log = []
    response = await streamed(log, content)(request)
    await sync_to_async(response.close, thread_sensitive=False)()
    await ended(log)
    assert log[-1] == "exit a"


async def test_a_stream_that_fails_shows_it_to_its_services():
    log = []

    async def failing():
        yield b"1"
        raise LookupError

    response = await streamed(log, failing)(request)
    with pytest.raises(LookupError):
        _ = [part async for part in response]
    assert log[-2:] == ["a saw LookupError", "exit a"]


async def test_a_service_ends_with_a_stream_that_something_replaces():
    log = []
    own = AsyncRequestFactory().get("/")
    response = await streamed(log, two_parts)(own)
    own.close()  # as Django's handlers do, with whatever response is sent
    own.close()
    await ended(log)
    await sync_to_async(response.close, thread_sensitive=False)()
    await asyncio.sleep(0)
    assert log == ["enter a", "a saw CancelledError", "exit a"]


async def test_a_stream_that_conditional_get_replaces_ends_its_services(settings):
    settings.MIDDLEWARE = ["django.middleware.http.ConditionalGetMiddleware"]
    log = []

    async def get(self, request):
        return StreamingHttpResponse(two_parts(), headers={"ETag": '"7"'})

    view = type("Stream", (AsyncView,), {"services": {"a": recorded(log, "a")}, "get": get}).as_view()
    settings.ROOT_URLCONF = (path("", view),)
    for application in (get_asgi_application(), ASGIHandler()):
        answered = await exchange(application, headers=[("If-None-Match", '"7"')])
        await ended(log)
        assert answered.status == 304
        assert [line for line in log if line.startswith("exit")] == ["exit a"]
        log.clear()


def test_a_stream_that_wsgi_drops_ends_its_services(db, settings):
    log = []

    class Service:  # no generator, which its event loop would have ended
        async def __aenter__(self):
            log.append("enter")

        async def __aexit__(self, *exc_info):
            log.append("exit")

    async def get(self, request):
        return StreamingHttpResponse(two_parts())

    view = type("Stream", (AsyncView,), {"services": {"a": Service}, "get": get}).as_view()
    settings.ROOT_URLCONF = (path("", view),)
    Client().get("/").close()
    assert log == ["enter", "exit"]


def that_renders(log):
    async def get(self, request):
        response = TemplateResponse(request, template=engines["django"].from_string("rendered"))
        response.add_post_render_callback(lambda _: log.append("rendered"))
        return response

    return type("Page", (AsyncView,), {"services": {"a": recorded(log, "a")}, "get": get}).as_view()


async def test_a_service_lives_until_its_response_has_been_rendered():
    log = []
    response = await that_renders(log)(AsyncRequestFactory().get("/"))
    assert log == ["enter a"]
    response.render()
    await ended(log)
    assert log == ["enter a", "rendered", "exit a"]


async def test_a_service_ends_with_a_response_that_is_never_rendered():
    log = []
    own = AsyncRequestFactory().get("/")
    await that_renders(log)(own)
    own.close()
    await ended(log)
    assert log == ["enter a", "exit a"]


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_service_that_cannot_be_ended_is_logged_off_the_event_loop(caplog, is_streamed):
    async def handler(view):
        if not is_streamed:
            raise LookupError
        return StreamingHttpResponse(two_parts())

    class Unending:
        async def __aenter__(self):
            pass

        async def __aexit__(self, kind, exc, trace):
            raise RuntimeError

    with contextlib.suppress(LookupError):
        response = await answer({"it": Unending}, handler)
        assert [part async for part in response] == [b"1", b"2"]
    (record,) = caplog.records
    assert record.thread != threading.get_ident()


# Overriding


class Orders(AsyncView):
    services: ClassVar = {"db": lambda: "real", "clock": lambda: "noon"}

    async def get(self, request):
        return HttpResponse(f"{self.services.db} {self.services.clock}")


class SpecialOrders(Orders):
    pass


class Others(Orders):
    services: ClassVar = {"db": lambda: "other"}


urlpatterns = [path("orders", Orders.as_view()), path("special", SpecialOrders.as_view())]


async def text(view):
    return (await view.as_view()(request)).content.decode()


async def test_services_are_overridden_within_a_block():
    with override_services(Orders, db=lambda: "fake"):
        assert await text(Orders) == "fake noon"
        assert await text(SpecialOrders) == "fake noon"
    assert await text(Orders) == "real noon"


async def test_services_are_overridden_in_every_view():
    with override_services(db=lambda: "fake"):
        assert [await text(view) for view in (Orders, Others)] == ["fake noon", "fake noon"]


async def test_the_inner_override_wins():
    with override_services(db=lambda: "outer"), override_services(Orders, db=lambda: "inner"):
        assert await text(Orders) == "inner noon"


@override_services(Orders, db=lambda: "fake")
async def test_an_override_decorates_coroutine_functions():
    assert (await AsyncClient().get("/orders")).content == b"fake noon"


@override_services(Orders, db=lambda: "fake")
def test_an_override_decorates_functions():
    assert asyncio.run(text(Orders)) == "fake noon"


def test_an_override_of_what_the_view_has_not_is_refused():
    with pytest.raises(LookupError, match=r"Orders has no service 'bd'\. Known: clock, db"):
        override_services(Orders, bd=dict)


def test_an_override_is_a_factory():
    with pytest.raises(TypeError, match="give a factory"):
        override_services(Orders, db="fake")


def test_an_override_may_ask_for_every_service_of_the_view():
    assert override_services(Orders, clock=lambda db: db)
    with pytest.raises(TypeError, match="asks for x, y"):
        override_services(Orders, clock=lambda x, y: (x, y))
    with pytest.raises(TypeError, match="circle"):
        override_services(Orders, clock=lambda db: db, db=lambda clock: clock)


def test_an_override_of_every_view_may_ask_for_services_that_are_not_overridden():
    assert override_services(clock=lambda db, cache: (db, cache))


@pytest.mark.parametrize("func", [type("TestOrders", (), {}), generator, async_generator])
def test_an_override_does_not_decorate_what_it_would_leave_at_once(func):
    with pytest.raises(TypeError, match="cannot decorate"):
        override_services(Orders, db=dict)(func)


async def test_a_response_whose_services_have_yet_to_end_can_be_cached():
    async def handler(view):
        return TemplateResponse(view.request, engines["django"].from_string("seven"))

    response = await answer({"shop": object}, handler)
    kept = pickle.loads(pickle.dumps(response.render()))
    assert kept.content == b"seven"
    assert [end() for end in kept._resource_closers] == [None]
