import asyncio
import threading

import pytest
from django import forms
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, connection
from django.forms import modelform_factory
from django.test.utils import CaptureQueriesContext
from django.urls import path

from daf_orm import cursor
from daf_orm.test import count_hops
from daf_views.generic import CreateView, DeleteView, FormView, UpdateView
from tests.project.library.models import Author, Book, Counter, Event, Publisher, Tag
from tests.views.generic.answers import ask, rendered

BookForm = modelform_factory(Book, fields=["title", "author", "price", "stock", "tags"])


class Launch(CreateView):
    model = Event
    fields = ("name",)
    success_url = "/events/{id}"


class Named(Launch):
    async def form_valid(self, form):
        form.instance.name += " of ada"
        response = await super().form_valid(form)
        response.headers["X-Event"] = str(self.object.pk)
        return response


class BookCreate(CreateView):
    model = Book
    form_class = BookForm
    success_url = "/books"


class Scan(FormView):
    class form_class(forms.Form):  # noqa: N801 - an attribute
        scan = forms.FileField()

    template_name = "library/book_form.html"
    success_url = "/scanned"


urlpatterns = [path("books/create", BookCreate.as_view()), path("scan", Scan.as_view())]


@pytest.fixture
def author(db):
    return Author.objects.create(name="Jane Austen")


@pytest.fixture
def book(author):
    return Book.objects.create(title="Emma", author=author)


async def names():
    return [event.name async for event in Event.objects.order_by("pk")]


async def waiters():
    """Count the sessions of PostgreSQL that wait for a row."""
    async with cursor() as cur:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        await cur.execute(f"{waiting} AND datname = current_database()")  # other processes of the run have others
        return (await cur.fetchone())[0]


# One hop


async def test_a_form_is_validated_and_saved_and_redirects_in_one_hop_and_one_query(db):
    with CaptureQueriesContext(connection) as queries, count_hops() as hops:
        response = await ask(Launch, "POST", {"name": "launch"})
    assert (hops.total, len(queries)) == (1, 1)
    assert response.url == f"/events/{(await Event.objects.aget(name='launch')).pk}"


async def test_a_model_form_with_relations_is_saved_in_one_hop(author):
    tag = await Tag.objects.acreate(name="novel")
    data = {"title": "Emma", "author": author.pk, "price": "7.00", "stock": 1, "tags": [tag.pk]}
    with count_hops() as hops:
        await ask(BookCreate, "POST", data)
    assert hops.total == 1
    assert [tag.name async for tag in (await Book.objects.aget(title="Emma")).tags.all()] == ["novel"]


async def test_an_invalid_form_is_shown_after_one_hop(db):
    with count_hops() as hops:
        response = await ask(BookCreate, "POST", {"title": "Emma"})
    assert hops.total == 1
    assert "This field is required." in await rendered(response)


async def test_an_empty_form_is_made_in_one_hop(db):
    with count_hops() as hops:
        response = await ask(BookCreate)
    assert (hops.total, response.context_data["form"].is_bound) == (1, False)


async def test_a_plain_form_redirects_after_one_hop():
    with count_hops() as hops:
        response = await ask(Scan, "POST", {"scan": SimpleUploadedFile("a.txt", b"a")})
    assert (hops.total, response.url) == (1, "/scanned")


async def test_a_form_valid_of_ones_own_comes_between_validation_and_saving(db):
    with count_hops() as hops:
        response = await ask(Named, "POST", {"name": "launch"})
    assert (await names(), hops.total) == (["launch of ada"], 2)
    assert response.headers["X-Event"] == str((await Event.objects.aget()).pk)


async def test_form_invalid_can_be_extended(db):
    class Strict(Launch):
        template_name = "library/book_form.html"

        async def form_invalid(self, form):
            response = await super().form_invalid(form)
            response.status_code = 422
            return response

    assert (await ask(Strict, "POST")).status_code == 422


async def test_an_object_is_fetched_and_changed_in_two_hops_and_two_queries(db):
    class Rename(UpdateView):
        model = Event
        fields = ("name",)
        success_url = "/events/{id}"

    event = await Event.objects.acreate(name="launch")
    with CaptureQueriesContext(connection) as queries, count_hops() as hops:
        response = await ask(Rename, "POST", {"name": "party"}, pk=event.pk)
    assert (hops.total, len(queries), response.url) == (2, 2, f"/events/{event.pk}")
    assert await names() == ["party"]


async def test_an_object_is_shown_before_it_is_deleted(book):
    response = await ask(DeleteView, options={"model": Book}, pk=book.pk)
    assert "Delete Emma?" in await rendered(response)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_an_object_is_fetched_and_deleted_in_two_hops(book, method):
    with count_hops() as hops:
        response = await ask(DeleteView, method, options={"model": Book, "success_url": "/gone/{id}"}, pk=book.pk)
    assert (hops.total, response.url) == (2, f"/gone/{book.pk}")
    assert not await Book.objects.aexists()


