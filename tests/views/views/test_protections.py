"""A protection without effect is refused when the class is made, with the class and the remedy."""

import django.contrib.auth.mixins
import pytest
from django.http import HttpResponse, HttpResponseForbidden
from django.test import AsyncRequestFactory

from daf_views import AsyncAPIView, AsyncView
from daf_views.access import AccessMixin, LoginRequiredMixin, PermissionRequiredMixin, UserPassesTestMixin
from daf_views.auth import Authentication, IsStaff
from daf_views.exceptions import ForbiddenError, ThrottledError
from daf_views.generic import FormView, ListView, TemplateView
from daf_views.views import Stage

requests = AsyncRequestFactory()
VIEWS = [AsyncView, AsyncAPIView, ListView, TemplateView]


async def get(self, request, **kwargs):
    return HttpResponse("open")


def view(*bases, **attributes):
    return type("Orders", bases or (AsyncAPIView,), {"get": get, "__module__": __name__, **attributes})


async def status_of(made):
    return (await made.as_view()(requests.get("/"))).status_code


# After the view


class Plugs:
    permissions = (IsStaff,)


class Throttles:
    throttles = ()


class Admits:
    async def admit(self, request):
        raise ForbiddenError


class Authenticates:
    async def authenticate(self, request):
        return None


class Dispatches:
    async def dispatch(self, request, *args, **kwargs):
        return await super().dispatch(request, *args, **kwargs)


class Atomic:
    atomic = True


@pytest.mark.parametrize("mixin", [Plugs, Throttles, Admits, Authenticates, Dispatches, Atomic])
def test_a_mixin_that_comes_after_the_view_is_refused(mixin):
    with pytest.raises(
        TypeError, match=rf"Orders would not use {mixin.__name__}\.\w+, .*: name {mixin.__name__} before"
    ):
        view(AsyncAPIView, mixin)
    with pytest.raises(TypeError, match="would not use"):
        view(type("Parent", (AsyncAPIView,), {"__module__": __name__}), mixin)
    assert view(mixin, AsyncAPIView)


def test_a_mixin_that_is_a_view_is_refused_where_another_hides_it():
    class Mixin(AsyncView):
        async def admit(self, request):
            raise ForbiddenError

    with pytest.raises(TypeError, match=r"would not use .*Mixin\.admit"):
        view(AsyncAPIView, Mixin)


@pytest.mark.parametrize("base", VIEWS)
@pytest.mark.parametrize(
    "mixin", [django.contrib.auth.mixins.LoginRequiredMixin, LoginRequiredMixin, PermissionRequiredMixin]
)
def test_an_access_mixin_after_the_view_is_refused(base, mixin):
    with pytest.raises(TypeError, match="before"):
        view(base, mixin)


def test_an_attribute_of_the_class_itself_hides_nothing_unseen():
    assert view(AsyncAPIView, Throttles, throttles=[])


# Without its mixin


@pytest.mark.parametrize("base", VIEWS)
@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("permission_required", "PermissionRequiredMixin"),
        ("test_func", "UserPassesTestMixin"),
        ("login_required", "LoginRequiredMixin"),
    ],
)
def test_an_attribute_without_its_mixin_is_refused(base, name, remedy):
    with pytest.raises(TypeError, match=rf"Orders\.{name} would do nothing: name {remedy}"):
        view(base, **{name: "shop.add_order"})


def test_with_its_mixin_or_code_that_reads_it_it_is_not():
    async def admit(self, request):
        await super(type(self), self).admit(request)
        if not getattr(self, "permission_required", None):
            raise ForbiddenError

    assert view(PermissionRequiredMixin, AsyncView, permission_required="shop.add_order")
    assert view(django.contrib.auth.mixins.PermissionRequiredMixin, AsyncView, permission_required="shop.add_order")
    assert view(permission_required="shop.add_order", admit=admit)


# Misspelt names


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("permisions", "permissions"),
        ("permissons", "permissions"),
        ("perms", "permissions"),
        ("permission_class", "permissions"),
        ("permissions_classes", "permissions"),
        ("permissions_required", "permission_required"),
        ("autentication", "authentication"),
        ("authentification", "authentication"),
        ("authenticators", "authentication"),
        ("throtle", "throttle"),
        ("throttels", "throttles"),
        ("enforce_csrf", "enforces_csrf"),
        ("idempotent", "idempotency"),
    ],
)
@pytest.mark.parametrize("base", [AsyncView, AsyncAPIView])
def test_a_misspelt_attribute_is_refused(base, name, meant):
    with pytest.raises(TypeError, match=rf"Orders\.{name} would do nothing: did you mean `{meant}"):
        view(base, **{name: [IsStaff]})


@pytest.mark.parametrize(("name", "meant"), [("admits", "admit"), ("autenticate", "authenticate")])
def test_a_misspelt_hook_is_refused(name, meant):
    async def hook(self, request):
        raise ForbiddenError

    with pytest.raises(TypeError, match=f"did you mean `{meant}`"):
        view(**{name: hook})


