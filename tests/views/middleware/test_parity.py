"""Django's middleware and ours give the same answers, cookies, bodies and rows, request after request.

Random values are not left out. They are named by the order in which they appear, after decoding: a masked token by its
secret, a session by its key. A session is compared with the data stored under its key.
"""

import gzip
import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from hashlib import md5
from importlib import import_module
from urllib.parse import quote

import django
import pytest
from django.conf import settings as django_settings
from django.conf.urls.i18n import i18n_patterns
from django.contrib import messages
from django.contrib.auth import alogin, alogout, get_user_model
from django.contrib.auth.decorators import login_not_required
from django.contrib.flatpages.models import FlatPage
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.models import Session
from django.contrib.sites.models import Site
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIHandler
from django.http import Http404, HttpResponse, HttpResponseForbidden, StreamingHttpResponse
from django.middleware.csrf import _unmask_cipher_token, get_token, rotate_token
from django.test import override_settings
from django.urls import path
from django.utils import timezone, translation
from django.utils.translation import gettext
from django.views.decorators.csrf import csrf_exempt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daf_orm import allow_blocking, database_sync_to_async
from daf_views.asgi.handler import AsyncHandler
from daf_views.middleware import thread_free
from daf_views.middleware.twins import TWINS
from tests.support.exchange import exchange

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators"),
]

STOCK = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
LOGIN_REQUIRED = [*STOCK, "django.contrib.auth.middleware.LoginRequiredMiddleware"]

FLAT = [*STOCK, "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware"]
FLAT_TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", {"flat": "{{ flatpage.content }}"})]},
    },
]
TOKEN = "csrfmiddlewaretoken"

once = pytest.mark.sqlite_memory  # sessions and users are in the database: the conversations show what it does to them

# Views


async def plain(request):
    return HttpResponse("hello")


async def large(request):
    return HttpResponse(b"0123456789" * 100_000)


async def medium(request):
    return HttpResponse(b"hello, world " * 100, headers={"ETag": '"strong"'})


async def dated(request):
    return HttpResponse("dated", headers={"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"})


async def unstored(request):
    return HttpResponse("secret" * 100, headers={"Cache-Control": "no-store", "X-Frame-Options": "SAMEORIGIN"})


async def increment(request):
    await request.session.aset("count", await request.session.aget("count", 0) + 1)
    return HttpResponse(str(await request.session.aget("count")))


async def increment_and_fail(request):
    await increment(request)
    return HttpResponse(status=500)


async def short_lived(request):
    await request.session.aset_expiry(0 if "browser" in request.GET else 300)
    return HttpResponse()


async def flush(request):
    await request.session.aflush()
    return HttpResponse()


async def lose(request):
    """Delete the session behind the request's back."""
    await request.session.aset("count", 9)
    await type(request.session)(request.session.session_key).adelete()
    return HttpResponse()


async def log_in(request):
    await alogin(request, await get_user_model().objects.aget())
    return HttpResponse()


async def log_out(request):
    await alogout(request)
    return HttpResponse()


async def who(request):
    return HttpResponse((await request.auser()).username)


async def who_sync(request):
    return HttpResponse(request.user.username)


def who_in_a_thread(request):
    return HttpResponse(request.user.username)


async def form(request):
    fields = sorted(request.POST.items()) if request.method == "POST" else []
    files = sorted((name, file.size) for name, file in request.FILES.items()) if fields else []
    return HttpResponse(f"token={get_token(request)} {[field for field in fields if TOKEN not in field]} {files}")


async def rotate(request):
    rotate_token(request)
    return HttpResponse()


async def say(request):
    for number in range(int(request.GET.get("times", "1"))):
        messages.info(request, f"message {number} {'x' * 200}")
    return HttpResponse()


async def listen(request):
    await request.session.aget("anything")
    return HttpResponse(" | ".join(map(str, messages.get_messages(request))))


def listen_in_a_thread(request):
    return HttpResponse(" | ".join(map(str, messages.get_messages(request))))


