import asyncio

import pytest
from django.db import connection
from django.http import Http404, JsonResponse
from django.test.utils import CaptureQueriesContext
from django.urls import path

from daf_orm.test import count_hops
from daf_views.asgi import get_asgi_application
from daf_views.generic import ListView, MultipleObjectMixin
from daf_views.views import AsyncView
from tests.project.library.models import Author, Book, Tag
from tests.support.exchange import exchange
from tests.views.generic.answers import ask, rendered


class Books(ListView):
    queryset = Book.objects.select_related("author").prefetch_related("tags")
    ordering = "pk"


urlpatterns = [path("books", Books.as_view(paginate_by=10))]


@pytest.fixture
def books(db):
    authors = Author.objects.bulk_create(Author(name=f"Author {n}") for n in range(100))
    books = Book.objects.bulk_create(Book(title=f"Book {n}", author=author) for n, author in enumerate(authors))
    tag = Tag.objects.create(name="novel")
    tag.books.set(books)
    return books


async def test_a_list_with_relations_costs_one_hop_and_no_query_more_than_it_says(books):
    with CaptureQueriesContext(connection) as queries:
        with count_hops() as hops:
            response = await ask(Books)
        assert (hops.total, len(queries)) == (1, 2)
        text = await rendered(response)
    assert "Book 99 by Author 99 #novel" in text
    assert len(queries) == 2


async def test_a_page_costs_one_query_more_to_count(books):
    with CaptureQueriesContext(connection) as queries:
        with count_hops() as hops:
            response = await ask(Books, query={"page": "last"}, options={"paginate_by": 30})
        text = await rendered(response)
    assert (hops.total, len(queries)) == (1, 3)
    assert "<p>4 of 4</p>" in text


async def test_a_page_that_must_not_be_empty_costs_one_query_more(books):
    with CaptureQueriesContext(connection) as queries, count_hops() as hops:
        await ask(Books, options={"paginate_by": 30, "allow_empty": False})
    assert (hops.total, len(queries)) == (1, 4)


@pytest.mark.parametrize("options", [{}, {"paginate_by": 5}])
async def test_an_empty_list_that_must_not_be_is_404(db, options):
    with pytest.raises(Http404, match=r"Books\.allow_empty"):
        await ask(Books, options={"allow_empty": False, **options})


async def test_a_page_that_does_not_exist_is_404(books):
    with pytest.raises(Http404, match="That page contains no results"):
        await ask(Books, query={"page": "11"}, options={"paginate_by": 10})


async def test_a_context_has_evaluated_objects(books):
    class Titles(Books):
        async def get_context_data(self, **kwargs):
            context = await super().get_context_data(**kwargs)
            return context | {"titles": [book.title for book in context["page_obj"]]}

        def render_to_response(self, context):
            return JsonResponse(context["titles"], safe=False)

    with count_hops() as hops:
        response = await ask(Titles, options={"paginate_by": 2})
    assert (response.content, hops.total) == (b'["Book 0", "Book 1"]', 1)


async def test_another_list_in_the_context_is_evaluated_too(books):
    class Cheap(Books):
        async def get_context_data(self, **kwargs):
            return await super().get_context_data(object_list=self.object_list.filter(title="Book 7"), **kwargs)

    context = (await ask(Cheap)).context_data
    assert [book.title for book in context["book_list"]] == ["Book 7"]


async def test_raw_queries_are_evaluated(books):
    raw = Book.objects.raw("SELECT * FROM library_book WHERE title = 'Book 7'")
    response = await ask(ListView, options={"queryset": raw})
    assert [book.title for book in response.context_data["object_list"]] == ["Book 7"]


async def test_a_list_need_not_be_a_queryset():
    response = await ask(ListView, options={"queryset": [1, 2, 3], "paginate_by": 2, "template_name": "x.html"})
    assert response.context_data["object_list"] == [1, 2]


async def test_the_mixin_evaluates_also_in_a_view_of_ones_own(books):
    class Titles(MultipleObjectMixin, AsyncView):
        queryset = Book.objects.filter(title="Book 7")

        async def get(self, request):
            self.object_list = self.get_queryset()
            context = await self.get_context_data()
            return JsonResponse([book.title for book in context["book_list"]], safe=False)

    assert (await ask(Titles)).content == b'["Book 7"]'


async def test_a_list_under_the_handler(books, async_client):
    response = await async_client.get("/books", query_params={"page": 2})
    assert "<p>2 of 10</p>" in response.text


async def test_a_whole_request_costs_two_hops(books, settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    application = get_asgi_application()
    with count_hops() as hops:
        answer = await exchange(application, path="/books")
    assert b"Book 9 by Author 9 #novel" in answer.body
    assert hops.total == 2  # the page, and the template


async def test_lists_are_shown_concurrently(books):
    responses = await asyncio.gather(
        *[ask(Books, query={"page": n}, options={"paginate_by": 10}) for n in range(1, 11)]
    )
    assert [response.context_data["book_list"][0].title for response in responses] == [
        f"Book {10 * n}" for n in range(10)
    ]