def test_a_name_that_is_alike_and_read_is_the_projects_own():
    class Own(AsyncAPIView):
        perms = ("a", "b")
        admin = "ada"
        permission_name = "x"

        async def get(self, request):
            return self.success(self.perms)

    assert Own.as_view()


# Hooks that no code calls

UNCALLED = {
    "has_permission": "permissions",
    "has_object_permission": "permissions",
    "check_permissions": "permissions",
    "check_throttles": "throttles",
    "perform_authentication": "authentication",
    "get_authenticators": "authentication",
    "permission_denied": "ForbiddenError",
    "initial": "async_setup",
    "initialize_request": "dispatch",
    "finalize_response": "dispatch",
}


@pytest.mark.parametrize("base", VIEWS)
@pytest.mark.parametrize(("name", "remedy"), UNCALLED.items(), ids=UNCALLED)
def test_a_hook_of_another_framework_is_refused(base, name, remedy):
    async def hook(self, request, obj=None):
        raise ForbiddenError

    with pytest.raises(TypeError, match=rf"Orders\.{name}\(\) would never be called: .*{remedy}"):
        view(base, **{name: hook})
    with pytest.raises(TypeError, match=rf"Mixin\.{name}\(\) would never be called"):
        view(type("Mixin", (), {name: hook, "__module__": __name__}), base)


def test_the_initial_data_of_a_form_is_no_hook():
    assert view(AsyncView, initial={"title": "Dune"}).as_view()
    assert view(FormView, initial=lambda _: {}).as_view()


def test_a_hook_that_the_project_calls_itself_is_its_own():
    class Own(AsyncAPIView):
        async def check_permissions(self, request):
            raise ForbiddenError

        async def get(self, request):
            await self.check_permissions(request)

    assert Own.as_view()


def test_a_hook_that_only_calls_its_supers_is_refused():
    class Mixin:
        async def check_permissions(self, request):
            await super().check_permissions(request)

    with pytest.raises(TypeError, match="would never be called"):
        view(Mixin, AsyncAPIView)


def test_has_permission_of_a_mixin_that_calls_it_is_used():
    async def has_permission(self):
        return False

    assert view(PermissionRequiredMixin, AsyncView, has_permission=has_permission)


# Other shapes


class NoView:
    async def has_permission(self, request):
        return False


class SyncCheck:
    def check(self, request, view):
        raise ThrottledError


class TwoArguments(Authentication):
    async def authenticate(self, request, token):
        return None


class LikeDRF(Authentication):
    async def authenticate(self, request) -> tuple[object, object] | None:
        return None


class Tuples(Authentication):
    async def authenticate(self, request) -> tuple[object, object]:
        return object(), None


@pytest.mark.parametrize(
    "attributes",
    [
        {"permissions": [NoView]},
        {"permissions": IsStaff},
        {"permissions": {"get": [IsStaff]}},
        {"permissions": None},
        {"throttles": [SyncCheck]},
        {"authentication": [TwoArguments]},
        {"authentication": [Tuples]},
    ],
    ids=str,
)
def test_a_policy_of_another_shape_is_refused(attributes):
    [name] = attributes
    with pytest.raises(TypeError, match=rf"Orders\.{name}"):
        view(**attributes)
    with pytest.raises(TypeError, match=rf"\.{name}"):
        AsyncAPIView.as_view(**attributes)


def test_a_hook_of_another_shape_is_refused():
    async def admit(self):
        raise ForbiddenError

    async def authenticate(self, request) -> tuple[object, None]: ...

    with pytest.raises(
        TypeError, match=r"Orders\.admit\(\) takes other arguments .* `async def admit\(self, request\)`"
    ):
        view(admit=admit)
    with pytest.raises(TypeError, match=r"Orders\.authenticate\(\) returns a tuple"):
        view(authenticate=authenticate)


def test_an_admit_that_asks_no_permissions_is_refused_where_there_are_some():
    async def admit(self, request):
        request.admitted = True

    with pytest.raises(
        TypeError, match=r"Orders\.permissions would not be used, because Orders\.admit\(\) does not call"
    ):
        view(permissions=[IsStaff], admit=admit)
    with pytest.raises(TypeError, match=r"Orders\.permissions would not be used, because Mixin\.admit\(\)"):
        view(type("Mixin", (), {"admit": admit}), view(permissions=[IsStaff]))
    assert view(admit=admit)


# Returned instead of raised


@pytest.mark.parametrize("hook", ["admit", "async_setup"])
async def test_a_response_that_a_hook_returns_lets_no_request_in(hook):
    async def returns(self, request):
        return HttpResponseForbidden()

    assert await status_of(view(**{hook: returns})) == 500


@pytest.mark.parametrize("answer", [HttpResponseForbidden(), ForbiddenError(), (False, "No."), []], ids=repr)
async def test_a_permission_that_returns_its_refusal_lets_no_request_in(answer):
    class Refuses:
        async def has_permission(self, request, view):
            return answer

    assert await status_of(view(permissions=[Refuses])) == 500


