import asyncio
import datetime as dt
import json
from http import HTTPStatus

import pytest
from asgiref.sync import async_to_sync
from django.db.models import F
from django.http import HttpResponse
from django.shortcuts import aget_object_or_404
from django.test import AsyncClient, AsyncRequestFactory
from django.urls import path
from hypothesis import given, settings
from hypothesis import strategies as st

from daf_views import AsyncAPIView, AsyncView
from daf_views.conditional import ConditionalView, EntityTag, compare_and_set, parse_tags, tag_response
from daf_views.middleware import thread_free
from tests.project.library.models import Counter

requests = AsyncRequestFactory()
NOON = dt.datetime(2026, 1, 1, 12, 0, 0, 700000, tzinfo=dt.UTC)
AT_NOON, BEFORE_NOON = "Thu, 01 Jan 2026 12:00:00 GMT", "Thu, 01 Jan 2026 11:59:59 GMT"


class Thing(ConditionalView, AsyncAPIView):
    """Something of version 7, or whatever as_view() says."""

    version = 7

    async def get(self, request):
        self.check_preconditions(request, self.version)
        return self.success({"it": "is"})

    async def put(self, request):
        self.check_preconditions(request, self.version)
        return tag_response(self.success({"it": "was"}), 8)

    patch = delete = post = put


async def answer(method="GET", headers=None, view=Thing, **options):
    return await view.as_view(**options)(requests.generic(method, "/", headers=headers or {}))


# Entity tags


@pytest.mark.parametrize(
    ("version", "tag"),
    [
        (7, '"7"'),
        ("a1b2", '"a1b2"'),
        ('so, "it" is ü', '"so%2C%20%22it%22%20is%20%C3%BC"'),
        (NOON, '"2026-01-01T12:00:00.700000+00:00"'),
        (NOON.astimezone(dt.timezone(dt.timedelta(hours=2))), '"2026-01-01T12:00:00.700000+00:00"'),
        (dt.datetime(2026, 1, 1), '"2026-01-01T00:00:00.000000"'),  # noqa: DTZ001 - of a site without time zones
    ],
)
def test_a_version_has_a_strong_tag(version, tag):
    assert str(EntityTag.of(version)) == tag
    assert parse_tags(tag) == [EntityTag.of(version)]


@pytest.mark.parametrize("version", [True, 1.5, b"7", object()])
def test_an_invalid_version_is_refused(version):
    with pytest.raises(TypeError, match="A version is a str, an int or a datetime, not"):
        EntityTag.of(version)


def test_the_tag_of_text_cannot_be_another_texts():
    assert EntityTag.of("a,b") != EntityTag.of("a%2Cb")


@pytest.mark.parametrize(
    ("field", "tags"),
    [
        ('"a"', ['"a"']),
        ('"a", W/"b" ,"c"', ['"a"', 'W/"b"', '"c"']),
        (',, "a",,"b", ', ['"a"', '"b"']),
        ('"a,b"', ['"a,b"']),
        ('""', ['""']),
    ],
)
def test_a_list_is_parsed(field, tags):
    assert [str(tag) for tag in parse_tags(field)] == tags


def test_a_star_is_none():
    assert parse_tags(" * ") is None


@pytest.mark.parametrize("field", ["", ",", "a", '"a', '"a" "b"', '"a", *', '"a b"', 'w/"a"', '"a", b', '"a"b'])
def test_an_invalid_list_is_refused(field):
    with pytest.raises(ValueError, match="not a list of entity tags"):
        parse_tags(field)


# Conditions. RFC 9110 §13.1 and §13.2.2


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "POST"])
async def test_a_request_without_conditions_is_answered(method):
    assert (await answer(method)).status_code == 200


async def test_a_response_has_the_tag_of_the_version():
    assert (await answer()).headers["ETag"] == '"7"'
    assert (await answer("PUT")).headers["ETag"] == '"8"'


