import asyncio
import functools
import json
from typing import ClassVar

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, RequestAborted
from django.http import Http404, HttpResponse, HttpResponseForbidden
from django.middleware.csrf import CsrfViewMiddleware
from django.test import AsyncClient, AsyncRequestFactory, override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_protect, ensure_csrf_cookie, requires_csrf_token

from daf_orm.test import count_hops
from daf_views._django.requests import AsyncRequest
from daf_views.api import AsyncAPIView, FormParser, JSONParser
from daf_views.asgi import get_asgi_application
from daf_views.auth import Authentication
from daf_views.exceptions import NotAuthenticatedError, ServiceError, ThrottledError
from daf_views.http.request import takes_body_itself
from tests.support.exchange import exchange

requests = AsyncRequestFactory()


class Echo(AsyncAPIView):
    async def get(self, request):
        return self.success({"data": request.data})

    async def post(self, request):
        return self.success(request.data, status=201, headers={"Location": "/7"})

    delete = get


async def respond(view, method="GET", body=b"", content_type="application/json", **initkwargs):
    return await view.as_view(**initkwargs)(requests.generic(method, "/", body, content_type=content_type))


def view_that_raises(exc, **attributes):
    async def get(self, request):
        raise exc

    return type("Broken", (AsyncAPIView,), {"get": get, **attributes})


async def test_success_is_json_with_a_status_and_headers():
    response = await respond(Echo, "POST", b'{"a": 1}')
    assert (response.status_code, json.loads(response.content), response.headers["Location"]) == (201, {"a": 1}, "/7")


async def test_a_request_costs_no_hop():
    with count_hops(at_most=0):
        assert (await respond(Echo, "POST", b'{"a": 1}')).status_code == 201


async def test_a_success_without_content_has_none():
    class Gone(AsyncAPIView):
        async def delete(self, request):
            return self.success(status=204)

    response = await respond(Gone, "DELETE")
    assert (response.status_code, response.content) == (204, b"")
    assert "Content-Type" not in response.headers


async def test_an_error_is_a_problem():
    class Teapot(AsyncAPIView):
        async def get(self, request):
            return self.error("Short and stout.", status=418, handle="here")

    response = await respond(Teapot)
    assert (response.status_code, response.headers["Content-Type"]) == (418, "application/problem+json")
    assert json.loads(response.content)["handle"] == "here"


async def test_a_get_has_no_data_whatever_it_sends():
    assert json.loads((await respond(Echo, "GET", b"not json")).content) == {"data": None}


@pytest.mark.parametrize(
    ("exc", "status"), [(Http404(), 404), (PermissionDenied(), 403), (ThrottledError(), 429), (LookupError(), 500)]
)
async def test_every_exception_is_a_problem(exc, status):
    response = await respond(view_that_raises(exc))
    assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json")


async def test_a_failing_setup_is_a_problem():
    class Unset(Echo):
        def setup(self, request, *args, **kwargs):
            raise Http404

    assert (await respond(Unset)).headers["Content-Type"] == "application/problem+json"


async def test_a_method_without_a_handler_is_a_problem():
    response = await respond(Echo, "PATCH")
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, POST, DELETE, HEAD, OPTIONS")
    assert response.headers["Content-Type"] == "application/problem+json"


async def test_a_client_that_has_hung_up_is_no_bug(caplog):
    await respond(view_that_raises(RequestAborted()))
    assert caplog.records == []


async def test_a_failing_service_is_a_bug_with_its_name_in_the_log(caplog):
    def broken():
        raise LookupError("secret")

    view = view_that_raises(Http404(), services={"db": broken})
    response = await respond(view)
    assert (response.status_code, "secret" in response.text) == (500, False)
    assert isinstance(caplog.records[0].exc_info[1], ServiceError)


# Throttles, permissions, and their order


class Step:
    """A throttle and a permission that says when it was asked."""

    def __init__(self, log=None, name="", *, allows=True):
        self.log, self.name, self.allows = log if log is not None else [], name, allows

    async def check(self, request, view):
        self.log.append(self.name)

    async def has_permission(self, request, view):
        self.log.append(self.name)
        return self.allows


async def test_the_order_is_authentication_throttles_permissions_services_setup_handler():
    log = []

    class Ordered(AsyncAPIView):
        throttle = Step(log, "throttle")
        throttles = (Step(log, "throttles"),)
        permissions = (Step(log, "permission"),)
        services: ClassVar = {"it": lambda: log.append("service")}

        async def authenticate(self, request):
            log.append("authenticate")

        async def async_setup(self, request):
            log.append(f"setup {request.data}")

        async def post(self, request):
            log.append("handler")
            return self.success()

    await respond(Ordered, "POST", b"[1]")
    assert log == ["authenticate", "throttle", "throttles", "permission", "service", "setup [1]", "handler"]