@pytest.mark.parametrize("answer", [HttpResponseForbidden(), ForbiddenError(), (False, "No.")], ids=repr)
async def test_a_refusal_returned_by_a_mixin_is_an_error(answer):
    async def test_func(self):
        return answer

    request = requests.get("/")
    request.user = object()
    with pytest.raises(TypeError, match="which counts as true"):
        await view(UserPassesTestMixin, AsyncView, test_func=test_func).as_view()(request)


def test_an_access_mixin_of_the_projects_own_is_its_own():
    class Mine(AccessMixin):
        login_required = True

        async def _is_allowed(self):
            return self.login_required

    assert view(Mine, AsyncView)


# Stages and hooks that would take the place of a protection


class Nobody:
    async def has_permission(self, request, view):
        return False


def step(view, request):
    """Do nothing."""


async def admits(self, request):
    """Allow every request."""


async def reads(self, request):
    return self.success("secret")


async def dispatches(self, request, *args, **kwargs):
    return await self.get(request)


class Closed(AsyncAPIView):
    permissions = (Nobody,)
    get = reads


class Open(AsyncAPIView):
    admit = admits
    get = reads


@pytest.mark.parametrize("name", ["admit", "authenticate", "permit", "origin", "token", "key", "handler"])
def test_a_stage_that_only_describes_leaves_no_place_empty(name):
    with pytest.raises(TypeError, match=f"Stage '{name}' would leave its place empty"):
        Stage(name=name, describe=step)


@pytest.mark.parametrize("place", ["admit", "permit"])
def test_a_stage_in_place_of_the_permissions_is_refused(place):
    with pytest.raises(TypeError, match=rf"Sub\.permissions would not be used, because the stage '{place}' of Sub"):
        type("Sub", (Closed,), {"stages": [Stage(name=place, run=step)]})


@pytest.mark.parametrize("place", ["origin", "token"])
def test_a_stage_in_place_of_a_csrf_check_is_refused_unless_the_view_says_so(place):
    own = {"stages": [Stage(name=place, run=step)]}
    with pytest.raises(TypeError, match=r"enforces_csrf would not be used, .* or leave enforces_csrf False"):
        type("Sub", (AsyncAPIView,), own)
    assert type("Sub", (AsyncAPIView,), {**own, "enforces_csrf": False})


def test_a_dispatch_that_leaves_the_stages_out_is_refused():
    with pytest.raises(TypeError, match=r"permissions would not be used, because Sub.dispatch\(\) does not call"):
        type("Sub", (Closed,), {"dispatch": dispatches})
    with pytest.raises(TypeError, match=r"enforces_csrf would not be used, because Sub.dispatch\(\)"):
        type("Sub", (AsyncAPIView,), {"dispatch": dispatches})


def test_a_decorated_hook_counts_by_what_it_decorates():
    def logged(function):
        async def inner(self, request):
            return await function(self, request)

        return inner

    class Sub(Closed):
        @logged
        async def admit(self, request):
            await super().admit(request)

    assert Sub
    with pytest.raises(TypeError, match="permissions would not be used"):
        type("Other", (Closed,), {"admit": logged(admits)})


def test_arguments_of_as_view_are_used_or_refused():
    with pytest.raises(TypeError, match=r"Open\.permissions would not be used, because Open\.admit\(\)"):
        Open.as_view(permissions=[Nobody])
    with pytest.raises(TypeError, match="takes no stages"):
        Closed.as_view(stages=[])


@pytest.mark.parametrize(
    ("base", "name", "value"),
    [
        (Open, "permissions", (Nobody(),)),
        (Closed, "stages", [Stage(name="own", run=step, after="permit")]),
        (Closed, "admit", step),
        (Closed, "dispatch", step),
    ],
)
async def test_attributes_that_setup_sets_are_used_or_an_error(base, name, value):
    def setup(self, request, *args, **kwargs):
        AsyncAPIView.setup(self, request, *args, **kwargs)
        setattr(self, name, value)

    view = type("Sub", (base,), {"setup": setup})
    assert (await view.as_view()(requests.get("/"))).status_code == 500


class First:
    stages = (Stage(name="own", run=step, after="permit"),)


class Second:
    stages = (Stage(name="own", run=step, after="permit"),)


def test_stages_of_one_name_that_do_not_know_each_other_are_refused():
    with pytest.raises(TypeError, match="the stage 'own' of Second would not run, because that of First"):
        type("Sub", (First, Second, AsyncAPIView), {})
    with pytest.raises(TypeError, match="has two stages 'own'"):
        type("Sub", (AsyncAPIView,), {"stages": [*First.stages, *Second.stages]})
    assert type("Sub", (type("Child", (First,), {"stages": Second.stages}), AsyncAPIView), {})


def test_a_stage_in_place_of_an_access_mixin_is_refused():
    async def around(view, request, proceed):
        return await proceed()

    own = {"stages": [Stage(name="access", around=around)]}
    with pytest.raises(TypeError, match="the stage 'access' of AccessMixin would not run"):
        type("Sub", (type("Mixin", (), own), LoginRequiredMixin, AsyncAPIView), {})
    with pytest.raises(TypeError, match="the stage 'access' of AccessMixin would not run"):
        type("Sub", (LoginRequiredMixin, AsyncAPIView), own)
