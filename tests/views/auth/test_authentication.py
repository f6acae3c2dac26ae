"""Authentication and permissions of a request."""

import functools
import json

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.http import HttpResponse
from django.test import AsyncClient, AsyncRequestFactory
from django.urls import path
from django.utils.decorators import async_only_middleware
from django.utils.functional import SimpleLazyObject

import daf_views.middleware
from daf_views import AsyncAPIView, AsyncView
from daf_views.access import LoginRequiredMixin
from daf_views.auth import HasPerms, IsAuthenticated, IsAuthenticatedOrReadOnly, IsStaff
from daf_views.auth.authentication import (
    APIKeyAuthentication,
    Authentication,
    BearerAuthentication,
    SessionAuthentication,
)
from daf_views.auth.identity import known_user_of, user_of
from daf_views.throttling import AsyncRateThrottle
from tests.project.library.models import Author

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class Tokens(BearerAuthentication):
    async def get_user(self, token):
        return await User.objects.filter(username=token.removeprefix("token-of-")).afirst()


class Keys(APIKeyAuthentication):
    async def get_user(self, key):
        return await User.objects.filter(username=key.removeprefix("key-of-")).afirst()


class Who(AsyncAPIView):
    authentication = (Tokens, Keys, SessionAuthentication)

    async def get(self, request):
        return self.success((await request.auser()).username)

    post = get


class Members(Who):
    permissions = (IsAuthenticated,)


class Readers(Who):
    permissions = (IsAuthenticatedOrReadOnly,)


class Staff(Who):
    permissions = (IsStaff,)


class Editors(Who):
    permissions = (HasPerms("library.change_author"),)


class TokensOnly(Members):
    authentication = (Tokens,)


class AnyUser(AsyncAPIView):
    permissions = (IsAuthenticated,)

    async def get(self, request):
        return self.success(None)


urlpatterns = [
    path("who/", Who.as_view()),
    path("members/", Members.as_view()),
    path("readers/", Readers.as_view()),
    path("staff/", Staff.as_view()),
    path("editors/", Editors.as_view()),
    path("tokens/", TokensOnly.as_view()),
    path("any/", AnyUser.as_view()),
]


@pytest.fixture(autouse=True)
def middleware(settings):
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ]


@pytest.fixture
async def ada():
    return await User.objects.acreate(username="ada")


@pytest.fixture
async def client():
    return AsyncClient(enforce_csrf_checks=True)


TOKEN, KEY = {"Authorization": "Bearer token-of-ada"}, {"X-API-Key": "key-of-ada"}


@pytest.mark.parametrize("headers", [TOKEN, KEY, {"Authorization": "bearer  token-of-ada"}])
@pytest.mark.parametrize("method", ["get", "post"])
async def test_a_token_or_a_key_identifies_the_user(ada, client, headers, method):
    response = await getattr(client, method)("/members/", headers=headers)
    assert (response.status_code, response.json()) == (200, "ada")


async def test_a_session_identifies_the_user_and_other_sites_cannot_use_its_cookie(ada, client):
    await client.aforce_login(ada)
    assert (await client.get("/members/")).json() == "ada"
    assert (await client.post("/members/")).status_code == 403
    assert (await client.post("/members/", headers=KEY)).status_code == 200  # no other site can send the key


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer token-of-eve"}, {"X-API-Key": "key-of-eve"}])
async def test_invalid_proof_is_refused_even_where_none_is_required(ada, client, headers):
    response = await client.get("/who/", headers=headers)
    assert response.status_code == 401
    expected = 'Bearer error="invalid_token"' if "Authorization" in headers else 'APIKey header="X-API-Key"'
    assert response["WWW-Authenticate"] == expected


@pytest.mark.parametrize("headers", [TOKEN, KEY])
async def test_an_inactive_user_is_refused(ada, client, headers):
    await User.objects.aupdate(is_active=False)
    assert (await client.get("/who/", headers=headers)).status_code == 401


