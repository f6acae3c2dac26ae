import threading
from io import BytesIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.handlers.wsgi import LimitedStream
from django.test import AsyncRequestFactory
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from hypothesis import given
from hypothesis import strategies as st

from daf_orm.test import count_hops
from daf_views.exceptions import APIError, ContentTooLargeError, ParseError, UnsupportedMediaTypeError
from daf_views.http import parsers
from daf_views.http.parsers import FormParser, JSONParser, MultiPartParser, load_json, parse_body

ALL = (JSONParser(), FormParser(), MultiPartParser())
requests = AsyncRequestFactory()


def a_request(body=b"", content_type="application/json", method="POST"):
    headers = {} if body else {"Content-Type": content_type}  # the factory sets it if there is a body
    return requests.generic(method, "/", body, content_type=content_type, headers=headers)


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/merge-patch+json", "application/json; charset=UTF-8"]
)
async def test_json_is_parsed_without_a_hop(content_type):
    with count_hops(at_most=0):
        assert await parse_body(a_request(b'{"a": [1, 2.5, null]}', content_type), ALL) == {"a": [1, 2.5, None]}


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"a": }', "Expecting value (line 1, column 7)"),
        (b"", "Expecting value (line 1, column 1)"),
        (b'{"a": 1, "b": 2, "a": 3}', "the name 'a' twice"),
        (b"[NaN]", "NaN"),
        (b"[-Infinity]", "-Infinity"),
        (b"[1e999]", "too large"),
        (b"[" + b"1" * 5000 + b"]", "too many digits"),
        (b"[" * 100_000, "too deeply"),
        (b'{"a":' * 100_000, "too deeply"),
        (b'"\xff"', "not valid UTF-8 (byte 1)"),
        (b'"\\ud800"', "lone surrogate"),
        (b'"\\uDFFF"', "lone surrogate"),
        (b"\xef\xbb\xbf{}", "BOM"),
    ],
)
async def test_json_that_is_not_strict_is_refused_with_the_place(body, detail):
    with pytest.raises(ParseError) as caught:
        await parse_body(a_request(body), ALL)
    assert detail in caught.value.detail


async def test_the_place_of_malformed_json_is_told_to_programs():
    with pytest.raises(ParseError) as caught:
        await parse_body(a_request(b'{\n"a": }'), ALL)
    assert caught.value.members == {"line": 2, "column": 6, "position": 7}


@pytest.mark.parametrize(("size", "hops"), [(64 * 2**10, 0), (64 * 2**10 + 1, 1)])
async def test_large_json_is_parsed_in_a_thread(size, hops):
    with count_hops() as counted:
        assert await parse_body(a_request(b'"%s"' % (b"x" * (size - 2))), ALL)
    assert counted.total == hops


def chunked(method="POST"):
    """An ASGI request with a body without a Content-Length."""
    body = encode_multipart(BOUNDARY, {"title": "Emma"})
    request = a_request(body, MULTIPART_CONTENT, method)
    del request.META["CONTENT_LENGTH"]
    request._stream = BytesIO(body)
    return request


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("is_read", [False, True])
async def test_a_multipart_body_without_a_length_is_parsed(method, is_read):
    request = chunked(method)
    assert not is_read or request.body
    assert (await parse_body(request, ALL))["title"] == "Emma"


async def test_a_multipart_body_without_a_length_is_limited():
    with pytest.raises(ContentTooLargeError):
        await parse_body(chunked(), [MultiPartParser(limit=10)])


async def test_a_multipart_body_whose_length_cannot_be_known_is_411():
    request = chunked()
    request._stream = LimitedStream(request._stream, 0)  # as under WSGI
    with pytest.raises(APIError) as caught:
        await parse_body(request, ALL)
    assert caught.value.status == 411


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_form_of_another_charset_is_refused(method):
    with pytest.raises(UnsupportedMediaTypeError):
        await parse_body(a_request(b"a=%e9", "application/x-www-form-urlencoded; charset=latin-1", method), ALL)


