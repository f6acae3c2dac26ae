"""A library: our managers and Django's own, side by side, over every kind of relation and inheritance."""

import uuid
from decimal import Decimal
from typing import Self

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from daf_orm import AsyncManager, AsyncModel, AsyncQuerySet


class Publisher(models.Model):
    """A stock model, as in a third-party app."""

    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Author(AsyncModel, models.Model):
    name = models.CharField(max_length=100)
    email = models.EmailField(blank=True)

    objects = AsyncManager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Profile(AsyncModel, models.Model):
    author = models.OneToOneField(Author, on_delete=models.CASCADE, related_name="profile")
    biography = models.TextField(blank=True)

    objects = AsyncManager()

    def __str__(self) -> str:
        return f"Profile of {self.author_id}"


class TagQuerySet(models.QuerySet):
    """Written before DAF came: a stock queryset."""

    def used(self) -> Self:
        return self.filter(books__isnull=False).distinct()


class Tag(AsyncModel, models.Model):
    name = models.CharField(max_length=50, unique=True)

    objects = AsyncManager.from_queryset(TagQuerySet)()

    def __str__(self) -> str:
        return self.name


class BookQuerySet(AsyncQuerySet):
    def in_stock(self) -> Self:
        return self.filter(stock__gt=0)


class Book(AsyncModel, models.Model):
    title = models.CharField(max_length=200)
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    publisher = models.ForeignKey(Publisher, on_delete=models.SET_NULL, related_name="books", null=True, blank=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=Decimal("10.00"))
    stock = models.IntegerField(default=0)
    published = models.DateField(null=True, blank=True)
    tags = models.ManyToManyField(Tag, related_name="books", blank=True)
    reviews = GenericRelation("Review")

    objects = AsyncManager.from_queryset(BookQuerySet)()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["author", "title"], name="one_title_per_author"),
            models.CheckConstraint(condition=models.Q(stock__gte=0), name="stock_is_not_negative"),
        )

    def __str__(self) -> str:
        return self.title

    @property
    def credit(self) -> str:
        return f"{self.title} by {self.author.name}"  # blocks


class CreditedBook(Book):
    class Meta:
        proxy = True

    def __str__(self) -> str:
        return f"{self.title}, {self.publisher}"  # blocks


class CheapBookManager(AsyncManager):
    def get_queryset(self) -> AsyncQuerySet:
        return super().get_queryset().filter(price__lt=10)


class CheapBook(Book):
    objects = CheapBookManager()

    class Meta:
        proxy = True


class Novel(Book):
    pages = models.PositiveIntegerField(default=0)

    objects = AsyncManager.from_queryset(BookQuerySet)()


class Review(AsyncModel, models.Model):
    """A review of anything."""

    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    subject = GenericForeignKey()
    rating = models.PositiveSmallIntegerField(validators=[MinValueValidator(1), MaxValueValidator(5)])
    text = models.TextField(blank=True)

    objects = AsyncManager()

    def __str__(self) -> str:
        return f"{self.rating} of 5"


class Counter(models.Model):
    """A stock row to fight over."""

    name = models.CharField(max_length=50, unique=True)
    value = models.IntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"


class Reading(models.Model):
    """A column of every kind that rows can be ordered by."""

    serial = models.UUIDField(default=uuid.uuid4)
    taken_at = models.DateTimeField(null=True)
    day = models.DateField(null=True)
    clock = models.TimeField(null=True)
    lasted = models.DurationField(null=True)
    level = models.DecimalField(max_digits=20, decimal_places=6, null=True)
    degrees = models.FloatField(null=True)
    is_valid = models.BooleanField(null=True)
    number = models.BigIntegerField(null=True)
    text = models.CharField(max_length=40, null=True)  # noqa: DJ001 - to have strings that are NULL
    raw = models.BinaryField(null=True)
    payload = models.JSONField(null=True)
    after = models.ForeignKey("self", on_delete=models.SET_NULL, null=True)

    def __str__(self) -> str:
        return str(self.serial)


class Seat(models.Model):
    """One whose primary key has two columns."""

    pk = models.CompositePrimaryKey("row", "number")
    row = models.CharField(max_length=2)
    number = models.IntegerField()
    is_taken = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"{self.row}{self.number}"


class EventQuerySet(AsyncQuerySet):
    def named(self, name: str) -> Self:
        return self.filter(name=name)


class Event(AsyncModel, models.Model):
    name = models.CharField(max_length=100)

    objects = EventQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name