async def test_an_unauthenticated_request_is_challenged(client):
    response = await client.get("/members/")
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer, APIKey header="X-API-Key", Session'
    assert (await client.get("/who/")).json() == ""


async def test_a_session_is_nobodys_where_it_is_not_asked_for(ada, client):
    await client.aforce_login(ada)
    assert (await client.get("/tokens/")).status_code == 401
    assert (await client.get("/tokens/", headers=TOKEN)).json() == "ada"


async def test_without_authentication_the_user_is_that_of_middleware(ada, client):
    assert (await client.get("/any/")).status_code == 403
    await client.aforce_login(ada)
    assert (await client.get("/any/")).status_code == 200


async def test_every_request_may_read(ada, client):
    assert (await client.get("/readers/")).status_code == 200
    assert (await client.post("/readers/")).status_code == 401
    assert (await client.post("/readers/", headers=KEY)).status_code == 200


async def test_staff(ada, client):
    assert (await client.get("/staff/", headers=KEY)).status_code == 403
    await User.objects.aupdate(is_staff=True)
    assert (await client.get("/staff/", headers=KEY)).status_code == 200


async def test_permissions_of_djangos(ada, client):
    assert (await client.get("/editors/")).status_code == 401
    assert (await client.get("/editors/", headers=KEY)).status_code == 403
    await ada.user_permissions.aadd(await Permission.objects.aget(codename="change_author"))
    assert (await client.get("/editors/", headers=KEY)).status_code == 200


class IsOwn:
    message = "It is not yours."

    async def has_permission(self, request, view):
        return True

    async def has_object_permission(self, request, view, obj):
        return obj.name == (await request.auser()).username


class Authors(Who):
    authentication = (Keys,)
    permissions = (IsOwn, HasPerms("library.view_author", per_object=True))

    async def get(self, request, pk):
        author = await Author.objects.aget(pk=pk)
        await self.check_object_permissions(request, author)
        return self.success(author.name)


async def answer_to(user, author):
    request = AsyncRequestFactory().get("/", headers={"X-API-Key": f"key-of-{user.username}"})
    response = await Authors.as_view()(request, pk=author.pk)
    return response.status_code, json.loads(response.content)


async def test_one_object_may_be_anothers(ada, settings):
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.OwnersBackend"]
    own, other = await Author.objects.acreate(name="ada"), await Author.objects.acreate(name="eve")
    assert await answer_to(ada, own) == (200, "ada")
    status, problem = await answer_to(ada, other)
    assert (status, problem["detail"]) == (403, "It is not yours.")
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]  # it knows no objects
    assert (await answer_to(ada, own))[0] == 403


class OwnersBackend:
    async def ahas_perm(self, user, perm, obj=None):
        return obj is not None and obj.name == user.username


async def test_a_user_of_another_kind_is_authenticated():
    class Strings(BearerAuthentication):
        async def get_user(self, token):
            return token

    class View(Members):
        authentication = (Strings,)

        async def get(self, request):
            return self.success(await request.auser())

    response = await View.as_view()(AsyncRequestFactory().get("/", headers=TOKEN))
    assert json.loads(response.content) == "token-of-ada"


@pytest.mark.parametrize("kind", [BearerAuthentication, APIKeyAuthentication])
async def test_a_user_that_does_not_exist_is_invalid_proof(kind):
    class Strict(kind):
        async def get_user(self, proof):
            return await User.objects.aget(username=proof)

    view = type("Strictly", (Who,), {"authentication": [Strict]})
    headers = {"authorization": "Bearer unknown", "x-api-key": "unknown"}

    response = await view.as_view()(AsyncRequestFactory().get("/", headers=headers))

    assert response.status_code == 401


class Tester:
    """A user whose flags are methods, as those of other libraries are."""

    def is_authenticated(self):
        return False

    def is_active(self):
        return False


