"""Stages: their order, which of them a request passes through, and those of a mixin."""

import asyncio
import sys
from typing import ClassVar

import pytest
from django.http import HttpResponse, HttpResponseForbidden
from django.test import AsyncRequestFactory

from daf_views import AsyncAPIView, AsyncView
from daf_views.exceptions import ForbiddenError, NotFoundError
from daf_views.idempotency import IdempotencyKey
from daf_views.throttling import AsyncRateThrottle
from daf_views.views import Stage
from daf_views.views.pipeline import ORDER, Pipeline
from tests.views.views.order_doc import COMMAND, FILE, with_order

requests = AsyncRequestFactory()


async def respond(view, method="GET", **initkwargs):
    return await view.as_view(**initkwargs)(requests.generic(method, "/", b""))


def logs(name):
    """Return a step that writes its name down."""
    return lambda view, request: request.log.append(name)  # noqa: ARG005 - a step


async def answer(self, request):
    request.log.append("handler")
    return HttpResponse()


async def log_of(view):
    request = requests.get("/")
    request.log = []
    await view.as_view()(request)
    return request.log


def test_the_documentation_prints_the_order():
    page = FILE.read_text()
    assert page == with_order(page), f"docs/guides/views.md is out of date: run {COMMAND}"
    assert "| `authenticate` |" in page


def test_each_place_is_a_stage_of_an_api_view_or_of_a_mixin():
    mixins = {"access", "condition"}
    assert {stage.name for stage in Pipeline.of(AsyncAPIView).stages if stage.after is None} == ORDER.keys() - mixins


# A mixin with a stage


class Tenants:
    """Finds the tenant, which permissions may ask for."""

    async def find_tenant(self, request):
        if request.headers.get("X-Tenant") != "library":
            raise NotFoundError("There is no such tenant.")
        self.tenant = "library"

    stages = (Stage(name="tenant", run=find_tenant, after="authenticate"),)


class OfTheTenant:
    async def has_permission(self, request, view):
        return view.tenant == "library"


class Books(Tenants, AsyncAPIView):
    permissions = (OfTheTenant,)

    async def get(self, request):
        return self.success(self.tenant)


async def test_a_mixin_adds_a_stage_that_permissions_see():
    response = await Books.as_view()(requests.get("/", headers={"X-Tenant": "library"}))
    assert (response.status_code, response.content) == (200, b'"library"')


async def test_a_stage_refuses_a_request_by_an_error():
    response = await respond(Books)
    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("base", [AsyncView, AsyncAPIView])
async def test_stages_are_in_the_order_of_their_places_and_then_of_the_mro(base):
    class Second:
        stages = (
            Stage(name="in the transaction", run=logs("transaction"), after="transaction"),
            Stage(name="second", run=logs("second"), after="body"),
        )

    class First:
        stages = (Stage(name="first", run=logs("first"), after="body"),)

    class Ordered(First, Second, base):
        get = answer
        stages = (
            Stage(name="admitted", run=logs("admitted"), after="admit"),
            Stage(name="own", run=logs("own"), after="body"),
            Stage(name="permitted", run=logs("permitted"), after="permit"),
        )

        async def admit(self, request):
            request.log.append("admit")
            await super().admit(request)

        async def async_setup(self, request):
            request.log.append("setup")

    assert await log_of(Ordered) == [
        *("admit", "admitted", "permitted", "own", "first", "second", "transaction", "setup", "handler"),
    ]


async def test_a_stage_around_the_rest_sees_the_response_or_answers_itself():
    class Around(AsyncView):
        async def tag(self, request, proceed):
            if "X-Stop" in request.headers:
                return HttpResponse(status=418)
            response = await proceed()
            response["X-Tag"] = "1"
            return response

        get = answer
        stages = (Stage(name="tag", around=tag, after="permit"),)

    request = requests.get("/")
    request.log = []
    assert (await Around.as_view()(request))["X-Tag"] == "1"
    assert (await Around.as_view()(requests.get("/", headers={"X-Stop": "1"}))).status_code == 418


async def test_a_stage_is_passed_over_where_the_view_does_not_use_it():
    class Counted(AsyncView):
        counts: ClassVar = ()
        get = answer
        stages = (Stage(name="count", run=logs("count"), after="body", uses="counts"),)

    class Used(Counted):
        counts: ClassVar = ("one",)

    assert await log_of(Counted) == ["handler"]
    assert await log_of(Used) == ["count", "handler"]


async def test_a_stage_with_the_name_of_a_place_replaces_the_stage_there():
    class Replaced(AsyncView):
        get = answer
        stages = (Stage(name="body", run=logs("body")),)

        async def receive(self, request):
            raise AssertionError

    class Again(Replaced):
        stages = (Stage(name="body", run=logs("again")),)

    assert await log_of(Replaced) == ["body", "handler"]
    assert await log_of(Again) == ["again", "handler"]


# Refused stages


def returns_a_response(view, request):
    return HttpResponseForbidden()


async def returns_a_response_later(view, request):
    return HttpResponseForbidden()


@pytest.mark.parametrize("step", [returns_a_response, returns_a_response_later])
async def test_a_response_that_a_step_returns_lets_no_request_in(step):
    class Lax(AsyncView):
        get = answer
        stages = (Stage(name="lax", run=step, after="body"),)

    with pytest.raises(TypeError, match=r"the stage returns_a_response\w*\(\) returned a HttpResponseForbidden"):
        await log_of(Lax)


