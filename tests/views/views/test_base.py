import asyncio
import inspect
import threading

import pytest
from asgiref.sync import iscoroutinefunction
from django.contrib.auth.mixins import LoginRequiredMixin, PermissionRequiredMixin, UserPassesTestMixin
from django.db import connections
from django.db.transaction import non_atomic_requests
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncRequestFactory
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt

from daf_orm import PoolTimeout, cursor, get_pool
from daf_orm.test import count_hops
from daf_views.exceptions import ConflictError, StrayCancellationError
from daf_views.views import AsyncView
from tests.project.library.models import Event

request_factory = AsyncRequestFactory()


class Hello(AsyncView):
    async def get(self, request, name="world"):
        return HttpResponse(f"hello {name}")


async def respond(view, method="GET", **initkwargs):
    return await view.as_view(**initkwargs)(request_factory.generic(method, "/"))


def test_a_view_is_a_coroutine_function():
    assert iscoroutinefunction(Hello.as_view())
    assert iscoroutinefunction(Hello.dispatch)


async def test_a_request_costs_no_hop():
    with count_hops(at_most=0):
        assert (await respond(Hello)).content == b"hello world"


def test_a_synchronous_handler_is_refused_when_the_class_is_made():
    with pytest.raises(TypeError, match=r"Orders\.post\(\) is not async: write `async def post\(self, request\)`"):

        class Orders(AsyncView):
            def post(self, request):
                return HttpResponse()


def test_a_synchronous_handler_of_a_mixin_is_refused():
    class Mixin:
        def options(self, request):
            return HttpResponse()

    with pytest.raises(TypeError, match="options"):
        type("Orders", (Mixin, AsyncView), {})


def test_a_decorated_handler_is_no_synchronous_one():
    class Orders(AsyncView):
        @method_decorator(csrf_exempt)
        async def post(self, request):
            return HttpResponse()

    assert Orders


@pytest.mark.parametrize("options", [{"deadline": 0}, {"deadline": "1"}, {"deadline": True}, {"atomic": 1}])
def test_options_are_checked_when_the_class_is_made(options):
    with pytest.raises(TypeError, match=next(iter(options))):
        type("Orders", (AsyncView,), options)


async def test_head_is_answered_by_get():
    assert (await respond(Hello, "HEAD")).status_code == 200


async def test_options_names_the_methods_without_a_handler():
    response = await respond(Hello, "OPTIONS")
    assert (response.status_code, response.headers["Allow"]) == (200, "GET, HEAD, OPTIONS")


async def test_a_method_without_a_handler_is_405():
    response = await respond(Hello, "DELETE")
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_a_value_that_is_no_response_is_named():
    class Forgetful(AsyncView):
        async def get(self, request):
            return {"title": "Emma"}

    with pytest.raises(TypeError, match=r"Forgetful\.get\(\) returned dict"):
        await respond(Forgetful)


async def test_async_setup_runs_before_the_handler_with_the_arguments_of_the_url():
    class Greeting(Hello):
        async def async_setup(self, request, *args, **kwargs):
            self.greeting = f"good day {kwargs['name']}"

        async def get(self, request, name):
            return HttpResponse(self.greeting)

    response = await Greeting.as_view()(request_factory.get("/"), name="ada")
    assert response.content == b"good day ada"


async def test_a_view_without_a_url_can_be_dispatched():
    class Greeting(Hello):
        async def async_setup(self, request, *args, **kwargs):
            self.seen = (args, kwargs)

    view = Greeting()
    response = await view.dispatch(request_factory.get("/"), name="ada")
    assert (response.content, view.seen) == (b"hello ada", ((), {"name": "ada"}))


async def test_each_request_has_its_own_instance():
    class Counting(AsyncView):
        seen = 0

        async def get(self, request):
            self.seen += 1
            return HttpResponse(self.seen)

    view = Counting.as_view()
    assert [(await view(request_factory.get("/"))).content for _ in range(2)] == [b"1", b"1"]


@pytest.mark.parametrize("arguments", [{"deadline": 0}, {"atomic": 1}, {"services": {}}])
def test_arguments_of_as_view_are_checked(arguments):
    with pytest.raises(TypeError, match=next(iter(arguments))):
        Hello.as_view(**arguments)


def test_unknown_arguments_of_as_view_are_refused():
    with pytest.raises(TypeError, match="invalid keyword 'colour'"):
        Hello.as_view(colour="red")


def test_attributes_that_decorators_set_on_dispatch_are_on_the_view():
    exempt = method_decorator(csrf_exempt, name="dispatch")(type("Exempt", (Hello,), {}))
    assert exempt.as_view().csrf_exempt
    assert exempt.as_view().view_class is exempt