async def language(request):
    return HttpResponse(f"{translation.get_language()} {gettext('Yes')} {request.LANGUAGE_CODE}")


async def stream(request):
    async def parts():
        for number in range(3):
            yield f"part {number} " * 50

    return StreamingHttpResponse(parts())


async def stream_sync(request):
    return StreamingHttpResponse(iter([b"one " * 100, b"two " * 100]))


async def missing(request):
    raise Http404("the text of an exception")


async def forbidden(request):
    raise PermissionDenied("the text of an exception")


async def broken(request):
    raise RuntimeError("the text of an exception")


def rejected(request, reason=""):
    """Query, as a failure page with a navigation bar would."""
    return HttpResponseForbidden(f"{reason} ({get_user_model().objects.count()} users)")


urlpatterns = [
    *(path(view.__name__, view) for view in (plain, large, medium, dated, unstored, increment, increment_and_fail)),
    *(path(view.__name__, view) for view in (short_lived, flush, lose, log_in, log_out, who, who_sync)),
    *(path(view.__name__, view) for view in (who_in_a_thread, form, rotate, say, listen, listen_in_a_thread)),
    *(path(view.__name__, view) for view in (language, stream, stream_sync, missing, forbidden, broken)),
    path("slash/", plain),
    path("exempt", csrf_exempt(form)),
    path("open", login_not_required(who)),
    *i18n_patterns(path("translated", language)),
]

# A conversation


@dataclass
class Visitor:
    """A client with a cookie jar, and what it has seen, with a name in place of each random value."""

    application: ASGIHandler
    jar: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    token: str = ""
    seen: list[object] = field(default_factory=list)

    async def visit(self, request) -> None:
        method, _, rest = request.pop("to").partition(" ")
        target, _, query = rest.partition("?")
        body = request.pop("body", "").replace("TOKEN", self.token).encode()
        headers = [(name, value.replace("TOKEN", self.token)) for name, value in request.pop("headers", ())]
        headers += [("Cookie", "; ".join(f"{name}={value}" for name, value in self.jar.items()))] if self.jar else []
        headers += [("Content-Length", str(len(body)))] if body else []
        request |= {"method": method, "path": target, "query": query.encode(), "headers": headers, "body": body}
        answer = await exchange(self.application, **request)
        self.seen.append(
            {"status": answer.status, "body": self._text(answer), "headers": self._headers(answer, target)}
        )
        self.seen.append({name: await self._cookie(morsel) for name, morsel in answer.cookies.items()})

    def _text(self, answer) -> str:
        if answer.method == "HEAD":  # Django hands its servers a body, which they throw away
            return ""
        body = gzip.decompress(answer.body) if answer.header("Content-Encoding") == "gzip" else answer.body
        found = re.search(rb"token=(\w{64})", body)
        if not found:
            return body.decode()
        self.token = found[1].decode()
        return body.decode().replace(self.token, self._name(_unmask_cipher_token(self.token)))

    def _headers(self, answer, path) -> list[tuple[str, str]]:
        headers = [(name, value) for name, value in answer.headers if name != "set-cookie"]
        length = answer.header("Content-Length")
        if answer.header("Content-Encoding") == "gzip" and length is not None:
            assert int(length) == len(answer.body)  # it has a file name of random length in it
            headers.remove(("content-length", length))
        if answer.status == 304 and "form" in path:  # of a body with a random token, which was not sent
            headers = [(name, "that of the body" if name == "etag" else value) for name, value in headers]
        if self.token and answer.header("ETag") == f'"{md5(answer.body).hexdigest()}"':  # random where the token is
            headers = [(name, "that of the body" if name == "etag" else value) for name, value in headers]
        return headers

    async def _cookie(self, morsel) -> object:
        attributes = {name: value for name, value in morsel.items() if value and name != "expires"}
        if morsel["expires"]:
            expires = parsedate_to_datetime(morsel["expires"])
            attributes["expires"] = round((expires - timezone.now()).total_seconds() / 60) if expires.year > 1970 else 0
        self.jar[morsel.key] = morsel.value
        if not morsel.value:
            del self.jar[morsel.key]
        if morsel.key == "messages":  # signed with a timestamp
            return list(map(str, CookieStorage(None)._decode(morsel.value) or [])), attributes
        stored = await _stored(morsel.value, self) if morsel.key == "sessionid" else None
        return self._name(morsel.value) if stored is None else stored, attributes

    def _name(self, value: str) -> str:
        return self.names.setdefault(value, f"random value {len(self.names)}") if value else ""


