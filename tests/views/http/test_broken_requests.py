"""Broken requests through the handler: each is a client error as a problem, and none a traceback."""

import gzip
import zlib

import msgspec
import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.test import AsyncRequestFactory
from django.urls import path

from daf_views import AsyncAPIView
from daf_views.asgi import get_asgi_application
from daf_views.settings import get_settings, zstd

pytestmark = [pytest.mark.urls(__name__), pytest.mark.usefixtures("no_middleware")]
requests = AsyncRequestFactory()
BOUNDARY = "multipart/form-data; boundary=x"


class In(msgspec.Struct):
    a: str = ""


class Typed(AsyncAPIView):
    enforces_csrf = False

    async def get(self, request, a: str = "") -> In:
        return In(a)

    async def post(self, request, body: In) -> In:
        return body

    put = delete = post


class Upload(AsyncAPIView):
    enforces_csrf = False

    async def post(self, request):
        [file] = request.FILES.values()
        return self.success(file.size)


async def plain(request):
    return HttpResponse([*request.POST, request.body])


urlpatterns = [path("typed", Typed.as_view()), path("upload", Upload.as_view()), path("plain", plain)]


@pytest.fixture
def no_middleware(settings):
    settings.MIDDLEWARE = []


def part(disposition=b'form-data; name="a"', more=b"", value=b"b"):
    return b"--x\r\nContent-Disposition: " + disposition + b"\r\n" + more + b"\r\n" + value + b"\r\n--x--\r\n"


async def ask(method="POST", target="/typed", body=b"", query=b"", **headers):
    sent = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    sent.append((b"host", b"testserver"))
    if "content_length" not in headers:
        sent.append((b"content-length", str(len(body)).encode()))
    scope = {"type": "http", "http_version": "1.1", "method": method, "path": target, "query_string": query}
    client = ApplicationCommunicator(get_asgi_application(), {**scope, "headers": sent, "scheme": "http"})
    await client.send_input({"type": "http.request", "body": body})
    start = await client.receive_output(10)
    answer = await client.receive_output(10)
    await client.wait(10)  # until what the request holds is closed
    return start["status"], dict(start["headers"]), answer["body"]


def is_a_problem(status, headers, body):
    return 400 <= status < 500 and headers[b"Content-Type"] == b"application/problem+json"


BODIES = [
    ("application/json", b'{"a": "b"}'),
    ("application/x-www-form-urlencoded", b"a=%ff"),
    (BOUNDARY, part()),
]
CHARSETS = ["bogus", "base64", "rot13", "hex", "zip", "undefined", "idna", "punycode", "utf-16", "latin-1", "\0"]


@pytest.mark.parametrize("charset", CHARSETS)
@pytest.mark.parametrize(("media_type", "body"), BODIES)
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_body_in_another_charset_is_415(method, media_type, body, charset):
    status, *rest = await ask(method, body=body, content_type=f"{media_type}; charset={charset}")
    assert status == 415
    assert is_a_problem(status, *rest)


@pytest.mark.parametrize("charset", CHARSETS)
async def test_the_charset_of_no_body_changes_no_query(charset):
    status, _, body = await ask("GET", query=b"a=%c3%a9", content_type=f"text/plain; charset={charset}")
    assert status == 200
    if charset not in {"utf-16", "latin-1"}:  # Django reads the query by it
        assert body == '{"a":"é"}'.encode()


@pytest.mark.parametrize(
    "content_type",
    [
        ";",
        "/",
        "a/b/c",
        "application/json; charset*=bogus''%ff",
        "application/json; charset*=base64''x",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\xe9",
        "multipart/form-data; boundary=" + "x" * 300,
    ],
)
async def test_a_malformed_media_type_is_a_problem(content_type):
    assert is_a_problem(*await ask(body=part(), content_type=content_type))


@pytest.mark.parametrize(
    "content_type", ["application/json;", "application/json;;;;", "application/json; a" + ";b=c" * 999]
)
async def test_semicolons_and_parameters_are_no_mistake(content_type):
    status, _, body = await ask(body=b'{"a": "b"}', content_type=content_type)
    assert (status, body) == (200, b'{"a":"b"}')


