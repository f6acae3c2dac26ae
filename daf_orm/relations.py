"""Managers of related objects, to annotate with: Django makes their classes inside functions, where they have no name.

A type checker without Django's plugin does not know that ``Author`` has ``books`` because ``Book`` has a foreign key::

    class Author(AsyncModel):
        books: RelatedManager[Book]

    class Book(AsyncModel):
        author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
        tags = cast("ManyRelatedManager[Tag]", models.ManyToManyField(Tag))

Annotations change nothing at run time.
"""

from daf_orm.manager import AsyncManager

__all__ = ["ManyRelatedManager", "RelatedManager"]


class RelatedManager(AsyncManager):
    """The type of ``author.books``: the objects whose foreign key leads here."""


class ManyRelatedManager(AsyncManager):
    """The type of ``book.tags`` and ``tag.books``: the objects at the other end of a many-to-many relation."""