class LateBody:
    """The work of the handler: a request whose body has not been received."""

    def __init__(self):
        self.received = []

    def request(self):
        request = requests.generic("POST", "/", b"[1]", content_type="application/json")
        body = request._stream

        async def receive(limit):
            self.received.append(limit)
            return body

        request.receive_body, request._stream = receive, None
        request.__class__ = AsyncRequest
        return request


@pytest.mark.parametrize(
    "attributes",
    [{"permissions": [Step(allows=False)]}, {"throttle": None, "permissions": [Step(allows=False)]}],
)
async def test_the_body_is_not_received_before_permissions_have_spoken(attributes):
    late = LateBody()
    assert (await Echo.as_view(**attributes)(late.request())).status_code == 403
    assert late.received == []


async def test_the_body_is_received_for_the_handler(settings):
    late = LateBody()
    response = await Echo.as_view()(late.request())
    assert json.loads(response.content) == [1]
    assert late.received == [settings.DATA_UPLOAD_MAX_MEMORY_SIZE]


async def test_another_media_type_is_refused_before_the_body_is_received():
    late = LateBody()
    assert (await Echo.as_view(parsers=[FormParser])(late.request())).status_code == 415
    assert late.received == []


def test_the_handler_is_told_that_the_body_is_received_later():
    assert takes_body_itself(Echo.as_view())


class Once:
    def __init__(self):
        self.count = 0

    async def check(self, request, view):
        self.count += 1
        if self.count > 1:
            raise ThrottledError(retry_after=2)


@pytest.mark.parametrize("attributes", [{"throttle": Once}, {"throttles": [Once]}, {"throttle": Once()}])
@pytest.mark.parametrize("by_as_view", [True, False])
async def test_a_throttle_counts_over_requests_as_a_class_or_an_instance(attributes, by_as_view):
    own = {} if by_as_view else {k: Once() if isinstance(v, Once) else v for k, v in attributes.items()}
    view = type("Limited", (Echo,), own).as_view(**(attributes if by_as_view else {}))
    answers = await asyncio.gather(*(view(requests.get("/")) for _ in range(3)))
    limited = sorted(answer.status_code for answer in answers)
    assert limited in ([200, 429, 429], [429, 429, 429])
    assert answers[-1].headers["Retry-After"] == "2"


@pytest.mark.parametrize(
    "attributes", [{"throttle": object()}, {"throttles": [dict]}, {"permissions": [object]}, {"parsers": ["json"]}]
)
def test_a_policy_without_its_method_is_refused_when_the_class_is_made(attributes):
    with pytest.raises(TypeError, match=r"which has no `async def"):
        type("Orders", (AsyncAPIView,), attributes)


async def test_permissions_may_be_classes():
    class Nobody(Step):
        def __init__(self):
            super().__init__(allows=False)

    assert (await respond(Echo, permissions=[Nobody])).status_code == 403


async def test_a_permission_that_forgets_to_await_lets_no_request_in(caplog):
    class Lazy:
        async def allows(self):
            return False

        async def has_permission(self, request, view):
            return self.allows()

    assert (await respond(Echo, permissions=[Lazy])).status_code == 500
    assert "Lazy.has_permission() returned a coroutine" in str(caplog.records[0].exc_info[1])


async def _forgotten():
    return False


async def _numbers():
    yield 1


class Allowing:
    def is_editor(self):
        return False


NO_DECISIONS = {
    "a coroutine": _forgotten,
    "a Future": lambda: asyncio.get_running_loop().create_future(),
    "a async_generator": _numbers,
    "a generator": lambda: (each for each in [False]),
    "the function is_editor()": lambda: Allowing().is_editor,
    "the class PermissionDenied": lambda: PermissionDenied,
    "a PermissionDenied": PermissionDenied,
    "a HttpResponse": lambda: HttpResponse(status=403),
    "a tuple": lambda: (False, "not yours"),
    "a NotImplementedType": lambda: NotImplemented,
    "a QuerySet": User.objects.none,
    "a UserManager": lambda: User.objects,
    "a partial": lambda: functools.partial(bool, 0),
}


@pytest.mark.parametrize(("kind", "make"), NO_DECISIONS.items(), ids=NO_DECISIONS)
async def test_a_value_that_is_no_decision_lets_no_request_in(kind, make, caplog):
    class Undecided:
        async def has_permission(self, request, view):
            return make()

    class Unknown(Authentication):
        async def authenticate(self, request):
            return make()

    assert (await respond(Echo, permissions=[Undecided])).status_code == 500
    assert (await respond(Echo, authentication=[Unknown])).status_code == 500
    assert f"has_permission() returned {kind}, which counts as true" in str(caplog.records[0].exc_info[1])
    assert f"returned {kind}, which would count as an authenticated user" in str(caplog.records[1].exc_info[1])


