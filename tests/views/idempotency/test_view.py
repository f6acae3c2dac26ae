"""Idempotency keys as a client sees them: on a view with each store, in and without a transaction."""

import asyncio
import gzip
import json
import re
from typing import Annotated

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.http import HttpResponse, StreamingHttpResponse
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from daf_orm import database_sync_to_async, transaction
from daf_views import AsyncAPIView, AsyncView
from daf_views.api import Cookie, Header
from daf_views.exceptions import ConflictError, NotAuthenticatedError, NotFoundError, ThrottledError
from daf_views.idempotency import IdempotencyKey
from daf_views.idempotency.exceptions import MalformedKeyError
from daf_views.idempotency.header import parse_key
from daf_views.idempotency.models import IdempotencyRecord
from daf_views.idempotency.stores.base import Store
from tests.project.library.models import Event
from tests.views.idempotency.shop import KEY, code_of, count, create, send, view

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
MODES = [("database", True), ("database", False), ("cache", True), ("cache", False)]


@pytest.fixture(params=MODES, ids=lambda mode: f"{mode[0]}-{'atomic' if mode[1] else 'not atomic'}")
def make_view(request, make_store):
    kind, atomic = request.param
    store = make_store(kind)

    def make(handler=None, **options):
        return view(handler, key=IdempotencyKey(store=store, **options), atomic=atomic)

    return make


def seen(response):
    headers = {name: value for name, value in response.headers.items() if name != "Idempotency-Replayed"}
    return response.status_code, response.content, headers


async def test_the_same_request_has_one_effect_and_one_answer(make_view):
    orders = make_view()
    first, second, third = [await send(orders) for _ in range(3)]
    assert first.status_code == 201
    assert first.headers["Location"] == "/7"
    assert seen(first) == seen(second) == seen(third)
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == third.headers["Idempotency-Replayed"] == "true"
    assert await count() == 1


async def test_a_quoted_key_is_the_same_key(make_view):
    orders = make_view()
    assert seen(await send(orders)) == seen(await send(orders, key=f'"{KEY}"'))


async def test_another_key_has_another_effect(make_view):
    orders = make_view()
    await send(orders)
    await send(orders, key=KEY[::-1])
    assert await count() == 2


async def test_without_a_key_each_request_has_its_effect(make_view):
    orders = make_view()
    assert [(await send(orders, key=None)).status_code for _ in range(2)] == [201, 201]
    assert await count() == 2


@pytest.mark.parametrize(
    "other",
    [
        {"body": b'{"book": 2}'},
        {"body": b'{"book":1}'},
        {"body": b""},
        {"method": "PATCH"},
        {"path": "/other"},
        {"path": "/orders?a=b"},
        {"content_type": "application/vnd.api+json"},
    ],
)
async def test_a_key_that_is_reused_is_refused(make_view, other):
    orders = make_view()
    await send(orders)
    refused = await send(orders, **other)
    assert (refused.status_code, code_of(refused)) == (422, "idempotency_key_reused")
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert await count() == 1


async def test_other_methods_have_no_key(make_view):
    orders = make_view()
    assert (await send(orders, method="PUT", key="garbage, really")).status_code == 201


async def test_a_required_key_that_is_missing_is_a_problem(make_view):
    orders = make_view(required=True)
    response = await send(orders, key=None)
    assert (response.status_code, code_of(response)) == (400, "idempotency_key_missing")
    assert await count() == 0


async def test_a_malformed_key_is_a_problem(make_view):
    response = await send(make_view(), key='"open')
    assert (response.status_code, code_of(response)) == (400, "idempotency_key_malformed")
    assert await count() == 0


@pytest.mark.parametrize("kind", ["database", "cache"])
def test_garbage_is_never_a_5xx(make_store, kind):
    orders = view(key=IdempotencyKey(store=make_store(kind)))

    @given(st.text(st.characters(max_codepoint=255)), st.binary(max_size=20))
    @hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    def garbage(key, body):
        assert async_to_sync(send)(orders, body, key=key).status_code in {201, 400, 422}

    garbage()


# Stored responses


@pytest.mark.parametrize("status", [200, 204, 303, 400, 404, 409, 410, 422])
async def test_a_final_answer_is_kept(make_view, status):
    async def post(self, request):
        await create("order")
        return HttpResponse("made", status=status)

    orders = make_view(post)
    assert [(await send(orders)).status_code for _ in range(2)] == [status, status]
    assert await count() == 1


