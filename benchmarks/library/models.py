"""One model, plain Django: each contestant reaches it with its own manager."""

from django.db import models


class Book(models.Model):
    """A row like many: a few columns of different types."""

    title = models.CharField(max_length=200)
    author = models.CharField(max_length=120)
    isbn = models.CharField(max_length=13, db_index=True)
    published = models.DateField()
    added = models.DateTimeField()
    price = models.DecimalField(max_digits=8, decimal_places=2)
    pages = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return self.title
