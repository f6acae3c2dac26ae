import pytest
from django.db import connection
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.test.utils import CaptureQueriesContext

from daf_orm.test import count_hops
from daf_views.api import AsyncAPIView
from daf_views.generic import DetailView, ListView, SingleObjectMixin
from tests.project.library.models import Author, Book
from tests.views.generic.answers import ask, rendered


class BookDetail(DetailView):
    queryset = Book.objects.select_related("author")


@pytest.fixture
def book(db):
    return Book.objects.create(title="Emma", author=Author.objects.create(name="Jane Austen"))


async def test_an_object_costs_one_hop_and_one_query(book):
    with CaptureQueriesContext(connection) as queries:
        with count_hops() as hops:
            response = await ask(BookDetail, pk=book.pk)
        assert "by Jane Austen" in await rendered(response)
    assert (hops.total, len(queries)) == (1, 1)


async def test_an_object_that_does_not_exist_is_404(db):
    with pytest.raises(Http404, match="No book found"):
        await ask(BookDetail, pk=7)


async def test_get_object_can_be_extended(book):
    class Titled(BookDetail):
        async def get_object(self, queryset=None):
            found = await super().get_object(queryset)
            found.title = found.title.upper()
            return found

    assert (await ask(Titled, pk=book.pk)).context_data["book"].title == "EMMA"


async def test_get_queryset_may_query(book):
    class OfAuthor(DetailView):
        def get_queryset(self):
            self.author = get_object_or_404(Author, name=self.kwargs["author"])
            return self.author.books.all()

    with count_hops() as hops:
        response = await ask(OfAuthor, pk=book.pk, author="Jane Austen")
    assert (response.context_data["object"], hops.total) == (book, 1)


async def test_an_object_by_a_field_of_another_name(book):
    options = {"slug_field": "title", "slug_url_kwarg": "title", "context_object_name": "novel"}
    assert (await ask(BookDetail, options=options, title="Emma")).context_data["novel"] == book


async def test_a_list_of_what_belongs_to_an_object(book):
    class AuthorDetail(SingleObjectMixin, ListView):  # an example of the Django documentation
        paginate_by = 2
        template_name = "library/book_list.html"

        async def get(self, request, *args, **kwargs):
            self.object = await self.get_object(queryset=Author.objects.all())
            return await super().get(request, *args, **kwargs)

        async def get_context_data(self, **kwargs):
            return await super().get_context_data(author=self.object, **kwargs)

        def get_queryset(self):
            return self.object.books.order_by("title")

    with count_hops() as hops:
        context = (await ask(AuthorDetail, pk=book.author_id)).context_data
    assert (context["author"], context["object"], [*context["object_list"]]) == (book.author, book.author, [book])
    assert (context["paginator"].num_pages, hops.total) == (1, 2)


async def test_the_mixin_works_on_an_api_view(book):
    class BookAPI(SingleObjectMixin, AsyncAPIView):
        model = Book

        async def get(self, request, pk):
            return self.success((await self.get_object()).title)

    with count_hops(at_most=2):
        answers = [await ask(BookAPI, pk=pk) for pk in (book.pk, book.pk + 1)]
    assert [answer.status_code for answer in answers] == [200, 404]
    assert answers[0].content == b'"Emma"'
