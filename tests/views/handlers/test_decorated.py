"""Decorators on handlers, and annotations that mean nothing at run time."""

import functools
import inspect
import json
from typing import Annotated

import pytest
from django.test import AsyncRequestFactory

from daf_views import AsyncAPIView
from daf_views.api import Header

requests = AsyncRequestFactory()


async def ask(view, target="/", **headers):
    response = await view.as_view()(requests.get(target, headers=headers))
    return response.status_code, json.loads(response.content)


def without(*names, **given):
    """Give the handler arguments, and say that they are not the client's."""

    def decorate(handler):
        @functools.wraps(handler)
        async def wrapper(self, request, *args, **kwargs):
            return await handler(self, request, *args, **kwargs, **given)

        signature = inspect.signature(handler)
        left = [each for name, each in signature.parameters.items() if name not in {*names, *given}]
        wrapper.__signature__ = signature.replace(parameters=left)
        return wrapper

    return decorate


def with_trace(handler):
    """Take an argument that the handler has not."""

    @functools.wraps(handler)
    async def wrapper(self, request, *args, trace, **kwargs):
        return {**await handler(self, request, *args, **kwargs), "trace": trace}

    signature = inspect.signature(handler)
    kind = Annotated[str, Header(alias="X-Trace")]
    added = inspect.Parameter("trace", inspect.Parameter.KEYWORD_ONLY, annotation=kind)
    wrapper.__signature__ = signature.replace(parameters=[*signature.parameters.values(), added])
    return wrapper


def plain(handler):
    @functools.wraps(handler)
    async def wrapper(*args, **kwargs):
        return await handler(*args, **kwargs)

    return wrapper


async def test_an_argument_of_a_decorator_is_not_taken_from_the_client():
    class View(AsyncAPIView):
        @plain
        @without(tenant="own")
        async def get(self, request, page: int = 1, *, tenant: str) -> dict:
            return {"page": page, "tenant": tenant}

    assert await ask(View, "/?page=2&tenant=another") == (200, {"page": 2, "tenant": "own"})


async def test_an_argument_that_a_decorator_adds_is_taken_from_the_client():
    class View(AsyncAPIView):
        @with_trace
        async def get(self, request, page: int = 1) -> dict:
            return {"page": page}

    assert await ask(View, "/?page=2", **{"X-Trace": "abc"}) == (200, {"page": 2, "trace": "abc"})
    status, problem = await ask(View)
    assert (status, problem["errors"][0]["parameter"]) == (422, "X-Trace")


async def test_a_wrapper_around_another_has_what_both_left():
    class View(AsyncAPIView):
        @with_trace
        @without(tenant="own")
        async def get(self, request, *, tenant: str) -> dict:
            return {"tenant": tenant}

    assert await ask(View, **{"X-Trace": "abc"}) == (200, {"tenant": "own", "trace": "abc"})


def test_a_wrapper_that_takes_no_arguments_is_refused():
    def narrow(handler):
        @functools.wraps(handler)
        async def wrapper(self, request):
            return await handler(self, request)

        return wrapper

    with pytest.raises(
        TypeError, match=r"View.get\(\): its decorator does not pass on 'page': let the wrapper take \*\*kw"
    ):

        class View(AsyncAPIView):
            @narrow
            async def get(self, request, page: int) -> dict:
                return {}


def test_a_wrapper_that_wants_what_it_does_not_say_is_refused():
    def wanting(handler):
        @functools.wraps(handler)
        async def wrapper(self, request, tenant, *, trace, level=1, **kwargs):
            return await handler(self, request, **kwargs)

        return wrapper

    with pytest.raises(TypeError, match=r"its decorator requires 'tenant', 'trace', missing from the signature"):

        class View(AsyncAPIView):
            @wanting
            async def get(self, request, page: int) -> dict:
                return {}


@pytest.mark.parametrize(
    "annotation", ["Nope", "json.Nope", "list[Nope]", "Annotated[Nope, Header()]", "list[", "1 + int"]
)
@pytest.mark.parametrize("place", ["q", "return"])
def test_an_annotation_that_means_nothing_at_run_time_is_refused(annotation, place):
    async def get(self, request, q: int = 1): ...

    get.__annotations__[place] = annotation
    name = "its return value" if place == "return" else "'q'"
    with pytest.raises(
        TypeError, match=f"View.get\\(\\): the annotation of {name} is not known when the class is made"
    ):
        type("View", (AsyncAPIView,), {"get": get})


def test_the_request_may_be_annotated_for_type_checkers_alone():
    class View(AsyncAPIView):
        async def get(self, request: "HttpRequest", *args: "Any", **kwargs: "Any"):  # noqa: F821 - as under TYPE_CHECKING
            return self.success()

    assert "get" not in View.handler_signatures


async def test_an_added_annotation_is_read_where_the_decorator_stands():
    namespace = {"functools": functools, "inspect": inspect, "Level": int}
    source = (
        "def leveled(handler):\n"
        "    @functools.wraps(handler)\n"
        "    async def wrapper(self, request, *, level, **kwargs):\n"
        "        return {'level': level}\n"
        "    added = inspect.Parameter('level', inspect.Parameter.KEYWORD_ONLY, annotation='Level')\n"
        "    signature = inspect.signature(handler)\n"
        "    wrapper.__signature__ = signature.replace(parameters=[*signature.parameters.values(), added])\n"
        "    return wrapper\n"
    )
    exec(source, namespace)

    class View(AsyncAPIView):
        @namespace["leveled"]
        async def get(self, request) -> "dict": ...

    assert await ask(View, "/?level=3") == (200, {"level": 3})