@pytest.mark.parametrize("field", ['"7"', 'W/"7"', '"6", "7"', "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_client_with_the_current_version_gets_a_304(method, field):
    response = await answer(method, {"If-None-Match": field})
    assert (response.status_code, response.content, response.headers["ETag"]) == (304, b"", '"7"')


@pytest.mark.parametrize("field", ['"6"', 'W/"8", "9"', "7", "", '"'])
async def test_a_client_with_another_or_a_malformed_version_gets_the_representation(field):
    response = await answer(headers={"If-None-Match": field})
    assert (response.status_code, json.loads(response.content)) == (200, {"it": "is"})


@pytest.mark.parametrize(
    ("field", "status"),
    [('"7"', 200), ('"6", "7"', 200), ("*", 200), ('"6"', 412), ('W/"7"', 412), ("7", 400), ("", 400)],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST", "GET"])
async def test_if_match_compares_strongly(method, field, status):
    response = await answer(method, {"If-Match": field})
    assert response.status_code == status
    if status != 200:
        codes = {412: "precondition_failed", 400: "malformed_precondition"}
        assert json.loads(response.content)["code"] == codes[status]


@pytest.mark.parametrize(("field", "status"), [('"7"', 412), ('W/"7"', 412), ("*", 412), ('"6"', 200), ("7", 400)])
async def test_if_none_match_keeps_from_writing(field, status):
    assert (await answer("PUT", {"If-None-Match": field})).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-Match": "*"}, 412),
        ({"If-Match": '"7"'}, 412),
        ({"If-None-Match": "*"}, 200),
        ({"If-None-Match": '"7"'}, 200),
    ],
)
async def test_a_missing_resource_matches_nothing(headers, status):
    assert (await answer("PUT", headers, version=None)).status_code == status


@pytest.mark.parametrize(
    ("field", "read", "write"), [(AT_NOON, 200, 200), (BEFORE_NOON, 412, 412), ("yesterday", 200, 200), ("", 200, 200)]
)
async def test_if_unmodified_since_needs_a_time(field, read, write):
    headers = {"If-Unmodified-Since": field}
    assert (await answer("GET", headers, version=NOON)).status_code == read
    assert (await answer("PUT", headers, version=NOON)).status_code == write
    assert (await answer("PUT", headers)).status_code == 200  # a number is no time


async def test_if_match_goes_before_if_unmodified_since():
    headers = {"If-Match": str(EntityTag.of(NOON)), "If-Unmodified-Since": BEFORE_NOON}
    assert (await answer("PUT", headers, version=NOON)).status_code == 200


@pytest.mark.parametrize(("field", "status"), [(AT_NOON, 304), (BEFORE_NOON, 200), ("yesterday", 200)])
async def test_if_modified_since_is_for_reading(field, status):
    response = await answer("GET", {"If-Modified-Since": field}, version=NOON)
    assert (response.status_code, response.headers["Last-Modified"]) == (status, AT_NOON)
    assert (await answer("PUT", {"If-Modified-Since": field}, version=NOON)).status_code == 200


async def test_if_none_match_goes_before_if_modified_since():
    headers = {"If-None-Match": '"6"', "If-Modified-Since": AT_NOON}
    assert (await answer("GET", headers, version=NOON)).status_code == 200


async def test_if_match_goes_before_if_none_match():
    headers = {"If-Match": '"6"', "If-None-Match": '"7"'}
    assert (await answer("GET", headers)).status_code == 412


FIELDS = st.text(st.sampled_from('"W/*, 67a\\\x80ÿ'), max_size=12) | st.text(
    st.characters(max_codepoint=255), max_size=12
)


@settings(deadline=None)
@given(
    method=st.sampled_from(["GET", "HEAD", "PUT"]),
    headers=st.dictionaries(
        st.sampled_from(["If-Match", "If-None-Match", "If-Unmodified-Since", "If-Modified-Since"]), FIELDS
    ),
    version=st.sampled_from([7, "a", NOON, None]),
)
def test_no_condition_of_a_client_is_a_bug(method, headers, version):
    response = async_to_sync(answer)(method, headers, version=version)
    assert response.status_code in {200, 304, 400, 412}


# Requirements of a view


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_view_may_require_if_match(method):
    response = await answer(method, requires_if_match=True)
    assert (response.status_code, json.loads(response.content)["code"]) == (428, "precondition_required")
    assert (await answer(method, {"If-None-Match": '"6"'}, requires_if_match=True)).status_code == 428
    assert (await answer(method, {"If-Match": '"7"'}, requires_if_match=True)).status_code == 200


async def test_nothing_is_required_to_read_or_create():
    assert (await answer("GET", requires_if_match=True)).status_code == 200
    assert (await answer("POST", requires_if_match=True)).status_code == 200
    assert (await answer("PUT", requires_if_match=True, version=None)).status_code == 200


async def test_a_handler_that_forgets_the_check_fails(caplog):
    class Careless(ConditionalView, AsyncAPIView):
        requires_if_match = True

        async def put(self, request):
            return self.success()

        async def patch(self, request):
            return self.error("No.")

    assert (await answer("PUT", view=Careless)).status_code == 500
    assert "did not call self.check_preconditions" in str(caplog.records[0].exc_info[1])
    assert (await answer("PATCH", view=Careless)).status_code == 400  # it has written nothing


async def test_an_instance_needs_a_version(caplog):
    class Nameless(ConditionalView, AsyncAPIView):
        async def get(self, request):
            self.check_preconditions(request, Counter(name="a"))

    assert (await answer(view=Nameless)).status_code == 500
    assert "does not define the version of a Counter" in str(caplog.records[0].exc_info[1])


@pytest.mark.parametrize("bases", [(ConditionalView, AsyncAPIView), (AsyncAPIView, ConditionalView)])
async def test_the_order_of_the_bases_does_not_matter(bases):
    view = type("Either", bases, {"get": Thing.get, "version": 7})
    assert (await answer(headers={"If-None-Match": '"7"'}, view=view)).status_code == 304


async def test_a_view_that_is_no_api_may_have_conditions():
    class Plain(ConditionalView, AsyncView):
        async def get(self, request):
            self.check_preconditions(request, 7)
            return HttpResponse("it")

    assert (await answer(view=Plain)).headers["ETag"] == '"7"'
    assert (await answer(headers={"If-None-Match": '"7"'}, view=Plain)).status_code == 304
    assert (await answer(headers={"If-Match": '"6"'}, view=Plain)).status_code == 412


async def test_an_etag_of_the_handlers_own_stays():
    class Own(Thing):
        async def get(self, request):
            self.check_preconditions(request, 7)
            return self.success(headers={"ETag": '"mine"'})

    assert (await answer(view=Own)).headers["ETag"] == '"mine"'


async def test_an_error_has_no_tag():
    class Failing(Thing):
        async def get(self, request):
            self.check_preconditions(request, 7)
            return self.error("No.")

    assert "ETag" not in (await answer(view=Failing)).headers


async def test_a_304_is_no_failure_to_services():
    ended = []

    async def session(request):
        try:
            yield 7
        except BaseException as error:
            ended.append(error)
            raise
        ended.append("well")

    view = type("Served", (Thing,), {"services": {"session": session}})
    assert (await answer(headers={"If-None-Match": '"7"'}, view=view)).status_code == 304
    assert ended == ["well"]


# Beside Django's middleware


urlpatterns = [path("thing", Thing.as_view())]
CONDITIONAL_GET = ["django.middleware.http.ConditionalGetMiddleware"]


@pytest.mark.parametrize("middleware", [[], CONDITIONAL_GET, thread_free(CONDITIONAL_GET)])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"If-None-Match": '"7"'}, 304),
        ({"If-None-Match": '"6"'}, 200),
        ({"If-Match": '"7"'}, 200),
        ({"If-Match": '"6"'}, 412),
        ({"If-Match": "7"}, 400),
    ],
)
async def test_djangos_middleware_changes_nothing(settings, middleware, headers, status):
    settings.MIDDLEWARE = middleware
    response = await AsyncClient().get("/thing", headers=headers)
    assert response.status_code == status
    assert response.headers.get("ETag", '"7"') == '"7"' or status >= 400
    if status >= 400:
        assert response.headers["Content-Type"] == "application/problem+json"