async def test_a_synchronous_dispatch_runs_off_the_event_loop():
    class Mixin:
        def dispatch(self, request, *args, **kwargs):
            self.thread = threading.get_ident()
            return super().dispatch(request, *args, **kwargs)

    class Orders(Mixin, AsyncView):
        async def get(self, request):
            return HttpResponse(f"{self.thread == threading.get_ident()}")

    assert (await respond(Orders)).content == b"False"


async def test_a_request_cancelled_in_a_synchronous_dispatch_leaves_no_coroutine():
    inside, go_on, coroutines = threading.Event(), threading.Event(), []

    class Mixin:
        def dispatch(self, request, *args, **kwargs):
            inside.set()
            go_on.wait(10)
            coroutines.append(super().dispatch(request, *args, **kwargs))
            return coroutines[0]

    task = asyncio.create_task(respond(type("Orders", (Mixin, Hello), {})))
    await asyncio.to_thread(inside.wait, 10)
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert inspect.getcoroutinestate(coroutines[0]) == inspect.CORO_CLOSED


async def test_a_mixin_further_along_the_mro_is_not_skipped():
    class Login:
        def dispatch(self, request, *args, **kwargs):
            return super().dispatch(request, *args, **kwargs)

    class Staff(Login):
        def dispatch(self, request, *args, **kwargs):
            return HttpResponse(status=403)

    base = type("Base", (Login, Hello), {})
    assert (await respond(type("Admin", (base, Staff), {}))).status_code == 403
    assert (await respond(base)).status_code == 200


def test_attributes_of_a_mixins_dispatch_further_along_the_mro_are_on_the_view():
    class Login:
        def dispatch(self, request, *args, **kwargs):
            return super().dispatch(request, *args, **kwargs)

    class Marked(Login):
        def dispatch(self, request, *args, **kwargs):
            return super().dispatch(request, *args, **kwargs)

        dispatch.mark = "marked"

    admin = type("Admin", (type("Base", (Login, Hello), {}), Marked), {})
    assert admin.as_view().mark == "marked"
    assert iscoroutinefunction(admin.dispatch)


@pytest.mark.parametrize(
    ("mixin", "name"),
    [
        (UserPassesTestMixin, "test_func"),
        (PermissionRequiredMixin, "has_permission"),
        (LoginRequiredMixin, "handle_no_permission"),
    ],
)
def test_an_async_method_that_an_access_mixin_would_take_for_true_is_refused(mixin, name):
    async def method(self):
        return False

    with pytest.raises(TypeError, match=rf"Shelf\.{name}\(\) is async.*write `def {name}`"):
        type("Shelf", (mixin, Hello), {name: method})


def test_an_async_access_method_that_was_set_later_is_refused_by_as_view():
    async def test_func(self):
        return False

    shelf = type("Shelf", (UserPassesTestMixin, Hello), {})
    shelf.test_func = test_func
    with pytest.raises(TypeError, match="test_func"):
        shelf.as_view()


async def test_a_synchronous_dispatch_that_looks_at_the_response_is_told_the_remedy():
    class Headers:
        def dispatch(self, request, *args, **kwargs):
            response = super().dispatch(request, *args, **kwargs)
            response["X-Frame-Options"] = "DENY"
            return response

    with pytest.raises(TypeError, match=r"await super\(\)\.dispatch"):
        await respond(type("Orders", (Headers, Hello), {}))


def test_as_view_looks_at_the_methods_that_it_is_given():
    class Cache(AsyncView):
        def purge(self, request):
            return HttpResponse()

    with pytest.raises(TypeError, match=r"Cache\.purge\(\) is not async"):
        Cache.as_view(http_method_names=["purge"])


async def test_a_synchronous_handler_that_setup_has_set_is_refused():
    class Late(AsyncView):
        def setup(self, request, *args, **kwargs):
            self.get = HttpResponse

    with pytest.raises(TypeError, match=r"Late\.get\(\) is not async"):
        await respond(Late)


async def test_an_api_error_is_answered_with_its_status():
    class Sold(AsyncView):
        async def get(self, request):
            raise ConflictError("Sold out.")

    assert (await respond(Sold)).status_code == 409


async def test_an_exhausted_pool_is_503_with_retry_after():
    class Busy(AsyncView):
        async def get(self, request):
            raise PoolTimeout("10 of 10 lent")

    response = await respond(Busy)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")


async def test_other_exceptions_are_left_to_the_handler():
    class Broken(AsyncView):
        async def get(self, request):
            raise LookupError

    with pytest.raises(LookupError):
        await respond(Broken)


# Deadline


async def test_a_missed_deadline_cancels_the_handler_and_is_504():
    cancelled = asyncio.Event()

    class Slow(AsyncView):
        async def get(self, request):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

    response = await respond(Slow, deadline=0.01)
    assert response.status_code == 504
    assert cancelled.is_set()


