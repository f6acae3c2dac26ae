"""Forms, serializers and templates that query implicitly."""

from django import forms
from django.core import serializers
from django.shortcuts import render
from django.template import Context, Template
from django.template.loader import render_to_string

from daf_orm import database_sync_to_async
from tests.orm.detection.corpus.shapes import blocks
from tests.orm.detection.corpus.shelf import Shelf
from tests.project.library.models import Book, Review

BOOK = "library.Book"
AUTHOR = "library.Author"


class BookForm(forms.ModelForm):
    class Meta:
        model = Book
        fields = ("title", "author", "price", "stock")


class ReviewForm(forms.ModelForm):
    class Meta:
        model = Review
        fields = ("rating",)


class AuthorForm(forms.Form):
    book = forms.ModelChoiceField(queryset=Book.objects.all())


def bound(shelf: Shelf) -> BookForm:
    return BookForm({"title": "b9", "author": shelf.author.pk, "price": 1, "stock": 1})


@blocks(
    "ModelForm.is_valid",
    model=AUTHOR,
    expression="form.is_valid()",
    suggestion="await database_sync_to_async(form.is_valid)()",
)
async def is_valid(shelf: Shelf) -> None:
    form = bound(shelf)
    assert form.is_valid()  # blocks


@blocks("Form.is_valid", model=BOOK, suggestion="await database_sync_to_async(form.is_valid)()")
async def is_valid_with_a_model_choice(shelf: Shelf) -> None:
    form = AuthorForm({"book": shelf.book.pk})
    assert form.is_valid()  # blocks


@blocks(
    "ModelForm.errors",
    model=AUTHOR,
    expression="form.errors",
    suggestion="await database_sync_to_async(lambda: form.errors)()",
)
async def errors(shelf: Shelf) -> None:
    form = bound(shelf)
    assert not form.errors  # blocks


@blocks(
    "Form.as_p",
    model=BOOK,
    expression="AuthorForm().as_p()",
    suggestion="await database_sync_to_async(AuthorForm().as_p)()",
)
async def rendering_a_model_choice(shelf: Shelf) -> None:
    AuthorForm().as_p()  # blocks


@blocks("Form.render", model=BOOK, expression="str(form)", suggestion="await database_sync_to_async(str)(form)")
async def str_of_a_form(shelf: Shelf) -> None:
    form = AuthorForm()
    str(form)  # blocks


@blocks(
    "ModelChoiceIterator.__len__",
    model=BOOK,
    suggestion='await database_sync_to_async(list)(form.fields["book"].choices)',
)
async def choices(shelf: Shelf) -> None:
    form = AuthorForm()
    list(form.fields["book"].choices)  # blocks


@blocks("ModelForm.save", model="library.Review", suggestion="await database_sync_to_async(form.save)()")
async def form_save(shelf: Shelf) -> None:
    form = ReviewForm({"rating": 3}, instance=shelf.review)
    assert await database_sync_to_async(form.is_valid)()
    form.save()  # blocks


@blocks(
    "serialize",
    model=BOOK,
    suggestion='await database_sync_to_async(serializers.serialize)("json", Book.objects.all())',
)
async def serialize(shelf: Shelf) -> None:
    serializers.serialize("json", Book.objects.all())  # blocks


@blocks(
    "ForwardManyToOneDescriptor",
    model=BOOK,
    field="author",
    expression='render(shelf.request, "library/book.html", {"book": shelf.book})',
    suggestion='Load "author" before rendering',
    template="library/book.html:3",
)
async def lazy_load_in_a_template(shelf: Shelf) -> None:
    render(shelf.request, "library/book.html", {"book": shelf.book})  # blocks


@blocks("QuerySet.__len__", model=BOOK, suggestion="before rendering", template="library/books.html:2")
async def queryset_in_a_template(shelf: Shelf) -> None:
    render_to_string("library/books.html", {"books": Book.objects.all()})  # blocks


@blocks("QuerySet.__len__", model=BOOK, suggestion="before rendering", template="<unknown source>:1")
async def length_in_a_template(shelf: Shelf) -> None:
    Template("{{ books|length }}").render(Context({"books": Book.objects.all()}))  # blocks


@blocks(
    "ManyRelatedManager.count",
    model=BOOK,
    field="tags",
    suggestion="before rendering",
    template="<unknown source>:1",
)
async def method_in_a_template(shelf: Shelf) -> None:
    Template("{{ book.tags.count }}").render(Context({"book": shelf.book}))  # blocks


@blocks("Form.render", model=BOOK, suggestion="before rendering", template="<unknown source>:1")
async def form_in_a_template(shelf: Shelf) -> None:
    Template("{{ form }}").render(Context({"form": AuthorForm()}))  # blocks


@blocks(
    "ForwardManyToOneDescriptor",
    model=BOOK,
    field="author",
    suggestion='Load "author" before rendering',
    template="<unknown source>:1",
    swallowed=True,
)
async def comparison_in_a_template(shelf: Shelf) -> None:
    template = Template("{% if book.author.name == 'a0' %}yes{% else %}no{% endif %}")
    template.render(Context({"book": shelf.book}))  # blocks


@blocks("QuerySet.__bool__", model=BOOK, suggestion="before rendering", template="<unknown source>:1", swallowed=True)
async def negation_in_a_template(shelf: Shelf) -> None:
    Template("{% if not books %}none{% endif %}").render(Context({"books": Book.objects.all()}))  # blocks


@blocks("get_user", suggestion="await request.auser()", model="sessions.Session", template="<unknown source>:1")
async def user_in_a_template(shelf: Shelf) -> None:
    Template("{{ request.user.username }}").render(Context({"request": shelf.request}))  # blocks