async def _stored(key: str, visitor: Visitor) -> object:
    store = import_module(django_settings.SESSION_ENGINE).SessionStore(key)
    data = await database_sync_to_async(store.load)()
    name = visitor._name(key) if "signed_cookies" not in django_settings.SESSION_ENGINE else "signed"
    return name, _readable(data, visitor)


def _readable(data: dict[str, object], visitor: Visitor) -> dict[str, object]:
    random = ("_csrftoken", "_auth_user_hash")
    return {key: visitor._name(str(value)) if key in random else value for key, value in sorted(data.items())}


@database_sync_to_async
def start_over():
    Session.objects.all().delete()
    get_user_model().objects.all().delete()
    get_user_model().objects.create_user("ada", password="countess", id=1)
    cache.clear()


async def converse(handler_class, middleware, requests, **changes) -> list[object]:
    """Return all that a visitor sees, and what is in the database afterwards."""
    await start_over()
    with override_settings(MIDDLEWARE=middleware, ROOT_URLCONF=__name__, **changes):
        visitor = Visitor(handler_class())
        for request in requests:
            await visitor.visit({"to": request} if isinstance(request, str) else dict(request))
        rows = [(row.session_key, DatabaseStore().decode(row.session_data)) async for row in Session.objects.all()]
        visitor.seen.append(
            sorted((visitor._name(key), sorted(_readable(data, visitor).items())) for key, data in rows)
        )
    user = await get_user_model().objects.aget()
    visitor.seen.append((user.last_login is None, user.password != ""))
    return visitor.seen


async def assert_same(requests, *, middleware=STOCK, **changes) -> list[object]:
    with allow_blocking(reason="Django's handler opens a temporary file on the loop, its file sessions are read there"):
        theirs = await converse(ASGIHandler, middleware, requests, **changes)
    ours = await converse(AsyncHandler, thread_free(middleware), requests, **changes)
    assert ours == theirs
    return ours


# The matrix

FORM = ("Content-Type", "application/x-www-form-urlencoded")
MULTIPART = ("Content-Type", "multipart/form-data; boundary=b")
JSON = ("Content-Type", "application/json")
POST = {"to": "POST /form", "headers": [FORM], "body": "csrfmiddlewaretoken=TOKEN&a=1"}
UPLOAD = (
    '--b\r\nContent-Disposition: form-data; name="csrfmiddlewaretoken"\r\n\r\nTOKEN\r\n'
    '--b\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\ncontent\r\n--b--\r\n'
)
GZIP = ("Accept-Encoding", "gzip")
OLD, NEW = "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:01 GMT"
SESSIONS = ["GET /increment", "GET /increment", "GET /plain", "GET /flush", "GET /increment"]
LOGIN = ["GET /form", "GET /increment", "GET /log_in", "GET /who", "GET /form", "GET /log_out", "GET /who"]
CSRF = ["GET /form", POST, {**POST, "body": "csrfmiddlewaretoken=wrong"}, {**POST, "body": "a=1"}, "GET /rotate", POST]
TALK = ["GET /say", "GET /plain", "GET /listen_in_a_thread", "GET /listen"]

