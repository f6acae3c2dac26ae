import inspect
import threading

import pytest
from django.contrib.messages.views import SuccessMessageMixin
from django.forms import modelform_factory
from django.utils.decorators import method_decorator
from django.views import generic as djangos
from django.views.decorators.debug import sensitive_variables

from daf_views import generic
from daf_views.generic.hooks import COROUTINES, FUNCTIONS, NAMES
from tests.project.library.models import Event
from tests.views.generic.answers import ask

VIEWS = ("TemplateView", "RedirectView", "ListView", "DetailView", "FormView", "CreateView", "UpdateView", "DeleteView")


def view_with(name, module=generic):
    return next(view for view in map(vars(module).get, VIEWS) if hasattr(view, name))


async def coroutine(self, *args, **kwargs):
    return None


def function(self, *args, **kwargs):
    return None


def test_every_hook_of_djangos_views_is_in_one_of_the_tables():
    names = {name for view in VIEWS for name in dir(getattr(djangos, view)) if not name.startswith("_")}
    handlers = {*djangos.View.http_method_names, *dir(djangos.View)}
    hooks = {name for name in names - handlers if inspect.isfunction(getattr(view_with(name, djangos), name))}
    assert sorted(hooks) == sorted([*COROUTINES, *FUNCTIONS, *NAMES])


@pytest.mark.parametrize("name", COROUTINES)
def test_a_synchronous_override_of_a_coroutine_is_refused(name):
    with pytest.raises(TypeError, match=rf"Shelf\.{name}\(\) is not async: write `async def {name}\(self, …\)`"):
        type("Shelf", (view_with(name),), {name: function})


@pytest.mark.parametrize("name", COROUTINES)
def test_a_coroutine_may_be_decorated(name):
    class Shelf(view_with(name)):
        pass

    decorated = method_decorator(sensitive_variables())(coroutine)
    assert type("Shelf", (Shelf,), {name: decorated})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_async_override_of_what_runs_on_a_worker_thread_is_refused(name):
    with pytest.raises(TypeError, match=rf"Shelf\.{name}\(\) is async, but is called on a worker thread.*`def {name}"):
        type("Shelf", (view_with(name),), {name: coroutine})


@pytest.mark.parametrize("name", NAMES)
def test_an_async_override_of_what_is_not_awaited_is_refused(name):
    with pytest.raises(TypeError, match=rf"Shelf\.{name}\(\) is async, but is called without awaiting"):
        type("Shelf", (view_with(name),), {name: coroutine})


def test_a_synchronous_method_of_a_mixin_behind_an_async_one_is_refused():
    class Mixin:
        def get_context_data(self, **kwargs):
            return super().get_context_data(**kwargs)

    with pytest.raises(TypeError, match=r"Mixin\.get_context_data\(\) is not async"):
        type("Shelf", (Mixin, generic.ListView), {"get_context_data": coroutine})


def test_djangos_mixin_with_a_synchronous_hook_is_refused():
    with pytest.raises(TypeError, match=r"SuccessMessageMixin\.form_valid\(\) is not async"):
        type("Shelf", (SuccessMessageMixin, generic.CreateView), {})


REQUESTS = {
    "ListView": {"options": {"paginate_by": 1, "allow_empty": False}},
    "DetailView": {"slug": "launch", "options": {"slug_field": "name", "query_pk_and_slug": True}},
    "CreateView": {"method": "POST", "data": {"name": "party"}},
    "UpdateView": {"method": "POST", "data": {"name": "party"}},
    "DeleteView": {"method": "POST"},
}


def recording(view, threads):
    def wrapped(name):
        def method(self, *args, **kwargs):
            threads.setdefault(name, set()).add(threading.get_ident())
            return getattr(view, name)(self, *args, **kwargs)

        return method

    attributes = {"model": Event, "success_url": "/done", "ordering": "name"}
    if view in {generic.CreateView, generic.UpdateView}:
        attributes["form_class"] = modelform_factory(Event, fields=["name"])
    return type(view.__name__, (view,), attributes | {name: wrapped(name) for name in FUNCTIONS if hasattr(view, name)})


async def test_every_function_is_called_on_a_worker_thread(db):
    threads = {}
    for view, request in REQUESTS.items():
        await Event.objects.all().adelete()
        event = await Event.objects.acreate(name="launch")
        await ask(recording(getattr(generic, view), threads), **request, pk=event.pk)
    assert sorted(threads) == sorted(FUNCTIONS)
    assert threading.get_ident() not in set().union(*threads.values())