@pytest.mark.postgresql
async def test_a_missed_deadline_stops_the_statement(transactional_db):
    class Slow(AsyncView):
        deadline = 0.2

        async def get(self, request):
            async with cursor() as cur:
                await cur.execute("SELECT pg_sleep(30)")

    async with asyncio.timeout(10):
        assert (await respond(Slow)).status_code == 504


async def test_a_timeout_of_the_views_own_is_not_the_deadline():
    class Impatient(AsyncView):
        deadline = 5

        async def get(self, request):
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await respond(Impatient)


async def test_a_cancelled_view_is_cancelled_not_late():
    started = asyncio.Event()

    class Slow(AsyncView):
        deadline = 5

        async def get(self, request):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(respond(Slow))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_is_not_the_requests_is_a_bug():
    class Careless(AsyncView):
        async def get(self, request):
            task = asyncio.create_task(asyncio.Event().wait())
            task.cancel()
            await task

    with pytest.raises(StrayCancellationError):
        await respond(Careless)


# Transactions


class Writing(AsyncView):
    atomic = True
    status = 200

    async def async_setup(self, request, *args, **kwargs):
        await Event.objects.acreate(name="setup")

    async def get(self, request):
        await Event.objects.acreate(name="handler")
        if self.status is None:
            raise LookupError
        return HttpResponse(status=self.status)


async def names():
    return sorted([event.name async for event in Event.objects.all()])


async def test_an_atomic_view_commits_what_setup_and_handler_wrote(db):
    assert (await respond(Writing)).status_code == 200
    assert await names() == ["handler", "setup"]


async def test_an_atomic_view_rolls_back_on_an_exception(db):
    with pytest.raises(LookupError):
        await respond(Writing, status=None)
    assert await names() == []


async def test_an_atomic_view_rolls_back_on_a_5xx_and_returns_it(db):
    assert (await respond(Writing, status=503)).status_code == 503
    assert await names() == []


async def test_an_atomic_view_keeps_what_came_with_a_4xx(db):
    assert (await respond(Writing, status=404)).status_code == 404
    assert await names() == ["handler", "setup"]


async def test_a_deadline_rolls_back(db):
    class Slow(Writing):
        deadline = 0.5

        async def get(self, request):
            await Event.objects.acreate(name="late")
            await asyncio.Event().wait()

    assert (await respond(Slow)).status_code == 504
    assert await names() == []


async def test_a_view_that_is_not_atomic_keeps_what_it_wrote(db):
    with pytest.raises(LookupError):
        await respond(Writing, atomic=False, status=None)
    assert await names() == ["handler", "setup"]


async def test_a_stream_holds_no_transaction(transactional_db):
    class Stream(AsyncView):
        atomic = True

        async def get(self, request):
            async def content():
                yield str(get_pool().get_stats()["pool_size"] - get_pool().get_stats()["pool_available"]).encode()

            return StreamingHttpResponse(content())

    response = await respond(Stream)
    assert [part async for part in response] == [b"0"]


@pytest.fixture
def atomic_requests(monkeypatch):
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)  # noqa: FBT003 - a setting


urlpatterns = [
    path("writing", Writing.as_view(atomic=None, status=None)),
    path("false", Writing.as_view(atomic=False, status=None)),
]


@pytest.mark.parametrize(("url", "rows"), [("/writing", []), ("/false", ["handler", "setup"])])
async def test_atomic_requests_makes_views_atomic(db, async_client, atomic_requests, url, rows):
    async_client.raise_request_exception = False
    assert (await async_client.get(url)).status_code == 500
    assert await names() == rows


async def test_non_atomic_requests_is_heeded(db, atomic_requests):
    view = non_atomic_requests(Writing.as_view(atomic=None, status=None))
    with pytest.raises(LookupError):
        await view(request_factory.get("/"))
    assert await names() == ["handler", "setup"]


@pytest.mark.parametrize("name", ["permissions", "throttle", "throttles"])
def test_access_checks_that_a_plain_view_would_not_make_are_refused(name):
    with pytest.raises(TypeError, match=f"{name} would do nothing on an AsyncView: derive it from AsyncAPIView"):
        type("Plain", (AsyncView,), {name: [object]})


@pytest.mark.parametrize("name", ["async_setup", "admit", "receive", "handle_exception"])
def test_a_hook_that_is_not_async_is_refused(name):
    with pytest.raises(TypeError, match=rf"Plain\.{name}\(\) is not async"):
        type("Plain", (AsyncView,), {name: object})


def test_djangos_setup_must_not_be_async():
    async def setup(self, request):
        pass

    with pytest.raises(TypeError, match="name it async_setup"):
        type("Plain", (AsyncView,), {"setup": setup})