CONVERSATIONS = {
    "anonymous": ["GET /plain", "HEAD /plain", "OPTIONS /plain", "GET /unstored", "GET /who", "GET /who_in_a_thread"],
    "errors": ["GET /missing", "GET /nowhere", "GET /forbidden", "GET /broken", "HEAD /missing"],
    "sessions": [*SESSIONS, "GET /increment_and_fail", "GET /increment"],
    "expiry": ["GET /increment", "GET /short_lived", "GET /short_lived?browser", "GET /increment"],
    "a session that is lost": ["GET /increment", "GET /lose", "GET /increment"],
    "a session that never was": [{"to": "GET /increment", "headers": [("Cookie", "sessionid=" + "z" * 32)]}],
    "login": LOGIN,
    "login as another user": [*LOGIN[:4], "GET /log_in", "GET /log_in"],
    "csrf": CSRF,
    "csrf by header": [
        "GET /form",
        {"to": "POST /form", "headers": [JSON, ("X-CSRFToken", "TOKEN")], "body": "{}"},
        {"to": "PUT /form", "headers": [JSON, ("X-CSRFToken", "TOKEN")], "body": "{}"},
        {"to": "DELETE /form", "headers": [("X-CSRFToken", "x" * 64)]},
        {"to": "POST /form", "headers": [JSON], "body": "{}"},
    ],
    "csrf of a first visit": [POST, {"to": "POST /form", "headers": [("Cookie", "csrftoken=bad")]}],
    "csrf of an exempt view": [{**POST, "to": "POST /exempt"}, {**POST, "to": "POST /exempt"}],
    "csrf by origin": [
        "GET /form",
        {**POST, "headers": [FORM, ("Origin", "http://evil.example")]},
        {**POST, "headers": [FORM, ("Origin", "http://testserver")]},
        {**POST, "scheme": "https"},
        {**POST, "scheme": "https", "headers": [FORM, ("Referer", "https://testserver/form")]},
        {**POST, "scheme": "https", "headers": [FORM, ("Referer", "http://testserver/form")]},
    ],
    "csrf in an upload": ["GET /form", {**POST, "headers": [MULTIPART], "body": UPLOAD}],
    "csrf in a broken upload": ["GET /form", {**POST, "headers": [MULTIPART], "body": "--c\r\n"}],
    "csrf in a large form": ["GET /form", {**POST, "body": f"a={'x' * 200_000}&csrfmiddlewaretoken=TOKEN"}],
    "csrf in too large a form": ["GET /form", {**POST, "body": f"csrfmiddlewaretoken=TOKEN&a={'x' * 3_000_000}"}],
    "csrf in too many fields": ["GET /form", {**POST, "body": "csrfmiddlewaretoken=TOKEN" + "&a=1" * 1001}],
    "slashes": ["GET /slash", "GET /slash?a=%20b", "GET /slash/", "POST /slash", "GET //slash"],
    "messages": TALK,
    "messages that a cookie cannot hold": ["GET /increment", "GET /say?times=20", "GET /say?times=2", *TALK[1:]],
    "messages to a stranger": ["GET /say?times=20", "GET /listen_in_a_thread", "GET /listen"],
    "messages with a forged cookie": [{"to": "GET /listen_in_a_thread", "headers": [("Cookie", "messages=x")]}],
    "languages": [
        {"to": "GET /language", "headers": [("Accept-Language", "de-at,en;q=0.5")]},
        {"to": "GET /language", "headers": [("Accept-Language", "xx")]},
        {"to": "GET /language", "headers": [("Cookie", "django_language=fr")]},
        {"to": "GET /translated", "headers": [("Accept-Language", "de")]},
        {"to": "GET /de/translated", "headers": [("Accept-Language", "fr")]},
        "GET /language",
    ],
    "conditions": [
        "GET /plain",
        {"to": "GET /plain", "headers": [("If-None-Match", '"5d41402abc4b2a76b9719d911017c592"')]},
        {"to": "HEAD /plain", "headers": [("If-None-Match", '"5d41402abc4b2a76b9719d911017c592"')]},
        {"to": "GET /plain", "headers": [("If-Match", '"other"')]},
        {"to": "GET /dated", "headers": [("If-Modified-Since", OLD)]},
        {"to": "GET /dated", "headers": [("If-Modified-Since", "nonsense")]},
        {"to": "GET /dated", "headers": [("If-Unmodified-Since", "Tue, 20 Oct 2015 07:28:00 GMT")]},
        "GET /large",
    ],
    "gzip": [
        *({"to": f"GET /{name}", "headers": [GZIP]} for name in ("plain", "medium", "large", "unstored")),
        *({"to": f"GET /{name}", "headers": [GZIP]} for name in ("stream", "stream_sync", "missing")),
        {"to": "HEAD /medium", "headers": [GZIP]},
        {"to": "GET /medium", "headers": [GZIP, ("If-None-Match", 'W/"strong"')]},
    ],
    "streams": ["GET /stream", "GET /stream_sync", "HEAD /stream"],
    "hosts": [{"to": "GET /plain", "headers": [("Host", "evil.example")]}],
}