@pytest.mark.parametrize(
    "body",
    [
        part(b"x"),
        part(b'form-data; name="a'),
        part(b"form-data; name*=base64''x"),
        part(more=b"Content-Transfer-Encoding: base64\r\n", value=b"a"),
        part(more=b"Content-Type: text/plain; charset=base64\r\n"),
        part(b'form-data; name="a"; filename="f"', b"Content-Transfer-Encoding: base64\r\n", b"a"),
        part(value=b"\xff\xfe"),
        b"--x",
        b"garbage",
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_broken_part_is_no_bug(method, body):
    status, *_ = await ask(method, body=body, content_type=BOUNDARY)
    assert status in {200, 400, 422}


@pytest.mark.parametrize("length", ["x", "-1", "1.0", "\xb2", "9" * 5000, "1, 1", "0x10", "1_0"])
async def test_a_length_that_is_none_is_400(length):
    status, *rest = await ask(body=b'{"a": "b"}', content_type="application/json", content_length=length)
    assert status == 400
    assert is_a_problem(status, *rest)


@pytest.mark.parametrize("length", ["x", "1.0", "\xb2", "9" * 5000, "1, 1", "0x10"])
@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
async def test_a_length_that_is_none_is_400_where_a_view_reads_the_body(length, content_type):
    status, *_ = await ask(target="/plain", body=b"a=b", content_type=content_type, content_length=length)
    assert status == 400


@pytest.mark.parametrize("query", [b"&" * 5000, b"a=b&" * 5000, b";" * 5000, b"a;b;c", b"%zz", b"a=%00"])
async def test_any_number_of_parameters_is_no_bug(query):
    status, headers, body = await ask("GET", query=query)
    assert status == 200 or is_a_problem(status, headers, body)


async def test_too_many_parameters_are_400(settings):
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 10
    assert is_a_problem(*await ask("GET", query=b"a=b&" * 11))
    assert is_a_problem(*await ask(body=b"a=b&" * 11, content_type="application/x-www-form-urlencoded"))


# Content codings


def raw_zlib(data):
    return zlib.compress(data)


CODINGS = {"gzip": gzip.compress, "deflate": raw_zlib, "x-gzip": gzip.compress}
if (module := zstd()) is not None:
    CODINGS["zstd"] = module.compress


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd", "br", "bogus", "gzip, gzip", "\xff"])
async def test_a_coding_is_415_unless_decoding_is_on(coding):
    status, headers, _ = await ask(body=b'{"a": "b"}', content_type="application/json", content_encoding=coding)
    assert (status, headers[b"Accept-Encoding"]) == (415, b"identity")


@pytest.mark.parametrize("coding", ["", "identity", "Identity, identity"])
async def test_no_coding_is_none(coding):
    assert (await ask(body=b'{"a": "b"}', content_type="application/json", content_encoding=coding))[0] == 200


@pytest.fixture
def decoding(settings):
    settings.DAF_VIEWS = {"CONTENT_CODINGS": ["gzip", "deflate", *(["zstd"] if zstd() is not None else [])]}


@pytest.mark.usefixtures("decoding")
class TestDecoding:
    @pytest.mark.parametrize("coding", CODINGS)
    @pytest.mark.parametrize(
        ("media_type", "body"), [(BODIES[0]), ("application/x-www-form-urlencoded", b"a=b"), BODIES[2]]
    )
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    async def test_a_body_is_decoded(self, method, media_type, body, coding):
        encoded = CODINGS[coding](body)
        assert (await ask(method, body=encoded, content_type=media_type, content_encoding=coding))[::2] == (
            200,
            b'{"a":"b"}',
        )

    @pytest.mark.parametrize("coding", CODINGS)
    async def test_no_more_is_inflated_than_the_parser_takes(self, coding, settings):
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100_000
        bomb = CODINGS[coding](b'"' + b"a" * 20_000_000 + b'"')
        assert len(bomb) < 100_000
        assert (await ask(body=bomb, content_type="application/json", content_encoding=coding))[0] == 413

    @pytest.mark.parametrize("coding", CODINGS)
    async def test_a_body_that_is_not_in_the_coding_is_400(self, coding):
        whole = CODINGS[coding](b'{"a": "b"}')
        for body in (b'{"a": "b"}', whole[:-1], whole[:5], whole + b"garbage"):
            assert is_a_problem(*await ask(body=body, content_type="application/json", content_encoding=coding))

    async def test_gzip_of_many_members_is_refused(self):
        body = gzip.compress(b"") * 101
        assert (await ask(body=body, content_type="application/json", content_encoding="gzip"))[0] == 400

    async def test_gzip_may_have_several_members(self):
        body = gzip.compress(b'{"a": ') + gzip.compress(b'"b"}')
        assert (await ask(body=body, content_type="application/json", content_encoding="gzip"))[0] == 200

    async def test_a_large_upload_is_inflated_to_disk(self, settings):
        settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1000
        body = part(b'form-data; name="a"; filename="f"', value=b"0123456789" * 100_000)
        answer = await ask(target="/upload", body=gzip.compress(body), content_type=BOUNDARY, content_encoding="gzip")
        assert answer[::2] == (200, b"1000000")

    async def test_two_codings_are_415(self):
        answer = await ask(body=b"x", content_type="application/json", content_encoding="gzip, deflate")
        assert answer[0] == 415
        assert answer[1][b"Accept-Encoding"].startswith(b"gzip, deflate")

    async def test_a_body_that_is_there_already_is_decoded_too(self):
        request = requests.generic(
            "POST", "/", gzip.compress(b'{"a": "b"}'), "application/json", headers={"Content-Encoding": "gzip"}
        )
        assert request.body
        assert (await Typed.as_view()(request)).content == b'{"a":"b"}'


@pytest.mark.parametrize("codings", [["br"], ["gzip", "lzma"]])
def test_the_setting_holds_codings_that_are_known(settings, codings):
    settings.DAF_VIEWS = {"CONTENT_CODINGS": codings}
    with pytest.raises(ImproperlyConfigured, match="CONTENT_CODINGS"):
        get_settings()
