"""A recent path has the match that Django makes of it, for each request anew."""

import uuid

import pytest
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import Resolver404, URLPattern, URLResolver, get_resolver, include, path, re_path, register_converter
from django.urls.converters import StringConverter
from django.utils import translation
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


class Doubled(StringConverter):
    pass


register_converter(Doubled, "doubled")


class OwnPattern(URLPattern):
    pass


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
    ],
)
def test_a_project_whose_matches_depend_on_more_than_the_path_keeps_none(patterns):
    known = Routes(resolver_of(*patterns))
    request = RequestFactory().get("/plain/")

    assert known.resolve(request).func is view
    assert known._known == {}


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