@pytest.mark.parametrize("kind", [BearerAuthentication, APIKeyAuthentication])
@pytest.mark.parametrize("permissions", [[], [IsAuthenticated], [IsStaff]])
async def test_a_flag_of_a_user_that_is_a_method_lets_no_request_in(kind, permissions):
    class Proofs(kind):
        async def get_user(self, proof):
            return Tester()

    view = type("Tested", (Who,), {"authentication": [Proofs], "permissions": permissions})
    headers = {"authorization": "Bearer a", "x-api-key": "a"}

    response = await view.as_view()(AsyncRequestFactory().get("/", headers=headers))

    assert response.status_code == 500


async def test_a_user_of_middleware_whose_flag_is_a_method_is_not_known():
    request = AsyncRequestFactory().get("/")
    request.user = Tester()

    with pytest.raises(TypeError, match=r"Tester\.is_authenticated is the function is_authenticated\(\)"):
        await known_user_of(request)


async def test_a_proof_of_the_wrong_kind_is_invalid():
    class Numbers(BearerAuthentication):
        async def get_user(self, token):
            raise ValidationError(f"{token} is no UUID.")

    view = type("Numbered", (Who,), {"authentication": [Numbers]})
    response = await view.as_view()(AsyncRequestFactory().get("/", headers={"authorization": "Bearer a"}))

    assert response.status_code == 401


def _sync(self, token):
    return None


async def _without_proof(self):
    return None


async def _with_request(self, request, token):
    return None


@pytest.mark.parametrize("get_user", [_sync, _without_proof, _with_request, None])
def test_a_get_user_of_another_shape_is_refused_when_the_class_is_made(get_user):
    with pytest.raises(TypeError, match=r"Wrong\.get_user\(\) is called with one proof and awaited: write"):
        type("Wrong", (BearerAuthentication,), {"get_user": get_user})


def test_a_get_user_with_a_decorator_or_more_defaults_is_taken():
    def decorated(func):
        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            return func(*args, **kwargs)

        return wrapper

    class Right(BearerAuthentication):
        @decorated
        async def get_user(self, token, *, fresh=False):
            return None

    class Static(APIKeyAuthentication):
        @staticmethod
        async def get_user(_key):
            return None

    assert Right()
    assert Static()


async def test_a_class_without_get_user_is_a_bug_that_names_the_method(caplog):
    view = Who.as_view(authentication=(BearerAuthentication,))

    response = await view(AsyncRequestFactory().get("/", headers=TOKEN))

    assert response.status_code == 500
    assert "BearerAuthentication finds no user: write `async def get_user(self, proof)`." in caplog.text


async def test_an_anonymous_user_is_no_user_to_throttles():
    request = AsyncRequestFactory().get("/")
    assert (await Who.as_view(authentication=(Tokens,))(request)).status_code == 200
    assert not hasattr(request, "proven_user")
    assert isinstance(await request.auser(), AnonymousUser)


async def test_a_view_without_any_source_of_users_is_an_error():
    with pytest.raises(ImproperlyConfigured, match="put AuthenticationMiddleware into MIDDLEWARE, or give the view"):
        await user_of(AsyncRequestFactory().get("/"))


@pytest.mark.parametrize("perms", [(), ("change_author",)])
def test_permissions_have_an_app(perms):
    with pytest.raises(TypeError, match=r"app_label\.codename"):
        HasPerms(*perms)


def test_a_check_of_an_object_must_be_async():
    class Sync(IsAuthenticated):
        def has_object_permission(self, request, view, obj):
            return True

    with pytest.raises(TypeError, match=r"has_object_permission\(\) is not async"):
        type("View", (AsyncAPIView,), {"permissions": [Sync]})


class Cookies(Authentication):
    async def authenticate(self, request):
        return await User.objects.filter(username=request.COOKIES.get("jwt")).afirst()


async def test_a_proof_of_another_kind_is_one_that_another_site_may_use(ada):
    client = AsyncClient(enforce_csrf_checks=True)
    client.cookies["jwt"] = "ada"
    view = Members.as_view(authentication=(Cookies,))
    request = AsyncRequestFactory().post("/", headers={"Cookie": "jwt=ada", "Origin": "https://evil.example"})
    request._dont_enforce_csrf_checks = False
    assert (await view(request)).status_code == 403


