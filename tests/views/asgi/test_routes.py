"""A recent path has the match that Django makes of it, for each request anew."""

import functools
import uuid

import pytest
from django.core.handlers.base import BaseHandler
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import Resolver404, URLPattern, URLResolver, get_resolver, include, path, re_path, register_converter
from django.urls.converters import StringConverter
from django.urls.resolvers import RoutePattern
from django.utils import translation
from django.utils.functional import lazy
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from daf_views.asgi import routes
from daf_views.asgi.handler import AsyncHandler
from daf_views.asgi.routes import Routes
from tests.support.exchange import exchange


async def view(request, *args, **kwargs):
    match = request.resolver_match
    seen = repr((args, kwargs, match.kwargs, match.captured_kwargs))
    match.kwargs["left"] = match.captured_kwargs["left"] = kwargs["left"] = "behind"
    return HttpResponse(seen)


async def other_view(request):
    raise NotImplementedError


inner = [
    path("", view, name="inner"),
    path("<int:number>/", view, {"more": 1}, name="number"),
    re_path(r"^(\d+)-(\w+)/$", view),
    re_path(r"^named-(?P<name>\w+)/(?:page-(?P<page>\d+)/)?$", view),
]
urlpatterns = [
    path("plain/", view, name="plain"),
    path("<uuid:key>/<slug:slug>/<path:rest>", view),
    path("in/<str:shop>/", include((inner, "app"), namespace="space"), {"default": True}),
    re_path(r"^free", include(inner)),
]


def matched(resolve, path):
    try:
        found = vars(resolve(path))
    except Resolver404 as error:
        return repr(error.args)
    return {**found, "tried": repr(found["tried"])}


def resolver_of(*patterns):
    return get_resolver(tuple(patterns))


PARTS = ["plain", "in", "free", "", "shop", "7", "7-a", "named-x", "page-2", str(uuid.UUID(int=5)), "a b", "ü"]


@given(st.lists(st.sampled_from(PARTS), max_size=4).map("/".join), st.sampled_from(["", "/"]))
@override_settings(ROOT_URLCONF=__name__)
def test_any_path_is_matched_as_by_django(path, end):
    request = RequestFactory().get("/")
    request.path_info = f"/{path}{end}"
    resolver, known = get_resolver(), Routes(get_resolver())

    for _ in range(3):
        assert matched(known.resolve, request) == matched(resolver.resolve, request.path_info)


@override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[])
async def test_a_view_that_changes_its_match_changes_that_of_no_other_request():
    handler = AsyncHandler()
    for _ in range(3):
        for name, (args, kwargs) in {
            "/plain/": ((), {}),
            "/in/a/7/": ((), {"shop": "a", "default": True, "number": 7, "more": 1}),
            "/free7-b/": (("7", "b"), {}),
        }.items():
            answer = await exchange(handler, path=name)
            captured = {key: kwargs[key] for key in ("number",) if key in kwargs}
            assert answer.body.decode() == repr((args, kwargs, kwargs, captured))


@pytest.mark.parametrize("path", ["/plain/", "/in/a/7/", "/free7-b/"])
@override_settings(ROOT_URLCONF=__name__)
def test_nothing_that_is_left_on_a_match_is_on_another(path):
    request, known, fresh = RequestFactory().get(path), Routes(get_resolver()), get_resolver().resolve(path)
    for _ in range(3):
        match = known.resolve(request)
        assert vars(match) == vars(fresh)
        for name, value in vars(match).items():
            if type(value) is dict:
                value["left"] = "behind"
            if type(value) is list and name != "tried":  # is for messages alone
                value.append("left behind")
        match.left = "behind"


@override_settings(ROOT_URLCONF=__name__)
def test_the_patterns_that_were_tried_are_kept_once_for_the_paths_of_a_route():
    known = Routes(get_resolver())
    first, *others = [known.resolve(RequestFactory().get(f"/in/a/{number}/")) for number in (1, 2, 1, 2)]
    before = list(first.tried)
    first.tried.append("left behind")

    assert before
    assert [match.tried for match in others] == [before] * 3
    assert others[1].tried is others[2].tried


class Doubled(StringConverter):
    pass


register_converter(Doubled, "doubled")


class OwnPattern(URLPattern):
    pass


class OwnList(list):
    """Its patterns may be others the next time."""


class OwnResolver(URLResolver):
    pass