@pytest.mark.parametrize("decision", [True, 1, "editor", {"editor"}, Allowing()], ids=type)
async def test_other_values_that_are_true_let_the_request_in(decision):
    class Decided:
        async def has_permission(self, request, view):
            return decision

    assert (await respond(Echo, permissions=[Decided])).status_code == 200


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("permission", "permissions"),
        ("permission_classes", "permissions"),
        ("throttle_classes", "throttles"),
        ("throttle_scope", "throttles"),
        ("parser", "parsers"),
        ("parser_classes", "parsers"),
        ("authentication_classes", "authentication"),
    ],
)
def test_an_attribute_that_would_do_nothing_is_refused(name, meant):
    with pytest.raises(TypeError, match=rf"Orders\.{name} would do nothing: write .*{meant}"):
        type("Orders", (AsyncAPIView,), {name: [Step]})


async def test_policies_of_a_plain_mixin_are_instances_too():
    class Nobody(Step):
        def __init__(self):
            super().__init__(allows=False)

    secured = type("Secured", (), {"permissions": (Nobody,), "throttle": Once})
    view = type("Orders", (secured, Echo), {})
    answers = [(await respond(view)).status_code for _ in range(2)]
    assert answers == [403, 429]
    assert secured.throttle is Once


def test_policies_of_a_plain_mixin_are_checked():
    with pytest.raises(TypeError, match=r"which has no `async def has_permission"):
        type("Orders", (type("Secured", (), {"permissions": [object]}), AsyncAPIView), {})


def test_policies_of_a_mixin_further_along_the_mro_win_as_they_do_in_python():
    first, second = Step(), Step()
    login = type("Login", (), {"permissions": (first,)})
    staff = type("Staff", (login,), {"permissions": (second,)})
    base = type("Base", (login, Echo), {})
    assert base.permissions == type("Sub", (base,), {}).permissions == (first,)
    assert type("Admin", (base, staff), {}).permissions == (second,)


async def test_parsers_are_chosen_by_the_view():
    view = type("Strict", (Echo,), {"parsers": [JSONParser(limit=3)]})
    assert (await respond(view, "POST", b"[10]")).status_code == 413
    assert (await respond(view, "POST", b"a=1", "application/x-www-form-urlencoded")).status_code == 415


async def test_authenticate_sets_the_user():
    class Mine(AsyncAPIView):
        async def authenticate(self, request):
            if "X-Token" not in request.headers:
                raise NotAuthenticatedError
            return User(username="ada")

        async def get(self, request):
            return self.success([request.user.username, (await request.auser()).username])

    response = await Mine.as_view()(requests.get("/", headers={"X-Token": "7"}))
    assert json.loads(response.content) == ["ada", "ada"]
    response = await Mine.as_view()(requests.get("/"))
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")


# CSRF, under Django's own handler


urlpatterns = [path("echo", Echo.as_view()), path("unchecked", Echo.as_view(enforces_csrf=False))]


@pytest.fixture(params=[False, True], ids=["cookie", "session"])
async def browser(db, settings, request):
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ]
    settings.CSRF_USE_SESSIONS = request.param
    settings.CSRF_COOKIE_NAME = "csrftoken"
    client = AsyncClient(enforce_csrf_checks=True)
    await client.aforce_login(await User.objects.acreate(username="ada"))
    if request.param:
        session = await client.asession()
        await session.aset("_csrftoken", TOKEN)
        await session.asave()
    else:
        client.cookies["csrftoken"] = TOKEN
    return client


TOKEN = "a" * 32
FORM = ("Content-Type", "application/x-www-form-urlencoded")


BEHIND_IT = [
    ({}, 201),
    ({"Origin": "http://testserver"}, 201),
    ({"Origin": "https://trusted.example"}, 201),
    ({"Origin": "https://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Sec-Fetch-Site": "same-origin"}, 201),
    ({"Sec-Fetch-Site": "none"}, 201),
    ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Origin": "http://testserver", "Sec-Fetch-Site": "cross-site"}, 201),
    ({"Origin": "https://evil.example", "Authorization": "Bearer 7"}, 201),
    ({"Origin": "https://evil.example", "Authorization": "basic 7"}, 403),
    ({"Origin": "https://evil.example", "Authorization": "NEGOTIATE 7"}, 403),
    ({"Origin": "https://evil.example", "Authorization": ""}, 403),
]