@pytest.mark.parametrize("status", [401, 403, 408, 425, 429, 500, 503])
async def test_another_answer_is_not_and_the_retry_runs_anew(make_view, status):
    statuses = [status, 201]

    async def post(self, request):
        return HttpResponse(status=statuses.pop(0))

    orders = make_view(post)
    answers = [await send(orders) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status, 201, 201]
    assert "Idempotency-Replayed" not in answers[1].headers


@pytest.mark.parametrize("error", [NotFoundError("No such book."), ConflictError("Sold out.", code="sold_out")])
async def test_a_deliberate_error_that_is_raised_is_kept(make_view, error):
    calls = []

    async def post(self, request):
        calls.append(self)
        raise error

    orders = make_view(post)
    first, second = [await send(orders) for _ in range(2)]
    assert first.status_code == error.status
    assert seen(first) == seen(second)
    assert len(calls) == 1


@pytest.mark.parametrize("error", [LookupError(), PermissionDenied(), ThrottledError(retry_after=1), TimeoutError()])
async def test_another_error_is_not(make_view, error):
    errors = [error]

    async def post(self, request):
        if errors:
            raise errors.pop()
        return self.success(status=201)

    orders = make_view(post)
    first, second = [await send(orders) for _ in range(2)]
    assert first.status_code in {403, 429, 500}
    assert second.status_code == 201


async def test_an_unanswered_error_leaves_the_key_free(make_view, settings):
    settings.DEBUG_PROPAGATE_EXCEPTIONS = True
    errors = [LookupError()]

    async def post(self, request):
        if errors:
            raise errors.pop()
        return self.success(status=201)

    orders = make_view(post)
    with pytest.raises(LookupError):
        await send(orders)
    assert (await send(orders)).status_code == 201


async def test_a_missed_deadline_leaves_the_key_free(make_store):
    never = [True]

    async def post(self, request):
        if never and never.pop():
            await asyncio.Event().wait()
        return self.success(status=201)

    orders = view(post, key=IdempotencyKey(store=make_store("database")), deadline=1.0)
    assert [(await send(orders)).status_code for _ in range(2)] == [504, 201]


async def test_an_error_before_the_handler_claims_nothing(make_store):
    class Guarded(AsyncAPIView):
        idempotency = IdempotencyKey(store=make_store("database"))
        is_open = False

        async def authenticate(self, request):
            if not Guarded.is_open:
                raise NotAuthenticatedError

        async def post(self, request):
            return self.success(status=201)

    assert (await send(Guarded)).status_code == 401
    assert (await send(Guarded, b"not json")).status_code == 401
    Guarded.is_open = True
    assert (await send(Guarded, b"not json")).status_code == 400
    assert (await send(Guarded)).status_code == 201


async def test_an_answer_that_is_too_large_spends_the_key(make_view):
    async def post(self, request):
        await create("order")
        return HttpResponse(b"x" * 2000, status=201)

    orders = make_view(post, max_size=1000)
    first, second = [await send(orders) for _ in range(2)]
    assert (first.status_code, len(first.content)) == (201, 2000)
    assert (second.status_code, code_of(second)) == (409, "idempotency_answer_not_kept")
    assert json.loads(second.content)["answered_with"] == 201
    assert await count() == 1


async def test_a_stream_spends_its_key(make_view):
    async def chunks():
        yield b"a"

    async def post(self, request):
        await create("order")
        return StreamingHttpResponse(chunks())

    orders = make_view(post)
    first, second = [await send(orders) for _ in range(2)]
    assert b"".join([chunk async for chunk in first]) == b"a"
    assert (second.status_code, code_of(second)) == (409, "idempotency_answer_not_kept")
    assert await count() == 1


async def test_cookies_are_not_kept(make_view):
    async def post(self, request):
        response = self.success(status=201)
        response.set_cookie("session", "secret")
        response.headers["Set-Cookie"] = "other=secret"
        return response

    orders = make_view(post)
    first, second = [await send(orders) for _ in range(2)]
    assert "session" in first.cookies
    assert not second.cookies
    assert "Set-Cookie" not in second.headers


async def test_an_answer_without_a_content_type_is_replayed_without(make_view):
    async def post(self, request):
        return self.success(status=204)

    orders = make_view(post)
    await send(orders)
    assert "Content-Type" not in (await send(orders)).headers


