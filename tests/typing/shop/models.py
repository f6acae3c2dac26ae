"""Models of a shop: every way to give a model a manager, and every relation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar, cast

from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models

from daf_orm import AsyncManager, AsyncModel, AsyncQuerySet
from daf_orm.relations import ManyRelatedManager, RelatedManager

M = TypeVar("M", bound=models.Model)


class User(AsyncModel, AbstractUser):
    """Its manager is Django's, on a DAF model."""

    objects = UserManager()  # type: ignore[misc] # Django's stubs declare that of AbstractUser as a ClassVar


class Publisher(models.Model):
    """Stock, except for its manager."""

    name = models.CharField(max_length=100)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="publishers")

    objects = AsyncManager()

    class Meta:
        ordering = ("name",)


class Author(AsyncModel):
    """It names no manager. The relations to it are annotated, for checkers without Django's plugin."""

    name = models.CharField(max_length=100)

    if TYPE_CHECKING:
        books: RelatedManager[Book]
        profile: Profile


class Profile(AsyncModel):
    author = models.OneToOneField(Author, on_delete=models.CASCADE, related_name="profile")

    class Meta(AsyncModel.Meta):
        ordering = ("pk",)


class Tag(AsyncModel, models.Model):
    name = models.CharField(max_length=50)
    books: ManyRelatedManager[Book]

    objects = AsyncManager()


class BookQuerySet(AsyncQuerySet["Book"]):
    def cheap(self) -> Self:
        return self.filter(price__lt=10)

    def of(self, author: Author) -> BookQuerySet:
        return self.filter(author=author)

    async def total(self) -> int:
        return sum([book.pk async for book in self])


class CheapManager(AsyncManager["Book"]):
    def get_queryset(self) -> AsyncQuerySet[Book]:
        return super().get_queryset().filter(price__lt=10)

    def dear(self) -> AsyncQuerySet[Book]:
        return self.exclude(price__lt=10)

    async def number(self) -> int:
        return await self.acount()


class TenantManager(AsyncManager[M]):
    """Of any model."""

    def mine(self) -> AsyncQuerySet[M]:
        return self.filter(pk__gt=0)


class Dated(AsyncModel):
    """An abstract model between AsyncModel and a model."""

    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True


class Book(Dated):
    title = models.CharField(max_length=200)
    price = models.IntegerField(default=0)
    stock = models.IntegerField(default=0)
    version = models.IntegerField(default=0)
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    tags = cast("ManyRelatedManager[Tag]", models.ManyToManyField(Tag, related_name="books"))

    objects = AsyncManager.from_queryset(BookQuerySet)()
    as_manager = BookQuerySet.as_manager()
    cheap = CheapManager()
    tenants = TenantManager["Book"]()
    stock_manager = models.Manager["Book"]()


class Review(Dated):
    """Nothing about it is annotated: Django's plugin for mypy finds its types alone."""

    book = models.ForeignKey(Book, on_delete=models.CASCADE, related_name="reviews")
    tags = models.ManyToManyField(Tag, related_name="reviews")

    objects = TenantManager()


class Summary(models.Model):
    review = models.OneToOneField(Review, on_delete=models.CASCADE, related_name="summary")


class Customer(AsyncModel):
    name = models.CharField(max_length=100)


class Order(AsyncModel):
    customer = models.CharField(max_length=254)


class Token(models.Model):
    digest = models.CharField(max_length=64)
    user = models.ForeignKey(User, on_delete=models.CASCADE)


class Tenant(models.Model):
    """One of several shops."""

    host = models.CharField(max_length=253)