async def test_a_304_of_a_read_in_a_transaction_keeps_what_it_wrote(transactional_db):
    class Counted(Thing):
        atomic = True

        async def get(self, request):
            await Counter.objects.acreate(name="read")
            self.check_preconditions(request, 7)

    assert (await answer(headers={"If-None-Match": '"7"'}, view=Counted)).status_code == 304
    assert await Counter.objects.acount() == 1


# Two clients with the same version


class Meeting:
    """Lets no request on until all have come."""

    def __init__(self, parties):
        self.barrier = asyncio.Barrier(parties)

    async def __call__(self):
        await self.barrier.wait()


class Racy(ConditionalView, AsyncAPIView):
    requires_if_match = True
    meet = None

    def etag_of(self, counter):
        return counter.value

    async def patch(self, request):
        counter = await aget_object_or_404(Counter, name="fought over")
        self.check_preconditions(request, counter)
        await self.meet()
        await self.write(counter)
        return tag_response(self.success(), counter.value + 1)

    async def write(self, counter):
        rows = Counter.objects.filter(pk=counter.pk, value=counter.value)
        await compare_and_set(rows, value=F("value") + 1)


@pytest.mark.parametrize("parties", [2, 5])
async def test_of_many_clients_with_the_same_version_one_writes(transactional_db, parties):
    await Counter.objects.acreate(name="fought over", value=7)
    view = Racy.as_view(meet=Meeting(parties))
    patches = [view(requests.generic("PATCH", "/", headers={"If-Match": '"7"'})) for _ in range(parties)]
    statuses = sorted(response.status_code for response in await asyncio.gather(*patches))
    assert statuses == [HTTPStatus.OK] + [HTTPStatus.PRECONDITION_FAILED] * (parties - 1)
    assert (await Counter.objects.aget()).value == 8