@pytest.mark.parametrize("user", [None, False, ""])
async def test_a_value_that_is_no_user_is_unauthenticated(user):
    class Sloppy(BearerAuthentication):
        async def get_user(self, token):
            return user

    request = AsyncRequestFactory().get("/", headers=TOKEN)
    assert (await Members.as_view(authentication=(Sloppy,))(request)).status_code == 401


NO_USERS = {
    "a QuerySet": (User.objects.all, "return the user alone, or None"),
    "the class User": (lambda: User, "return the user alone, or None"),
    "a coroutine": (User.objects.afirst, "write `return await …`"),
    "a tuple": (lambda: (User(), "token"), "return the user alone, or None"),
}


@pytest.mark.parametrize(("kind", "make", "remedy"), [(kind, *rest) for kind, rest in NO_USERS.items()], ids=NO_USERS)
async def test_a_get_user_that_returns_no_user_is_named(kind, make, remedy, caplog):
    class Sloppy(BearerAuthentication):
        async def get_user(self, token):
            return make()

    request = AsyncRequestFactory().get("/", headers=TOKEN)
    assert (await Members.as_view(authentication=(Sloppy,))(request)).status_code == 500
    error = str(caplog.records[-1].exc_info[1])
    assert error.endswith(f"Sloppy.get_user() returned {kind}, which would count as an authenticated user: {remedy}.")


@pytest.mark.parametrize(("is_active", "status"), [(True, 200), (False, 401)])
async def test_a_row_of_values_is_a_user_whose_flags_are_its_keys(ada, is_active, status):
    class Rows(BearerAuthentication):
        async def get_user(self, token):
            return await User.objects.filter(username="ada").values("username", "is_active").afirst()

    class Open(AsyncAPIView):
        authentication = (Rows,)
        permissions = (IsAuthenticated,)

        async def get(self, request):
            return self.success((await request.auser())["username"])

    await User.objects.filter(username="ada").aupdate(is_active=is_active)
    assert (await Open.as_view()(AsyncRequestFactory().get("/", headers=TOKEN))).status_code == status


@pytest.mark.parametrize("permission", [IsStaff, HasPerms("app.codename")])
async def test_a_user_of_another_kind_has_no_permissions_of_djangos(permission):
    class Strings(BearerAuthentication):
        async def get_user(self, token):
            return token

    request = AsyncRequestFactory().get("/", headers=TOKEN)
    view = Who.as_view(authentication=(Strings,), permissions=(permission,))
    assert (await view(request)).status_code == 403


async def test_a_session_of_an_inactive_user_is_unauthenticated(ada, client, settings):
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.AllowAllUsersModelBackend"]
    await client.aforce_login(ada)
    await User.objects.aupdate(is_active=False)
    assert (await client.get("/members/")).status_code == 401


# Empty credentials


class AsksForAll(BearerAuthentication):
    """Most accounts have no token: a query for an empty one would find them."""

    async def get_user(self, token):
        raise AssertionError(f"get_user() was asked for {token!r}")


class AsksForAllKeys(APIKeyAuthentication):
    get_user = AsksForAll.get_user


@pytest.mark.parametrize(
    "headers",
    [
        *(
            {"Authorization": value}
            for value in ("Bearer", "Bearer ", "bearer\t", "BEARER  \t ", "Bearer \xa0", "Bearer \0")
        ),
        *({"X-API-Key": value} for value in ("", " ", "\t", "\xa0", "\0", "a\0")),
    ],
    ids=repr,
)
async def test_an_empty_credential_is_refused_and_reaches_no_query(headers):
    request = AsyncRequestFactory().get("/", headers=headers)
    view = Members.as_view(authentication=(AsksForAll, AsksForAllKeys))
    response = await view(request)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"]