@pytest.mark.parametrize(("headers", "status"), BEHIND_IT)
async def test_another_site_is_refused_without_a_session_too(settings, headers, status):
    settings.CSRF_TRUSTED_ORIGINS = ["https://trusted.example"]
    late = LateBody()
    request = late.request()
    request.META.update({f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()})
    assert (await Echo.as_view()(request)).status_code == status
    assert len(late.received) == (status == 201)


async def test_hooks_that_are_overridden_leave_no_check_out():
    class Own(Echo):
        async def admit(self, request):
            pass

        async def receive(self, request):
            request.data = None

    request = requests.post("/", headers={"Origin": "https://evil.example"})
    assert (await Own.as_view()(request)).status_code == 403
    request = requests.post("/", headers={"Cookie": "sessionid=7"})
    assert (await Own.as_view()(request)).status_code == 403


async def test_a_refusal_is_logged_where_django_does(caplog):
    request = requests.post("/", headers={"Origin": "https://evil.example"})
    response = await Echo.as_view()(request)
    (record,) = caplog.records
    assert (record.name, record.levelname, record.status_code) == ("django.security.csrf", "WARNING", 403)
    assert "https://evil.example" in record.getMessage()
    assert response._has_been_logged


async def test_the_check_of_the_origin_can_be_left_out():
    request = requests.post("/", headers={"Origin": "https://evil.example"})
    assert (await Echo.as_view(enforces_csrf=False)(request)).status_code == 201


def test_django_has_the_private_method_that_knows_origins():
    assert "_origin_verified" in vars(CsrfViewMiddleware)


async def test_a_test_client_that_enforces_no_checks_is_let_in():
    response = await AsyncClient().post("/echo", headers={"Origin": "https://evil.example"})
    assert response.status_code == 201


def failure(request, reason=""):
    return HttpResponseForbidden()


@pytest.mark.parametrize("decorator", [csrf_protect, ensure_csrf_cookie, requires_csrf_token])
@pytest.mark.parametrize("token", ["a" * 32, "b" * 32])
async def test_a_csrf_decorator_on_dispatch_finds_the_body(settings, decorator, token):
    settings.MIDDLEWARE, settings.CSRF_FAILURE_VIEW = [], f"{__name__}.failure"
    view = method_decorator(decorator, name="dispatch")(type("Form", (Echo,), {}))
    settings.ROOT_URLCONF = (path("", view.as_view()),)
    body = f"csrfmiddlewaretoken={token}".encode()
    answer = await exchange(
        get_asgi_application(), method="POST", body=body, headers=[FORM, ("Cookie", "csrftoken=" + "a" * 32)]
    )
    assert answer.status == (403 if decorator is csrf_protect and token != "a" * 32 else 201)


async def test_a_client_without_a_session_needs_no_token():
    client = AsyncClient(enforce_csrf_checks=True)
    assert (await client.post("/echo", [1], content_type="application/json")).status_code == 201


async def test_a_session_without_a_token_is_refused(browser):
    response = await browser.post("/echo", [1], content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (403, "csrf_failed")


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
async def test_every_unsafe_method_is_checked(browser, method):
    assert (await getattr(browser, method)("/echo")).status_code in {403, 405}


async def test_a_session_with_a_token_is_let_in(browser):
    response = await browser.post("/echo", [1], content_type="application/json", headers={"X-CSRFToken": TOKEN})
    assert response.status_code == 201


async def test_a_form_may_carry_its_token(browser):
    assert (await browser.post("/echo", {"csrfmiddlewaretoken": TOKEN})).status_code == 201


async def test_another_origin_is_refused(browser):
    headers = {"X-CSRFToken": TOKEN, "Origin": "https://evil.example"}
    response = await browser.post("/echo", [1], content_type="application/json", headers=headers)
    assert response.status_code == 403


async def test_a_safe_request_is_not_checked(browser):
    assert (await browser.get("/echo")).status_code == 200


async def test_the_check_can_be_left_out(browser):
    assert (await browser.post("/unchecked", [1], content_type="application/json")).status_code == 201


async def test_a_throttle_that_answers_instead_of_raising_lets_no_request_in():
    class Answers:
        async def check(self, request, view):
            return False

    class Throttled(AsyncAPIView):
        throttle = Answers

        async def get(self, request):
            return self.success("let in")

    request = AsyncRequestFactory().get("/")
    with override_settings(DEBUG=True):
        response = await Throttled.as_view()(request)
    assert response.status_code == 500
    assert "raise ThrottledError" in response.text


def test_authenticate_must_be_async():
    with pytest.raises(TypeError, match=r"authenticate\(\) is not async"):
        type("Plain", (AsyncAPIView,), {"authenticate": object})
