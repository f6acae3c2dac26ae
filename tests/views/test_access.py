import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpResponse
from django.test import AsyncRequestFactory
from django.urls import path
from django.views.generic import TemplateView

from daf_orm.test import count_hops
from daf_views import AsyncAPIView, AsyncView
from daf_views.access import AccessMixin, LoginRequiredMixin, PermissionRequiredMixin, UserPassesTestMixin
from daf_views.exceptions import ThrottledError
from daf_views.generic import ListView
from daf_views.middleware import thread_free
from tests.project.library.models import Event


class Plain(AsyncView):
    async def get(self, request):
        return HttpResponse(request.user.username)  # on the event loop


class API(AsyncAPIView):
    async def get(self, request):
        return self.success(request.user.username)

    post = get


class Events(ListView):
    model = Event
    template_name = "library/books.html"


class Authors(PermissionRequiredMixin):
    permission_required = "library.add_author"


class Adas(UserPassesTestMixin):
    async def test_func(self):
        return (await self.request.auser()).username == "ada"


class AdasAuthors(LoginRequiredMixin, Authors, Adas):
    pass


class Token(API):
    async def authenticate(self, request):
        return await User.objects.filter(username=request.headers.get("X-User", "")).afirst()


class Awaits(AsyncView):
    async def get(self, request):
        return HttpResponse((await request.auser()).username)


MIXINS = (LoginRequiredMixin, Authors, Adas, AdasAuthors)
VIEWS = (Plain, API, Events)


def protected(mixin, view, **attributes):
    return type(f"{mixin.__name__}{view.__name__}", (mixin, view), attributes)


urlpatterns = [
    *(
        path(f"{view.__name__}/{mixin.__name__}", protected(mixin, view).as_view())
        for mixin in MIXINS
        for view in VIEWS
    ),
    path("awaits", Awaits.as_view()),
    path("raises", protected(LoginRequiredMixin, Plain, raise_exception=True).as_view()),
    path("elsewhere", protected(LoginRequiredMixin, Plain, login_url="https://id.example/login").as_view()),
    path("named", protected(LoginRequiredMixin, Plain, redirect_field_name="then").as_view(login_url="awaits-it")),
    path("login", Awaits.as_view(), name="awaits-it"),
    path("token", protected(AdasAuthors, Token, permission_denied_message="Only ada.").as_view()),
]


@pytest.fixture(autouse=True)
def project(settings, db):
    settings.LOGIN_URL = "/login"
    settings.MIDDLEWARE = thread_free(
        [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ]
    )


@pytest.fixture
async def ada():
    user = await User.objects.acreate(username="ada")
    await user.user_permissions.aadd(await Permission.objects.aget(codename="add_author"))
    return user


@pytest.fixture
async def eve():
    return await User.objects.acreate(username="eve")


def names(views):
    return [view.__name__ for view in views]


@pytest.mark.parametrize("mixin", names(MIXINS))
@pytest.mark.parametrize("view", ["Plain", "Events"])
async def test_an_unauthenticated_request_is_sent_to_the_login_page(async_client, view, mixin):
    response = await async_client.get(f"/{view}/{mixin}", query_params={"page": 1})
    assert (response.status_code, response.url) == (302, f"/login?next=/{view}/{mixin}%3Fpage%3D1")


@pytest.mark.parametrize("mixin", names(MIXINS))
async def test_an_unauthenticated_request_gets_a_401_of_an_api(async_client, mixin):
    response = await async_client.get(f"/API/{mixin}")
    assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")


@pytest.mark.parametrize("mixin", names(MIXINS))
@pytest.mark.parametrize("view", names(VIEWS))
async def test_a_permitted_user_is_let_in(async_client, ada, view, mixin):
    await async_client.aforce_login(ada)
    assert (await async_client.get(f"/{view}/{mixin}")).status_code == 200


@pytest.mark.parametrize("mixin", ["Authors", "Adas", "AdasAuthors"])
@pytest.mark.parametrize("view", names(VIEWS))
async def test_a_user_without_permission_gets_a_403(async_client, eve, view, mixin):
    await async_client.aforce_login(eve)
    assert (await async_client.get(f"/{view}/{mixin}")).status_code == 403


async def test_a_403_of_an_api_is_a_problem_with_the_views_message(async_client, eve):
    response = await async_client.get("/token", headers={"X-User": "eve"})
    assert (response.status_code, response.json()["detail"]) == (403, "Only ada.")


async def test_an_api_knows_a_user_authenticated_without_a_session(async_client, ada):
    assert (await async_client.get("/token", headers={"X-User": "ada"})).json() == "ada"


async def test_raise_exception_answers_403_instead_of_a_redirect(async_client):
    assert (await async_client.get("/raises")).status_code == 403


async def test_a_login_page_elsewhere_is_told_the_whole_url(async_client):
    response = await async_client.get("/elsewhere")
    assert response.url == "https://id.example/login?next=http%3A//testserver/elsewhere"


async def test_the_login_page_may_be_named_and_its_parameter_too(async_client):
    assert (await async_client.get("/named")).url == "/login?then=/named"