@pytest.mark.parametrize("returned", [(AnonymousUser(), None), (User(), "token"), [], True])
async def test_a_return_value_of_other_frameworks_lets_no_request_in(returned):
    class LikeDRF(Authentication):
        async def authenticate(self, request):
            return returned

    view = Members.as_view(authentication=(LikeDRF,))
    response = await view(AsyncRequestFactory().get("/"))
    assert response.status_code == 500


# A user that other code has set


def setting(user, *, as_auser=False):
    """Return middleware that sets one of the two."""

    def middleware(get_response):
        async def set_user(request):
            if as_auser:

                async def auser():
                    return user

                request.auser = auser
            else:
                request.user = user() if callable(user) else user
            return await get_response(request)

        return set_user

    return async_only_middleware(middleware)


take_away = setting(AnonymousUser())
take_away_auser = setting(AnonymousUser(), as_auser=True)
set_to_none = setting(lambda: None)
set_lazily = setting(lambda: SimpleLazyObject(lambda: User.objects.get(username="ada")))
set_ada = setting(lambda: User(pk=1, username="ada"))


class Page(LoginRequiredMixin, AsyncView):
    async def get(self, request):
        return HttpResponse((await request.auser()).username)


class OwnPermission:
    async def has_permission(self, request, view):
        return (await request.auser()).is_authenticated


urlpatterns += [
    path("page/", Page.as_view()),
    path("own/", AnyUser.as_view(permissions=[OwnPermission])),
    path("sessions/", Members.as_view(authentication=[SessionAuthentication])),
]
PATHS = ["/any/", "/page/", "/own/", "/sessions/"]


@pytest.mark.parametrize("thread_free", [False, True])
@pytest.mark.parametrize("taken", ["take_away", "take_away_auser", "set_to_none"])
@pytest.mark.parametrize("target", PATHS)
async def test_a_user_that_middleware_has_taken_away_is_let_in_nowhere(ada, settings, target, taken, thread_free):
    if thread_free:
        settings.MIDDLEWARE = daf_views.middleware.thread_free(settings.MIDDLEWARE)
    client = AsyncClient()
    await client.aforce_login(ada)
    assert (await client.get(target)).status_code == 200
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.{taken}"]
    client = AsyncClient()  # its handler keeps its middleware
    await client.aforce_login(ada)
    assert (await client.get(target)).status_code in {302, 401, 403}


@pytest.mark.parametrize("given", ["set_lazily", "set_ada"])
@pytest.mark.parametrize("with_sessions", [False, True])
@pytest.mark.parametrize("target", PATHS)
async def test_a_user_that_middleware_has_set_counts(ada, settings, target, given, with_sessions):
    settings.MIDDLEWARE = [*(settings.MIDDLEWARE if with_sessions else ()), f"{__name__}.{given}"]
    assert (await AsyncClient().get(target)).status_code == 200


@pytest.mark.parametrize("view", [AnyUser, Page])
async def test_a_request_of_the_factory_needs_a_user_only(view):
    request = AsyncRequestFactory().get("/")
    request.user = User(pk=1, username="ada")
    assert (await view.as_view()(request)).status_code == 200
    request.user = AnonymousUser()
    del request.auser
    assert (await view.as_view()(request)).status_code in {302, 403}


async def test_throttles_and_keys_go_by_the_user_that_was_set():
    request = AsyncRequestFactory().get("/")
    request.user = User(pk=1, username="ada")
    assert await known_user_of(request) is request.user
    request.user = AnonymousUser()
    assert await known_user_of(request) is None


# Guesses


async def test_wrong_credentials_are_counted_by_the_views_throttles(ada):
    view = TokensOnly.as_view(throttle=AsyncRateThrottle("3/minute"))

    async def status_of(token, address="192.0.2.1"):
        request = AsyncRequestFactory().get("/", headers={"Authorization": f"Bearer {token}"})
        request.META["REMOTE_ADDR"] = address
        return (await view(request)).status_code

    assert [await status_of(f"guess-{number}") for number in range(5)] == [401, 401, 401, 429, 429]
    assert await status_of("token-of-ada") == 429  # the right one is told from no other
    assert await status_of("token-of-ada", "192.0.2.2") == 200
