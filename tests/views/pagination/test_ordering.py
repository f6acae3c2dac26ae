import pytest
from django.contrib.auth.models import User
from django.db.models import F

from daf_views.pagination.ordering import keys_of, with_tie_breaker
from tests.project.library.models import Author, Book, CreditedBook, Novel, Profile, Reading, Review, Tag


def names(model, *ordering):
    return [key.name for key in keys_of(model.objects.all(), ordering)]


@pytest.mark.parametrize(
    ("model", "ordering", "keys"),
    [
        (Book, ["title"], ["title", "id"]),
        (Book, ["-title", "+stock"], ["-title", "stock", "id"]),
        (Book, ["-pk"], ["-id"]),
        (Book, ["id", "title"], ["id"]),  # nothing comes after what tells rows apart
        (Book, ["title", "-title"], ["title", "id"]),
        (Book, ["author_id"], ["author_id", "id"]),
        (Book, ["author__pk"], ["author__id", "id"]),
        (Book, ["author__name", "-author__email"], ["author__name", "-author__email", "id"]),
        (Book, ["publisher"], ["publisher_id", "id"]),  # publishers have no default ordering
        (Book, ["published__year"], ["published__year", "id"]),
        (CreditedBook, ["title"], ["title", "id"]),
        (Novel, ["title"], ["title", "book_ptr_id"]),
        (Tag, ["name", "pk"], ["name"]),
        (User, ["-username"], ["-username"]),
        (Reading, ["serial"], ["serial", "id"]),
        (Author, ["profile__biography"], ["profile__biography", "id"]),
        (Profile, ["author_id"], ["author_id"]),
        (Author, [], ["name", "id"]),  # its Meta's
    ],
)
def test_names_are_columns_and_the_last_tells_rows_apart(model, ordering, keys):
    assert names(model, *ordering) == keys


@pytest.mark.parametrize(
    ("path", "nullable"),
    [
        ("title", False),
        ("published", True),
        ("author__name", False),
        ("publisher__name", True),
        ("published__year", True),
    ],
)
def test_a_key_is_nullable_if_any_step_is(path, nullable):
    assert keys_of(Book.objects.all(), [path])[0].nullable is nullable


def test_the_other_side_of_a_relation_may_have_nothing():
    assert keys_of(Author.objects.all(), ["profile__biography"])[0].nullable


def test_annotations_are_keys():
    books = Book.objects.annotate(twice=F("stock") * 2)
    assert [key.name for key in keys_of(books, ["-twice"])] == ["-twice", "id"]


@pytest.mark.parametrize(
    ("model", "path", "message"),
    [
        (Book, "titel", "Book cannot be ordered by titel: Book has no field titel"),
        (Book, "author__nom", "cannot be ordered by author__nom: Author has no field nom"),
        (Book, "tags__name", "tags has many rows"),
        (Author, "books__title", "books has many rows"),
        (Author, "-books", "books has many rows"),
        (Book, "reviews__rating", "reviews has many rows"),
        (Book, "author", "means the ordering of Author: name a field of it, as author__pk"),
        (Author, "profile", "means the ordering of Profile: name a field of it, as profile__pk"),
        (Review, "subject", "values of subject cannot be compared"),
        (Reading, "payload", "values of payload cannot be compared"),
        (Reading, "payload__a", "values of payload cannot be compared"),
        (Reading, "after__payload", "values of payload cannot be compared"),
    ],
)
def test_a_field_that_cannot_identify_rows_is_refused_by_name(model, path, message):
    with pytest.raises(ValueError, match=message):
        names(model, path)


# Page numbers


@pytest.mark.parametrize(
    ("queryset", "terms"),
    [
        (Book.objects.order_by("-title"), ("-title", "pk")),
        (Book.objects.order_by(F("title").asc()), (F("title").asc(), "pk")),
        (Author.objects.all(), ("name", "pk")),
        (Book.objects.order_by("title").distinct(), ("title",)),
        (Book.objects.order_by("title")[:9], ("title",)),
        (Book.objects.union(Book.objects.all()).order_by("title"), ("title",)),
    ],
)
def test_ties_are_broken_where_that_changes_no_rows(queryset, terms):
    assert with_tie_breaker(queryset).query.order_by == terms


def test_a_reversed_ordering_is_reversed_to_the_last():
    queryset = with_tie_breaker(Book.objects.order_by("title").reverse())
    assert (queryset.query.order_by, queryset.query.standard_ordering) == (("title", "pk"), False)


@pytest.mark.parametrize("queryset", [Book.objects.all(), Author.objects.order_by()])
def test_no_ordering_is_refused(queryset):
    with pytest.raises(ValueError, match=r'has no ordering, so that pages would overlap .* Write order_by\("pk"\)'):
        with_tie_breaker(queryset)