async def around(view, request, proceed):
    return await proceed()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "x", "run": logs("")}, "'x' has no place: give it `after`, one of deadline, admit,"),
        ({"name": "x", "run": logs(""), "after": "bodies"}, "'x' has no place"),
        ({"name": "body", "run": logs(""), "after": "permit"}, "'body' has the name of a place"),
        ({"name": "x", "run": logs(""), "after": "handler"}, "'x' cannot follow the handler"),
        ({"name": "x", "after": "body"}, "'x' must have either"),
        ({"name": "x", "after": "body", "run": logs(""), "around": around}, "'x' must have either"),
        ({"name": "x", "after": "throttle", "around": around}, "'x' is a step of admit()"),
    ],
)
def test_a_stage_that_cannot_be_is_refused(options, message):
    with pytest.raises(TypeError, match=message.replace("(", r"\(").replace(")", r"\)")):
        Stage(**options)


@pytest.mark.parametrize("stages", [["body"], Stage(name="body", run=logs("")), "body", None])
def test_stages_that_are_none_are_refused(stages):
    with pytest.raises(TypeError, match=r"Odd\.stages must be a list"):
        type("Odd", (AsyncView,), {"stages": stages})


def test_an_admit_that_leaves_out_a_stage_is_refused():
    async def admit(self, request):
        raise ForbiddenError

    with pytest.raises(TypeError, match=r"the stage 'tenant' would not run, because Closed\.admit\(\) does not call"):
        type("Closed", (Tenants, AsyncView), {"admit": admit})


# The modules of a request


class Plain(AsyncAPIView):
    async def get(self, request):
        return self.success(None)


class Typed(Plain):
    async def get(self, request) -> dict[str, int]:
        return {}


class Throttled(Plain):
    throttle = AsyncRateThrottle("1000/second")


class Keyed(Plain):
    idempotency = IdempotencyKey(methods=["POST"])

    async def post(self, request):
        return self.success(None)


async def passed(view, method="GET", **initkwargs):
    """Return the packages and modules of DAF that a request calls functions of."""
    function, seen = view.as_view(**initkwargs), set()

    def watch(frame, event, _):
        if event == "call" and (name := frame.f_globals.get("__name__", "")).startswith("daf_views."):
            seen.add(name.removeprefix("daf_views.").partition(".")[0])

    sys.setprofile(watch)
    try:
        response = await function(requests.generic(method, "/", b""))
    finally:
        sys.setprofile(None)
    assert response.status_code == 200
    return seen


async def test_a_request_passes_through_nothing_of_features_that_its_view_does_not_use():
    features = {"idempotency", "throttling", "handlers"}
    assert await passed(Plain) & features == set()
    assert await passed(Typed) & features == {"handlers"}
    assert await passed(Throttled) & features == {"throttling"}
    assert await passed(Keyed, "POST") & features == {"idempotency"}


async def test_a_request_passes_through_what_as_view_or_the_instance_uses():
    class Late(Plain):
        def setup(self, request, *args, **kwargs):
            super().setup(request, *args, **kwargs)
            self.throttles = [AsyncRateThrottle("1000/second", scope="late")]

    assert "throttling" in await passed(Plain, throttle=AsyncRateThrottle("1000/second", scope="given"))
    assert "throttling" in await passed(Late)


@pytest.mark.parametrize("base", [AsyncView, AsyncAPIView])
async def test_hooks_of_the_instance_are_called(base):
    class Hooked(base):
        get = answer

        def setup(self, request, *args, **kwargs):
            super().setup(request, *args, **kwargs)
            for name in ("admit", "receive", "async_setup"):
                setattr(self, name, self.logged(name))

        def logged(self, name):
            async def hook(request):
                request.log.append(name)

            return hook

    assert await log_of(Hooked) == ["admit", "receive", "async_setup", "handler"]


async def test_a_feature_that_admit_takes_up_is_used():
    class Late(AsyncAPIView):
        get = answer

        async def admit(self, request):
            self.throttle = AsyncRateThrottle("1/day", scope="admit")
            self.permissions = [Closed()]
            await super().admit(request)

    class Closed:
        async def has_permission(self, request, view):
            return False

    assert [(await respond(Late)).status_code for _ in range(2)] == [403, 429]


async def test_an_override_of_admit_does_not_let_requests_past_the_throttle():
    class Own(AsyncAPIView):
        throttle = AsyncRateThrottle("1/day", scope="own")

        async def admit(self, request):
            pass

        async def get(self, request):
            return self.success(None)

    assert [(await respond(Own)).status_code for _ in range(2)] == [200, 429]


async def test_a_throttle_that_a_handler_asks_tells_its_limit():
    throttle = AsyncRateThrottle("1/day", scope="by hand")

    class Asks(AsyncView):
        async def get(self, request):
            await throttle.check(request, self)
            return HttpResponse()

    responses = [await respond(Asks) for _ in range(2)]
    assert [(each.status_code, each["RateLimit"].partition(";t")[0]) for each in responses] == [
        (200, '"by hand";r=0'),
        (429, '"by hand";r=0'),
    ]


async def test_a_deadline_of_no_time_is_one():
    class Late(AsyncView):
        def setup(self, request, *args, **kwargs):
            super().setup(request, *args, **kwargs)
            self.deadline = 0

        async def get(self, request):
            await asyncio.Event().wait()

    assert (await respond(Late)).status_code == 504