@pytest.mark.parametrize(
    "patterns",
    [
        [path("<doubled:text>/", view)],
        [path(gettext_lazy("plain/"), view)],
        [re_path(gettext_lazy("^plain/"), view)],
        [path("deep/", include([path("<doubled:text>/", view)])), path("plain/", view)],
        [OwnPattern(path("plain/", view).pattern, view)],
        [OwnResolver(path("", include([])).pattern, [path("plain/", view)])],
        [path("", include(OwnList([path("plain/", view)])))],
        [path("plain/", view), path("broken/", include(translation))],
    ],
)
def test_a_project_whose_matches_depend_on_more_than_the_path_keeps_none(patterns):
    known = Routes(resolver_of(*patterns))
    request = RequestFactory().get("/plain/")

    assert known.resolve(request).func is view
    assert known._known == {}


def test_a_urlconf_may_include_itself():
    patterns = [path("plain/", view)]
    patterns.append(path("again/", include(patterns)))
    known = Routes(resolver_of(*patterns))
    for _ in range(2):
        assert known.resolve(RequestFactory().get("/again/again/plain/")).func is view
    assert len(known._known) == 1


def test_a_lazy_path_is_followed():
    known = Routes(resolver_of(path("plain/", view), path("schlicht/", other_view)))
    request = RequestFactory().get("/")
    request.path_info = lazy(lambda: {"en": "/plain/", "de": "/schlicht/"}[translation.get_language()], str)()
    for _ in range(2):
        for language, expected in (("en", view), ("de", other_view)):
            with translation.override(language):
                assert known.resolve(request).func is expected


@pytest.mark.parametrize("step", [(URLResolver, "resolve"), (URLPattern, "resolve"), (RoutePattern, "match")])
def test_a_tracer_that_came_before_daf_sees_every_request(monkeypatch, step):
    owner, name = step
    original, seen = getattr(owner, name), []

    @functools.wraps(original)
    def traced(self, path):
        seen.append(path)
        return original(self, path)

    monkeypatch.setattr(owner, name, traced)
    monkeypatch.setattr(routes, "_RESOLVE", URLResolver.resolve)  # as on an import after it
    known = Routes(resolver_of(path("plain/", view)))
    for _ in range(2):
        seen.clear()
        known.resolve(RequestFactory().get("/plain/"))
        assert seen


@override_settings(ROOT_URLCONF="tests.views.asgi.translated_urls")
def test_prefixes_of_languages_are_followed():
    known = Routes(get_resolver())
    request = RequestFactory().get("/de/plain/")

    with translation.override("de"):
        assert known.resolve(request).func is view
    with translation.override("en"), pytest.raises(Resolver404):
        known.resolve(request)


def test_paths_that_are_kept_have_a_bound_in_number_and_length(monkeypatch):
    monkeypatch.setattr(routes, "_MAX_PATHS", 10)
    known = Routes(resolver_of(re_path(".*", view)))
    for number in range(25):
        known.resolve(RequestFactory().get(f"/{number}/"))
        assert len(known._known) <= 10
    before = len(known._known)
    known.resolve(RequestFactory().get("/" + "x" * 200))

    assert len(known._known) == before


def test_a_path_without_a_match_is_not_kept():
    known = Routes(resolver_of(path("plain/", view)))
    for _ in range(2):
        with pytest.raises(Resolver404):
            known.resolve(RequestFactory().get("/other/"))

    assert known._known == {}


def test_a_tracer_that_wraps_resolve_sees_every_request(monkeypatch):
    known, seen, resolve = Routes(resolver_of(path("plain/", view))), [], URLResolver.resolve
    request = RequestFactory().get("/plain/")
    known.resolve(request)

    monkeypatch.setattr(URLResolver, "resolve", lambda self, path: seen.append(path) or resolve(self, path))
    known.resolve(request)

    assert seen == ["/plain/"]


@override_settings(MIDDLEWARE=[])
async def test_a_changed_urlconf_is_followed():
    with override_settings(ROOT_URLCONF=(path("plain/", view),)):
        handler = AsyncHandler()
        assert (await exchange(handler, path="/plain/")).status == 200
    with override_settings(ROOT_URLCONF=(path("other/", view),)):
        assert (await exchange(handler, path="/plain/")).status == 404
        assert (await exchange(handler, path="/other/")).status == 200


@override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[])
async def test_code_that_replaces_resolve_request_is_called(monkeypatch):
    resolve_request, seen = BaseHandler.resolve_request, []

    def traced(self, request):
        seen.append(request.path)
        match = resolve_request(self, request)
        return match.func, match.args, match.kwargs

    monkeypatch.setattr(BaseHandler, "resolve_request", traced)
    handler = AsyncHandler()
    for _ in range(2):
        assert (await exchange(handler, path="/plain/")).status == 200

    assert seen == ["/plain/", "/plain/"]
