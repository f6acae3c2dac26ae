"""Views whose every request would be an error are found by ``manage.py check``: ``daf_views.E025``, ``E026``."""

import functools

import pytest
from django.test import override_settings
from django.urls import include, path, re_path

from daf_views import AsyncAPIView, AsyncView
from daf_views.views.url_checks import check_aliases, check_arguments

pytestmark = pytest.mark.no_database


def decorated(handler):
    @functools.wraps(handler)
    async def wrapper(self, request, *args, **kwargs):
        return await handler(self, request)

    return wrapper


class Untyped(AsyncView):
    async def get(self, request, pk):
        pass


class Plain(AsyncAPIView):
    async def get(self, request):
        pass


class Typed(AsyncAPIView):
    async def get(self, request, pk: int, page: int = 1) -> None:
        pass


class TakesAll(AsyncView):
    async def get(self, request, *args, **kwargs):
        pass


class Decorated(AsyncView):
    @decorated
    async def get(self, request):
        pass


class Dispatches(AsyncView):
    async def dispatch(self, request, *args, **kwargs):
        return await super().dispatch(request)

    async def get(self, request):
        pass


WRONG = {
    "a handler without the argument": (path("<int:pk>", Plain.as_view()), "does not take 'pk'"),
    "a handler of another name": (path("<int:id>", Untyped.as_view()), "does not take 'id'"),
    "a typed handler of another name": (path("<int:id>", Typed.as_view()), "does not take 'id'"),
    "a URL without the argument": (path("", Untyped.as_view()), "takes 'pk', which the URL '/' does not give"),
    "an argument of the URLconf": (path("<int:pk>", Untyped.as_view(), {"extra": 1}), "does not take 'extra'"),
    "an argument of an include": (path("<slug:a>/", include([path("<int:pk>", Untyped.as_view())])), "'a', which"),
}
RIGHT = {
    "the argument": path("<int:pk>", Untyped.as_view()),
    "a typed argument from the query": path("", Typed.as_view()),
    "a typed argument from the path": path("<int:pk>", Typed.as_view()),
    "any argument": path("<int:anything>", TakesAll.as_view()),
    "a decorator": path("<int:pk>", Decorated.as_view()),
    "a dispatch of the project": path("<int:pk>", Dispatches.as_view()),
    "a regular expression": re_path(r"^(\d+)$", Untyped.as_view()),
    "no argument": path("", Plain.as_view()),
}


def ids_and_messages(pattern):
    module = type("urls", (), {"urlpatterns": [pattern]})
    with override_settings(ROOT_URLCONF=module):
        return [(each.id, each.msg) for each in check_arguments()]


@pytest.mark.parametrize(("pattern", "message"), WRONG.values(), ids=WRONG)
def test_a_handler_that_cannot_be_called_is_an_error(pattern, message):
    found = ids_and_messages(pattern)

    assert {each for each, _ in found} == {"daf_views.E025"}
    assert any(message in text for _, text in found)


@pytest.mark.parametrize("pattern", RIGHT.values(), ids=RIGHT)
def test_a_handler_that_can_be_called_is_none(pattern):
    assert ids_and_messages(pattern) == []


class Elsewhere(Plain):
    atomic = "archive"


@pytest.mark.parametrize("view", [Elsewhere.as_view(), Plain.as_view(atomic="archive")])
def test_a_transaction_in_no_database_is_found(view):
    urls = type("urls", (), {"urlpatterns": [path("a", view), path("b", view)]})
    with override_settings(ROOT_URLCONF=urls):
        (error,) = check_aliases()
    assert error.id == "daf_views.E026"
    assert "atomic is 'archive', which is no database" in error.msg
    assert "'default'" in error.hint


@pytest.mark.parametrize("atomic", [True, False, None, "default"])
def test_a_transaction_in_a_database_is_none(atomic):
    urls = type("urls", (), {"urlpatterns": [path("", Elsewhere.as_view(atomic=atomic))]})
    with override_settings(ROOT_URLCONF=urls):
        assert check_aliases() == []