# Code on a worker thread may query


async def test_forms_may_query_wherever_they_are_made(book):
    class Sequel(BookCreate):
        def get_initial(self):
            return {"author": Author.objects.get()}

        def get_form(self, form_class=None):
            form = super().get_form(form_class)
            form.fields["tags"].help_text = f"{Tag.objects.count()} tags"
            return form

    text = await rendered(await ask(Sequel))
    assert "selected>Jane Austen" in text
    assert "0 tags" in text


async def test_get_success_url_may_query(book):
    class Stock(UpdateView):
        model = Book
        fields = ("stock",)

        def get_success_url(self):
            return f"/by/{self.object.author.name}"

    with count_hops() as hops:
        assert (await ask(Stock, "POST", {"stock": 3}, pk=book.pk)).url == "/by/Jane%20Austen"
    assert hops.total == 2


async def test_a_form_with_choices_is_rendered_by_the_handler(author, async_client):
    assert "Jane Austen" in (await async_client.get("/books/create")).text


async def test_an_upload_in_a_file_is_read_off_the_event_loop(async_client, settings):
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 10
    response = await async_client.post("/scan", {"scan": SimpleUploadedFile("a.txt", b"a" * 100_000)})
    assert response.url == "/scanned"


# All or nothing


class Failing(BookForm):
    def _save_m2m(self):
        super()._save_m2m()
        raise IntegrityError


async def test_a_save_that_fails_half_way_leaves_nothing(transactional_db):
    author = await Author.objects.acreate(name="Jane Austen")
    data = {"title": "Emma", "author": author.pk, "price": "7.00", "stock": 1}
    with pytest.raises(IntegrityError):
        await ask(BookCreate, "POST", data, options={"form_class": Failing})
    assert not await Book.objects.aexists()


@pytest.mark.postgresql
async def test_a_save_that_is_cancelled_half_way_leaves_nothing(transactional_db):
    is_half_way = threading.Event()

    class Slow(BookForm):
        def _save_m2m(self):
            super()._save_m2m()
            is_half_way.set()
            with connection.cursor() as cur:
                cur.execute("SELECT pg_sleep(30)")

    author = await Author.objects.acreate(name="Jane Austen")
    data = {"title": "Emma", "author": author.pk, "price": "7.00", "stock": 1}
    task = asyncio.create_task(ask(BookCreate, "POST", data, options={"form_class": Slow}))
    await asyncio.to_thread(is_half_way.wait, 10)
    task.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not await Book.objects.aexists()


async def test_an_atomic_view_takes_back_what_it_saved(transactional_db):
    class Unlucky(Launch):
        atomic = True

        async def form_valid(self, form):
            await super().form_valid(form)
            raise LookupError

    with pytest.raises(LookupError):
        await ask(Unlucky, "POST", {"name": "launch"})
    assert await names() == []


async def test_a_save_in_an_atomic_view_costs_no_further_savepoint(db):
    with CaptureQueriesContext(connection) as queries:
        await ask(Launch, "POST", {"name": "launch"}, options={"atomic": True})
    # The view's transaction is a savepoint in that of the test.
    assert [query["sql"].split()[0] for query in queries] == ["SAVEPOINT", "INSERT", "RELEASE"]


@pytest.mark.postgresql
async def test_an_atomic_update_holds_the_row_that_it_fetched(transactional_db):
    async with asyncio.timeout(20):
        counter = await Counter.objects.acreate(name="visits")
        has_row, go_on, seen = asyncio.Event(), asyncio.Event(), []

        class Increment(UpdateView):
            queryset = Counter.objects.select_for_update()
            fields = ("name",)
            success_url = "/done"
            atomic = True

            async def form_valid(self, form):
                seen.append(form.instance.value)
                form.instance.value += 1
                has_row.set()
                await go_on.wait()
                return await super().form_valid(form)

        requests = [asyncio.create_task(ask(Increment, "POST", {"name": "visits"}, pk=counter.pk)) for _ in range(2)]
        await has_row.wait()
        while not await waiters():
            await asyncio.sleep(0.01)
        go_on.set()
        await asyncio.gather(*requests)
    assert seen == [0, 1]
    assert (await Counter.objects.aget()).value == 2


async def test_a_plain_form_saves_in_its_own_way(db):
    class EventForm(forms.Form):
        def __init__(self, *, instance, **kwargs):
            super().__init__(**kwargs)

        def save(self):
            return Publisher.objects.create(name="Penguin")

    response = await ask(Launch, "POST", options={"form_class": EventForm, "fields": None})
    assert response.url == f"/events/{(await Publisher.objects.aget()).pk}"