async def test_bytes_are_replayed_as_they_were(make_view):
    async def post(self, request):
        return HttpResponse(bytes(range(256)), content_type="application/octet-stream")

    orders = make_view(post)
    assert [(await send(orders)).content for _ in range(2)] == [bytes(range(256))] * 2


async def test_an_upload_is_told_from_another(make_view):
    seen_files = []

    async def post(self, request):
        seen_files.append(request.FILES["file"].read())
        return self.success(status=201)

    def form(content):
        return b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + content + b"\r\n--b--\r\n"

    orders, kind = make_view(post), "multipart/form-data; boundary=b"
    statuses = [(await send(orders, form(each), content_type=kind)).status_code for each in (b"one", b"one", b"two")]
    assert statuses == [201, 201, 422]
    assert seen_files == [b"one"]


# The scope of a key


async def test_a_key_is_one_clients(make_view):
    orders = make_view()
    alice, bob = [await database_sync_to_async(User.objects.create_user)(name) for name in ("alice", "bob")]
    answers = [await send(orders, user=user, key="1") for user in (alice, bob, alice, bob)]
    assert [answer.status_code for answer in answers] == [201] * 4
    assert answers[0].content == answers[2].content != answers[1].content == answers[3].content
    assert await count() == 2


async def test_a_key_of_another_view_is_another_key(make_view):
    assert (await send(make_view())).content != (await send(make_view())).content


async def test_unauthenticated_clients_are_told_apart_by_address(make_view):
    orders = make_view()
    addresses = ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
    first = [(await send(orders, address=address)).content for address in addresses]
    again = [(await send(orders, address=address)).content for address in [*addresses[:2], "2001:db8::2"]]
    assert first == again
    assert len(set(first)) == 3


async def test_and_by_keys_that_cannot_be_guessed(make_view):
    response = await send(make_view(), key="short")
    assert (response.status_code, code_of(response)) == (400, "idempotency_key_malformed")


class Credential(AsyncAPIView):
    async def authenticate(self, request):
        request.auth = request.headers["X-Key"]

    async def post(self, request):
        return self.success({"id": await create("order")}, status=201)


async def test_a_credential_s_key_is_its_own(make_store):
    kind = type("Orders", (Credential,), {"idempotency": IdempotencyKey(store=make_store("database"))})
    answers = [(await send(kind, key="1", headers={"X-Key": each})).content for each in ("a", "b", "a")]
    assert answers[0] == answers[2] != answers[1]


async def test_a_proven_user_is_told_from_another_kind_with_the_same_number(make_store):
    class Customer:
        pk = 1

    class Employee:
        pk = 1

    class Orders(AsyncAPIView):
        idempotency = IdempotencyKey(store=make_store("database"))

        async def authenticate(self, request):
            return Customer() if "X-Customer" in request.headers else Employee()

        async def post(self, request):
            return self.success({"id": await create("order")}, status=201)

    assert (await send(Orders, key="1")).content != (await send(Orders, key="1", headers={"X-Customer": "1"})).content


async def test_a_custom_scope(make_store):
    async def device(request):
        return request.headers["Device"]

    orders = view(key=IdempotencyKey(store=make_store("database"), scope=device))
    requests = [("a", "192.0.2.1"), ("a", "192.0.2.2"), ("b", "192.0.2.1")]
    first, moved, other = [
        (await send(orders, key="1", headers={"Device": name}, address=address)).content for name, address in requests
    ]
    assert first == moved != other


async def test_a_scope_that_says_nothing_is_a_bug(make_store, caplog):
    orders = view(key=IdempotencyKey(store=make_store("database"), scope=lambda _: None))
    assert (await send(orders)).status_code == 500
    assert "return a str that tells clients apart" in caplog.text


# Stored data, and messages


async def test_neither_the_key_nor_the_body_of_a_request_is_stored():
    await send(view(), b'{"secret": "hunter2"}')
    row = await database_sync_to_async(lambda: repr(IdempotencyRecord.objects.values_list().get()))()
    assert KEY not in row
    assert "hunter2" not in row


class Broken(Store):
    """A store whose server is away."""

    @classmethod
    def from_settings(cls, settings):
        raise NotImplementedError

    async def claim(self, claim):
        raise ConnectionError("away")

    renew = finish = release = claim


async def test_a_store_that_fails_lets_nothing_through_and_logs_no_key(caplog):
    response = await send(view(key=IdempotencyKey(store=Broken())))
    assert (response.status_code, code_of(response)) == (503, "idempotency_unavailable")
    assert await count() == 0
    assert "The store of idempotency keys failed" in caplog.text
    assert KEY not in caplog.text


