import pytest
from django.urls import path

from daf_orm.test import count_hops
from daf_views.generic import RedirectView, TemplateView
from tests.project.library.models import Author, Book, Event
from tests.views.generic.answers import ask, rendered


class Page(TemplateView):
    template_name = "library/book.html"

    async def get_context_data(self, **kwargs):
        book = await Book.objects.select_related("author").aget(pk=kwargs["pk"])
        return await super().get_context_data(book=book, **kwargs)


class Shelf(RedirectView):
    async def get_redirect_url(self, *args, **kwargs):
        event = await Event.objects.filter(name=kwargs["name"]).afirst()
        return event and f"/events/{event.pk}"


urlpatterns = [path("events/<int:pk>", Page.as_view(), name="event")]


@pytest.fixture
def book(db):
    return Book.objects.create(title="Emma", author=Author.objects.create(name="Jane Austen"))


async def test_a_context_may_query(book):
    response = await ask(Page, pk=book.pk)
    assert "by Jane Austen" in " ".join((await rendered(response)).split())


async def test_a_template_view_that_does_not_query_costs_no_hop():
    with count_hops(at_most=0):
        response = await ask(TemplateView, options={"template_name": "x.html", "extra_context": {"a": 1}}, name="ada")
    assert response.context_data.items() >= {"a": 1, "name": "ada"}.items()


async def test_the_handler_renders_the_template_in_a_thread(book, async_client):
    response = await async_client.get(f"/events/{book.pk}")
    assert b"<h1>Emma</h1>" in response.content


async def test_a_redirect_may_query(db):
    event = await Event.objects.acreate(name="launch")
    assert (await ask(Shelf, name="launch")).url == f"/events/{event.pk}"


async def test_a_redirect_to_nowhere_is_gone(db):
    assert (await ask(Shelf, name="unknown")).status_code == 410


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_a_redirect_answers_every_method_without_a_hop(method):
    with count_hops(at_most=0):
        response = await ask(RedirectView, method, options={"pattern_name": "event", "permanent": True}, pk=7)
    assert (response.status_code, response.url) == (301, "/events/7")


async def test_a_redirect_may_preserve_the_request():
    response = await ask(RedirectView, "POST", options={"url": "/there", "preserve_request": True})
    assert response.status_code == 307


async def test_a_get_of_the_views_own_answers_the_other_methods_too():
    class Counting(RedirectView):
        url = "/there"

        async def get(self, request):
            return await super().get(request, seen=True)

        async def get_redirect_url(self, *, seen):
            return f"{self.url}?seen={seen}"

    assert (await ask(Counting, "POST")).url == "/there?seen=True"