@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_says_the_same(name):
    await assert_same(CONVERSATIONS[name])


READS_FILES = pytest.mark.allow_blocking(
    reason="aget() of the file sessions of Django reads the file where it is awaited"
)
ENGINES = ["cache", "cached_db", pytest.param("file", marks=READS_FILES), "signed_cookies"]


@once
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["sessions", "expiry", "login", "messages that a cookie cannot hold"])
async def test_says_the_same_with_every_session_engine(engine, name, tmp_path):
    path = f"django.contrib.sessions.backends.{engine}"
    await assert_same(CONVERSATIONS[name], SESSION_ENGINE=path, SESSION_FILE_PATH=str(tmp_path))


EVERY_SESSION_SAVED = "every session saved"
SETTINGS = {
    "csrf in the session": {"CSRF_USE_SESSIONS": True},
    EVERY_SESSION_SAVED: {"SESSION_SAVE_EVERY_REQUEST": True},
    "sessions end with the browser": {"SESSION_EXPIRE_AT_BROWSER_CLOSE": True},
    "messages in the session": {"MESSAGE_STORAGE": "django.contrib.messages.storage.session.SessionStorage"},
    "messages in a cookie": {"MESSAGE_STORAGE": "django.contrib.messages.storage.cookie.CookieStorage"},
    "https": {"SECURE_SSL_REDIRECT": True, "SECURE_REDIRECT_EXEMPT": ["^plain"], "SECURE_HSTS_SECONDS": 60},
    "www": {"PREPEND_WWW": True},
    "agents": {"DISALLOWED_USER_AGENTS": [re.compile("^$|bot")]},
    "a failure page that queries": {"CSRF_FAILURE_VIEW": f"{__name__}.rejected"},
    "no slashes": {"APPEND_SLASH": False},
    "one language": {"USE_I18N": False},
}
BY_SETTINGS = [*SESSIONS, "GET /increment_and_fail", *LOGIN, *CSRF, *TALK, "GET /slash", "GET /language", "GET /broken"]


# Before these releases Django's answer that sets the cookie of a session which only it has saved lacks "Vary: Cookie"
# (CVE-2026-35192). DAF's has it on every Django.
VARIES = django.VERSION >= (5, 2, 14) and not (6, 0) <= django.VERSION < (6, 0, 5)


async def test_an_answer_that_saves_an_unchanged_session_varies_on_the_cookie():
    await start_over()
    with override_settings(MIDDLEWARE=thread_free(STOCK), ROOT_URLCONF=__name__, SESSION_SAVE_EVERY_REQUEST=True):
        visitor = Visitor(AsyncHandler())
        for target in "GET /increment", "GET /plain":
            await visitor.visit({"to": target})

    *_, answer, cookies = visitor.seen
    assert "sessionid" in cookies
    assert ("vary", "Accept-Language, Cookie") in answer["headers"]


@once
@pytest.mark.parametrize("name", SETTINGS)
async def test_says_the_same_with_other_settings(name):
    if name == EVERY_SESSION_SAVED and not VARIES:
        pytest.skip(f"Django {django.__version__} forgets Vary: Cookie")
    secure = [{"to": "GET /plain", "scheme": "https"}, {"to": "GET /plain", "headers": [("User-Agent", "a bot")]}]

    await assert_same([*BY_SETTINGS, *secure], **SETTINGS[name])