async def test_the_check_alone_is_no_lock(transactional_db):
    class Unlocked(Racy):
        async def write(self, counter):
            await Counter.objects.filter(pk=counter.pk).aupdate(value=F("value") + 1)

    await Counter.objects.acreate(name="fought over", value=7)
    view = Unlocked.as_view(meet=Meeting(2))
    patches = [view(requests.generic("PATCH", "/", headers={"If-Match": '"7"'})) for _ in range(2)]
    assert [response.status_code for response in await asyncio.gather(*patches)] == [200, 200]


@pytest.mark.postgresql
async def test_a_row_that_is_locked_is_waited_for(transactional_db):
    has_locked, has_come = asyncio.Event(), asyncio.Event()

    class Locking(ConditionalView, AsyncAPIView):
        atomic = True
        requires_if_match = True

        async def patch(self, request):
            if has_locked.is_set():
                has_come.set()
            counter = await aget_object_or_404(Counter.objects.select_for_update(), name="fought over")
            self.check_preconditions(request, counter.value)
            has_locked.set()
            await has_come.wait()
            counter.value += 1
            await counter.asave()
            return self.success()

    await Counter.objects.acreate(name="fought over", value=7)

    def patch():
        return Locking.as_view()(requests.generic("PATCH", "/", headers={"If-Match": '"7"'}))

    first = asyncio.ensure_future(patch())
    await has_locked.wait()
    responses = await asyncio.gather(first, patch())
    assert [response.status_code for response in responses] == [200, 412]
    assert (await Counter.objects.aget()).value == 8