def test_surrogates_in_pairs_are_one_character():
    assert load_json(b'"\\ud83d\\ude00"') == "😀"


@given(st.binary(max_size=60) | st.text(alphabet='[]{}",:\\ud8001eE.-+ntf', max_size=60).map(str.encode))
def test_every_body_is_a_value_or_a_parse_error(body):
    try:
        load_json(body)
    except APIError as error:
        assert error.status == 400  # noqa: PT017 - both ways are right


async def test_another_media_type_is_415_and_says_what_is_read():
    with pytest.raises(UnsupportedMediaTypeError) as caught:
        await parse_body(a_request(b"<a/>", "application/xml"), (JSONParser(),))
    assert caught.value.headers == {"Accept": "application/json", "Accept-Post": "application/json"}


async def test_json_in_another_charset_is_415():
    with pytest.raises(UnsupportedMediaTypeError):
        await parse_body(a_request("{}".encode("utf-16"), "application/json; charset=utf-16"), ALL)


async def test_a_body_without_a_media_type_is_415():
    with pytest.raises(UnsupportedMediaTypeError):
        await parse_body(a_request(b"x", ""), ALL)


async def test_no_body_without_a_media_type_is_none():
    assert await parse_body(a_request(b"", ""), ALL) is None


async def test_a_delete_may_say_json_and_send_nothing():
    assert await parse_body(a_request(b"", method="DELETE"), ALL) is None


@pytest.mark.parametrize("parser", [JSONParser(limit=10), MultiPartParser(limit=10), FormParser(limit=10)])
async def test_a_longer_body_than_the_limit_is_413(parser):
    media_type = f"{parser.media_types[0]}; boundary=x"
    with pytest.raises(ContentTooLargeError, match="at most 10 bytes"):
        await parse_body(a_request(b"x" * 11, media_type), [parser])


async def test_json_has_the_limit_of_django(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 3
    assert await parse_body(a_request(b"[1]"), ALL) == [1]
    with pytest.raises(ContentTooLargeError):
        await parse_body(a_request(b"[10]"), [JSONParser(limit=100)])


async def test_a_body_of_unknown_length_has_the_limit_too(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 3
    request = a_request(b"[10]")
    del request.META["CONTENT_LENGTH"]
    with pytest.raises(ContentTooLargeError):
        await parse_body(request, ALL)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_forms_are_parsed_for_every_method(method):
    request = a_request(b"a=1&a=2&b=%C3%A9", "application/x-www-form-urlencoded", method)
    assert dict((await parse_body(request, ALL)).lists()) == {"a": ["1", "2"], "b": ["é"]}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_uploads_are_parsed_for_every_method(method):
    data = encode_multipart(BOUNDARY, {"a": "1", "cover": SimpleUploadedFile("cover.png", b"png")})
    request = a_request(data, MULTIPART_CONTENT, method)
    fields = await parse_body(request, ALL)
    assert fields.dict() == {"a": "1"}
    assert request.FILES["cover"].read() == b"png"
    request.close()


async def test_uploads_are_parsed_off_the_loop():
    with count_hops() as hops:
        await parse_body(a_request(encode_multipart(BOUNDARY, {"a": "1"}), MULTIPART_CONTENT), ALL)
    assert hops.total == 1


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_long_form_is_parsed_off_the_event_loop(method, monkeypatch):
    threads = []
    parse = parsers._form_of

    def parse_and_tell(*args):
        threads.append(threading.current_thread())
        return parse(*args)

    monkeypatch.setattr(parsers, "_form_of", parse_and_tell)
    for length in (100, 100_000):
        request = AsyncRequestFactory().generic(
            method, "/", b"a=" + b"%41" * length, content_type="application/x-www-form-urlencoded"
        )
        assert (await parsers.FormParser().parse(request))["a"] == "A" * length
    assert [thread is threading.current_thread() for thread in threads] == [True, False]