@pytest.mark.parametrize("name", ["login", "anonymous"])
async def test_login_required_says_the_same(name):
    visits = [*CONVERSATIONS[name], "GET /open", "GET /log_in", "GET /who_sync", "GET /who_in_a_thread"]
    open_views = [{"to": "GET /open"}, {"to": "GET /plain?a=b"}]

    await assert_same([*visits, *open_views], middleware=LOGIN_REQUIRED, LOGIN_URL="/open")


async def test_the_conversations_can_tell():
    """The comparison is no good if what is compared is empty."""
    seen = await assert_same(LOGIN + TALK)

    cookies = [name for entry in seen if isinstance(entry, dict) for name in entry]
    assert {"csrftoken", "sessionid", "messages"} <= set(cookies)
    assert seen[6]["body"] == "ada"
    assert seen[-1] == (False, True)


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Accept-Encoding": st.sampled_from(["gzip", "br", "gzip;q=0", "identity, gzip"]),
        "Accept-Language": st.sampled_from(["de", "en-gb,fr;q=0.9", "*", "x" * 600, "zh-hant"]),
        "If-None-Match": st.sampled_from(["*", '"5d41402abc4b2a76b9719d911017c592"', 'W/"strong"', "unquoted"]),
        "If-Match": st.sampled_from(["*", '"strong"', '"other"']),
        "If-Modified-Since": st.sampled_from([OLD, NEW, "nonsense"]),
        "If-Unmodified-Since": st.sampled_from([OLD, NEW, "nonsense"]),
        "Cookie": st.sampled_from(["sessionid=zzzzzzzz", "csrftoken=short", f"messages={quote('[]')}", "=;;,"]),
        "Origin": st.sampled_from(["null", "http://testserver", "http://[bad"]),
        "X-CSRFToken": st.sampled_from(["", "a" * 32, "a" * 64, "ü"]),
        "Content-Type": st.sampled_from(
            [FORM[1], MULTIPART[1], JSON[1], "multipart/form-data", "text/plain; charset=x"]
        ),
        "X-Forwarded-Proto": st.just("https"),
    },
)
TARGETS = st.sampled_from(
    ["/plain", "/medium", "/dated", "/form", "/who", "/slash", "/missing", "/stream", "/language"]
)


@once
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=st.sampled_from(["GET", "HEAD", "POST"]), target=TARGETS, headers=HEADERS, body=st.text(max_size=20))
async def test_says_the_same_whatever_the_headers(method, target, headers, body):
    request = {"to": f"{method} {target}", "headers": list(headers.items()), "body": body}

    await assert_same([request])


async def test_flat_pages_say_the_same():
    with override_settings(TEMPLATES=FLAT_TEMPLATES):
        page = await FlatPage.objects.acreate(url="/flat/", content="a flat page", template_name="flat")
        site, _ = await Site.objects.aget_or_create(id=django_settings.SITE_ID)
        await page.sites.aadd(site)
        seen = await assert_same(["GET /flat/", "GET /flat", "GET /nowhere", "GET /plain"], middleware=FLAT)

    assert seen[0]["body"] == "a flat page"


@pytest.mark.skipif(django.VERSION < (6, 0), reason="Django 6.0 brought Content-Security-Policy")
async def test_content_security_policy_says_the_same():
    csp = "django.middleware.csp.ContentSecurityPolicyMiddleware"
    seen = await assert_same(["GET /plain"], middleware=[*STOCK, csp], SECURE_CSP={"default-src": ["'self'"]})

    assert ("content-security-policy", "default-src 'self'") in seen[0]["headers"]


def test_every_twin_is_in_a_conversation():
    assert set(TWINS) == {*LOGIN_REQUIRED, *FLAT, "django.middleware.csp.ContentSecurityPolicyMiddleware"}