async def test_every_method_is_protected(async_client):
    assert (await async_client.options("/Plain/LoginRequiredMixin")).status_code == 302


# Cost


async def hops_of(client, url):
    await client.get(url)
    with count_hops() as hops:
        assert (await client.get(url)).status_code == 200
    return hops.total


@pytest.mark.parametrize("view", ["Plain", "API"])
@pytest.mark.parametrize("mixin", ["LoginRequiredMixin", "Adas"])
async def test_a_mixin_costs_no_hop_beyond_loading_session_and_user(async_client, ada, view, mixin):
    await async_client.aforce_login(ada)
    assert await hops_of(async_client, f"/{view}/{mixin}") == await hops_of(async_client, "/awaits")


async def test_permissions_cost_the_hops_of_their_two_queries(async_client, ada):
    await async_client.aforce_login(ada)
    assert await hops_of(async_client, "/Plain/Authors") == await hops_of(async_client, "/awaits") + 2


async def test_permissions_of_a_superuser_cost_nothing(async_client):
    await async_client.aforce_login(await User.objects.acreate(username="root", is_superuser=True))
    assert await hops_of(async_client, "/Plain/Authors") == await hops_of(async_client, "/awaits")


# Order and overrides


def request(user=None):
    made = AsyncRequestFactory().get("/")
    someone = user or User(username="ada", is_superuser=True)

    async def auser():
        return someone

    made.user, made.auser = someone, auser
    return made


async def nobody(self):
    return False


async def test_mixins_decide_in_the_order_in_which_they_stand():
    asked = []

    class First(UserPassesTestMixin):
        async def has_first(self):
            asked.append("first")
            return False

        def get_test_func(self):
            return self.has_first

    class Second(PermissionRequiredMixin):
        async def has_permission(self):
            asked.append("second")
            return True

    with pytest.raises(PermissionDenied):
        await type("View", (First, Second, Plain), {}).as_view()(request())
    with pytest.raises(PermissionDenied):
        await type("View", (Second, First, Plain), {}).as_view()(request())
    assert asked == ["first", "second", "first"]


async def test_throttles_of_an_api_come_before_its_mixins(async_client):
    class Never:
        async def check(self, request, view):
            raise ThrottledError(retry_after=7)

    view = protected(LoginRequiredMixin, API, throttles=[Never])
    assert (await view.as_view()(request())).status_code == 429


@pytest.mark.parametrize("view", [Plain, API])
@pytest.mark.parametrize("is_async", [True, False])
async def test_handle_no_permission_may_answer_itself_async_or_not(view, is_async):
    async def answer(self):
        return HttpResponse(status=418)

    def answer_at_once(self):
        return HttpResponse(status=418)

    handler = answer if is_async else answer_at_once
    denied = protected(UserPassesTestMixin, view, test_func=nobody, handle_no_permission=handler)
    assert (await denied.as_view()(request())).status_code == 418


async def test_a_synchronous_handle_no_permission_may_return_its_parents_answer():
    class Denied(UserPassesTestMixin, Plain):
        test_func = nobody

        def handle_no_permission(self):
            self.permission_denied_message = "Not today."
            return super().handle_no_permission()

    with pytest.raises(PermissionDenied, match="Not today"):
        await Denied.as_view()(request())


@pytest.mark.parametrize(("mixin", "name"), [(UserPassesTestMixin, "test_func"), (Authors, "has_permission")])
def test_a_synchronous_check_is_refused(mixin, name):
    with pytest.raises(TypeError, match=rf"Denied\.{name}\(\) is not async: write `async def {name}"):
        type("Denied", (mixin, Plain), {name: bool})


@pytest.mark.parametrize("name", ["get_test_func", "get_login_url", "get_permission_required"])
def test_an_async_override_of_what_is_not_awaited_is_refused(name):
    with pytest.raises(TypeError, match=rf"Denied\.{name}\(\) is async, but is called without awaiting"):
        type("Denied", (UserPassesTestMixin, Authors, Plain), {name: nobody})


@pytest.mark.parametrize("view", VIEWS)
def test_a_mixin_behind_the_view_is_refused(view):
    with pytest.raises(TypeError, match="Open would let every request in"):
        type("Open", (view, LoginRequiredMixin), {})


async def test_a_mixin_without_permissions_says_so():
    with pytest.raises(ImproperlyConfigured, match=r"ingPlain\.permission_required"):
        await protected(type("Missing", (PermissionRequiredMixin,), {}), Plain).as_view()(request())


async def test_a_mixin_without_a_test_says_so():
    with pytest.raises(NotImplementedError, match="async def test_func"):
        await protected(UserPassesTestMixin, Plain).as_view()(request())


def test_nothing_to_log_in_at_is_said(settings):
    settings.LOGIN_URL = None
    with pytest.raises(ImproperlyConfigured, match=r"AccessMixin\.login_url or settings\.LOGIN_URL"):
        AccessMixin().get_login_url()


def test_a_view_of_djangos_has_no_use_for_them():
    with pytest.raises(TypeError, match="Page is a synchronous view, which awaits nothing"):
        type("Page", (LoginRequiredMixin, TemplateView), {})
