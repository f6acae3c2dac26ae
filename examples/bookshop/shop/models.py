"""The data of the shop: authors, books and their stock, orders, restock requests, and tokens of programs.

Stock Django models. `AsyncModel` and `AsyncManager` add the async twins; everything else is Django's.
"""

from __future__ import annotations

from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import Prefetch, Q
from django.urls import reverse
from django.utils import timezone

from daf_orm import AsyncManager, AsyncModel, AsyncQuerySet
from shop.branches import branch_now


class Author(AsyncModel, models.Model):
    """The author of at least one book."""

    name = models.CharField(max_length=120, unique=True)
    born = models.PositiveSmallIntegerField()

    objects = AsyncManager()

    def __str__(self) -> str:
        return self.name


class Tag(AsyncModel, models.Model):
    """A subject books are shelved under."""

    name = models.CharField(max_length=60, unique=True)

    objects = AsyncManager()

    def __str__(self) -> str:
        return self.name


class BookQuerySet(AsyncQuerySet):
    """The questions the shop asks about its books."""

    def with_details(self) -> BookQuerySet:
        """Everything a book's page shows, in two queries."""
        return self.select_related("author", "stock", "restock_request").prefetch_related("tags")

    def matching(self, words: str) -> BookQuerySet:
        """Books whose title or author contains every one of `words`."""
        found = self.select_related("author")
        for word in words.split():
            found = found.filter(Q(title__icontains=word) | Q(author__name__icontains=word))
        return found


class Book(AsyncModel, models.Model):
    """A title the shop sells."""

    isbn = models.CharField(max_length=13, unique=True)
    title = models.CharField(max_length=200, db_index=True)
    author = models.ForeignKey(Author, on_delete=models.PROTECT, related_name="books")
    tags = models.ManyToManyField(Tag, related_name="books")
    published = models.DateField()
    price = models.DecimalField(max_digits=8, decimal_places=2)
    version = models.PositiveIntegerField(default=1, editable=False)  # one more with every change

    objects = AsyncManager.from_queryset(BookQuerySet)()

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """Its page in the catalogue."""
        return reverse("book", args=[self.pk])

    @property
    def tag_names(self) -> list[str]:
        """Names of the tags. Needs `BookQuerySet.with_details`."""
        return sorted(tag.name for tag in self.tags.all())


class Stock(AsyncModel, models.Model):
    """Copies of a book on the shelf. The row an order locks."""

    book = models.OneToOneField(Book, on_delete=models.CASCADE, primary_key=True, related_name="stock")
    quantity = models.PositiveIntegerField()

    objects = AsyncManager()

    def __str__(self) -> str:
        return f"{self.quantity} copies of book {self.book_id}"


class RestockRequest(AsyncModel, models.Model):
    """A sold-out book the shop wants to buy in again."""

    book = models.OneToOneField(Book, on_delete=models.CASCADE, related_name="restock_request")
    requested_at = models.DateTimeField(default=timezone.now)

    objects = AsyncManager()

    def __str__(self) -> str:
        return f"Restock book {self.book_id}"


class OrderQuerySet(AsyncQuerySet):
    """The questions the shop asks about its orders."""

    def with_lines(self) -> OrderQuerySet:
        """Orders with their lines and the books of these, in two queries."""
        return self.prefetch_related(Prefetch("lines", OrderLine.objects.select_related("book").order_by("book_id")))


class Order(AsyncModel, models.Model):
    """The books that one customer bought at one moment, from one branch: PostgreSQL shows it to no other."""

    branch = models.CharField(max_length=20, default=branch_now, editable=False, db_index=True)
    customer = models.EmailField()
    placed_at = models.DateTimeField(default=timezone.now, db_index=True)

    objects = AsyncManager.from_queryset(OrderQuerySet)()

    def __str__(self) -> str:
        return f"Order {self.pk} of {self.customer}"

    @property
    def total(self) -> Decimal:
        """Price of the whole order. Needs `OrderQuerySet.with_lines`."""
        return sum((line.total for line in self.lines.all()), start=Decimal("0.00"))


class Receipt(AsyncModel, models.Model):
    """The receipt of an order has been sent."""

    order = models.OneToOneField(Order, on_delete=models.CASCADE, related_name="receipt")
    sent_at = models.DateTimeField(default=timezone.now)

    objects = AsyncManager()

    def __str__(self) -> str:
        return f"Receipt of order {self.order_id}"


class OrderLine(AsyncModel, models.Model):
    """Copies of one book in an order, at the price of that day."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    book = models.ForeignKey(Book, on_delete=models.PROTECT, related_name="order_lines")
    quantity = models.PositiveIntegerField()
    unit_price = models.DecimalField(max_digits=8, decimal_places=2)

    objects = AsyncManager()

    class Meta:
        """A book stands in an order once."""

        constraints = (models.UniqueConstraint(fields=["order", "book"], name="one_line_per_book"),)

    def __str__(self) -> str:
        return f"{self.quantity} x book {self.book_id}"

    @property
    def total(self) -> Decimal:
        """Price of the whole line."""
        return self.unit_price * self.quantity


class ApiToken(AsyncModel, models.Model):
    """A secret with which a program calls as a user: its digest alone."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = AsyncManager()

    def __str__(self) -> str:
        return f"Token {self.pk} of user {self.user_id}"