async def test_inside_an_atomic_block_nothing_is_claimed(caplog):
    async with transaction.atomic(using="other"):
        assert (await send(view())).status_code == 201
    async with transaction.atomic():
        assert (await send(view())).status_code == 500
    assert "Let the view be `atomic`" in caplog.text


async def test_a_broken_transaction_is_neither_committed_nor_stored():
    async def post(self, request):
        row = await create("order")
        try:
            await database_sync_to_async(Event._base_manager.create)(pk=row)
        except IntegrityError:
            return self.success(status=201)

    orders = view(post, atomic=True)
    assert (await send(orders)).status_code == 500
    assert await count() == 0
    assert await IdempotencyRecord.objects.acount() == 0


# Options


def test_the_header_is_described():
    parameter = IdempotencyKey(required=True).header_parameter()
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("Idempotency-Key", "header", True)
    assert (parameter["schema"]["minLength"], parameter["schema"]["maxLength"]) == (1, 255)
    assert IdempotencyKey.extra_statuses == (400, 409, 422)


@pytest.mark.parametrize("value", ["a", '"a b"', r'"a\"b\\"', '""', '"a', "a b", '"a"b', r'"\a"', "ä", '"\t"', "a,b"])
def test_the_description_of_the_header_matches_its_parser(value):
    pattern = IdempotencyKey().header_parameter()["schema"]["pattern"]
    try:
        parse_key(value)
    except MalformedKeyError:
        assert not re.search(pattern, value)
    else:
        assert re.search(pattern, value)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"methods": ["GET"]}, ValueError),
        ({"methods": []}, ValueError),
        ({"methods": ["post"]}, ValueError),
        ({"ttl": 0}, ValueError),
        ({"ttl": float("nan")}, ValueError),
        ({"lease": "10"}, ValueError),
        ({"max_size": True}, ValueError),
        ({"store": "memory"}, ValueError),
        ({"scope": "user"}, TypeError),
        ({"scope": lambda: "a"}, TypeError),
    ],
)
def test_a_wrong_option_is_refused_when_it_is_given(options, error):
    with pytest.raises(error, match=next(iter(options))):
        IdempotencyKey(**options)


def test_a_view_with_something_else_is_refused():
    with pytest.raises(TypeError, match="must be an IdempotencyKey"):
        type("Wrong", (AsyncAPIView,), {"idempotency": True})
    with pytest.raises(TypeError, match="must be an IdempotencyKey"):
        AsyncAPIView.as_view(idempotency=IdempotencyKey)
    with pytest.raises(TypeError, match="derive it from AsyncAPIView"):
        type("Plain", (AsyncView,), {"idempotency": IdempotencyKey()})


# The request of a key


async def test_a_key_is_one_hosts(make_view, settings):
    settings.ALLOWED_HOSTS = ["a.example", "b.example"]
    orders = make_view()
    first, again, other = [await send(orders, host=host) for host in ("a.example", "A.example", "b.example")]
    assert first.content == again.content != other.content
    assert await count() == 2


async def test_a_key_is_used_with_the_headers_that_the_handler_declares(make_view):
    async def post(
        self,
        request,
        tenant: Annotated[str, Header(alias="X-Tenant")],
        if_range: Annotated[str | None, Header()] = None,
        shop: Annotated[str | None, Cookie()] = None,
    ):
        return self.success({"id": await create(tenant)}, status=201)

    orders = make_view(post)
    sent = {"X-Tenant": "a"}
    assert (await send(orders, headers=sent)).content == (await send(orders, headers=sent)).content
    for headers in ({"X-Tenant": "b"}, sent | {"If-Range": "x"}, sent | {"Cookie": "shop=b"}):
        refused = await send(orders, headers=headers)
        assert (refused.status_code, code_of(refused)) == (422, "idempotency_key_reused")
    assert (await send(orders, headers=sent | {"X-Other": "b", "Cookie": "other=b"})).headers[
        "Idempotency-Replayed"
    ] == "true"
    assert await count() == 1


async def test_a_key_may_come_with_a_body_in_a_coding(make_view, settings):
    settings.DAF_VIEWS = {"CONTENT_CODINGS": ["gzip"]}
    orders = make_view()
    body = gzip.compress(b'{"book": 1}')
    first, again = [await send(orders, body, headers={"Content-Encoding": "gzip"}) for _ in range(2)]
    assert (first.status_code, first.content) == (201, again.content)
