"""The bookshop's tables, without DAF's base classes."""

from django.db import models


class Author(models.Model):
    """The author of at least one book."""

    name = models.CharField(max_length=120, unique=True)
    born = models.PositiveSmallIntegerField()

    class Meta:  # noqa: D106 - the base class says it
        managed = False
        db_table = "shop_author"

    def __str__(self) -> str:
        return self.name


class Tag(models.Model):
    """A subject books are shelved under."""

    name = models.CharField(max_length=60, unique=True)

    class Meta:  # noqa: D106 - the base class says it
        managed = False
        db_table = "shop_tag"

    def __str__(self) -> str:
        return self.name


class Book(models.Model):
    """A title the shop sells."""

    isbn = models.CharField(max_length=13, unique=True)
    title = models.CharField(max_length=200)
    author = models.ForeignKey(Author, on_delete=models.PROTECT, related_name="books")
    tags = models.ManyToManyField(Tag, related_name="books", db_table="shop_book_tags")
    published = models.DateField()
    price = models.DecimalField(max_digits=8, decimal_places=2)

    class Meta:  # noqa: D106 - the base class says it
        managed = False
        db_table = "shop_book"

    def __str__(self) -> str:
        return self.title


class Stock(models.Model):
    """Copies of a book on the shelf."""

    book = models.OneToOneField(Book, on_delete=models.CASCADE, primary_key=True, related_name="stock")
    quantity = models.PositiveIntegerField()

    class Meta:  # noqa: D106 - the base class says it
        managed = False
        db_table = "shop_stock"

    def __str__(self) -> str:
        return f"{self.quantity} copies of book {self.book_id}"


class RestockRequest(models.Model):
    """A sold-out book the shop wants to buy in again."""

    book = models.OneToOneField(Book, on_delete=models.CASCADE, related_name="restock_request")
    requested_at = models.DateTimeField()

    class Meta:  # noqa: D106 - the base class says it
        managed = False
        db_table = "shop_restockrequest"

    def __str__(self) -> str:
        return f"Restock book {self.book_id}"


class OrderLine(models.Model):
    """Copies of one book in an order, at the price of that day."""

    order_id = models.BigIntegerField()
    book = models.ForeignKey(Book, on_delete=models.PROTECT, related_name="order_lines")
    quantity = models.PositiveIntegerField()
    unit_price = models.DecimalField(max_digits=8, decimal_places=2)

    class Meta:  # noqa: D106 - the base class says it
        managed = False
        db_table = "shop_orderline"

    def __str__(self) -> str:
        return f"{self.quantity} x book {self.book_id}"
