"""The types of requests and responses.

Input is checked by them before a handler is called, output is made by them from the models' attributes, and the OpenAPI
document describes both. So a limit stands here, and nowhere else.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field

# In Python, `$` lets a line break follow it, which JSON Schema's does not. With this, they agree.
_ONE_LINE = r"^(?!.*\n)"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_MAILBOX = rf'{_ONE_LINE}(?:{_ATOM}(?:\.{_ATOM})*|"[!#-\[\]-~]+")@{_LABEL}(?:\.{_LABEL})+$'

Id = Annotated[int, Meta(ge=1, le=2**63 - 1)]  # the range of a BigAutoField
Words = Annotated[str, Meta(max_length=100, pattern=rf"{_ONE_LINE}[^\x00-\x1f\x7f]*$")]
Title = Annotated[str, Meta(min_length=1, max_length=200, pattern=rf"{_ONE_LINE}[^\x00-\x1f\x7f]+$")]
Isbn = Annotated[str, Meta(pattern=rf"{_ONE_LINE}97[89][0-9]{{10}}$", examples=["9780000000002"])]
# As text, exactly: a Decimal would also be NaN, and a float is no money.
Price = Annotated[str, Meta(pattern=rf"{_ONE_LINE}(?:0|[1-9][0-9]{{0,5}})\.[0-9]{{2}}$", examples=["12.50"])]
Email = Annotated[str, Meta(max_length=254, pattern=_MAILBOX, examples=["ada@example.com"])]
Quantity = Annotated[int, Meta(ge=1, le=100)]


class Input(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Data from programs: an unknown field is a mistake, and is reported."""


class Output(Struct, kw_only=True, frozen=True):
    """Data for programs."""


# Books


class BookFilters(Input):
    """Filters of the list of books. Every word must be in the title, or in the author's name."""

    q: Words = ""
    author: Id | UnsetType = UNSET
    in_stock: bool = False


class BookIn(Input):
    """A book, all of it but its tags."""

    isbn: Isbn
    title: Title
    author: Id
    published: date
    price: Price


class BookChanges(Input):
    """Some fields of a book: those that are left out stay unchanged."""

    isbn: Isbn | UnsetType = UNSET
    title: Title | UnsetType = UNSET
    author: Id | UnsetType = UNSET
    published: date | UnsetType = UNSET
    price: Price | UnsetType = UNSET


class AuthorName(Output):
    id: int
    name: str


class AuthorOut(AuthorName):
    born: int


class BookSummary(Output):
    """A book in a list."""

    id: int
    title: str
    author: AuthorName
    price: Decimal


class BookOut(Output):
    """A book. Its stock is another resource: that changes with every order, and a book seldom."""

    id: int
    version: int
    isbn: str
    title: str
    author: AuthorOut
    tag_names: list[str] = field(name="tags")
    published: date
    price: Decimal


class StockOut(Output):
    """Copies of a book on the shelf."""

    quantity: int
    restock_requested: bool


class OfferOut(Output):
    """The price at which the supplier sells a book."""

    book: int
    price: Decimal


# Orders


class LineIn(Input):
    book: Id
    quantity: Quantity


class OrderIn(Input):
    """An order. Lines for the same book are added up."""

    customer: Email
    lines: Annotated[list[LineIn], Meta(min_length=1, max_length=50)]

    def quantities(self) -> dict[int, int]:
        """The number of copies that are ordered, by book."""
        wanted: dict[int, int] = {}
        for line in self.lines:
            wanted[line.book] = wanted.get(line.book, 0) + line.quantity
        return wanted


class BookTitle(Output):
    id: int
    title: str


class LineOut(Output):
    book: BookTitle
    quantity: int
    unit_price: Decimal
    total: Decimal


class OrderOut(Output):
    """An order with its lines."""

    id: int
    customer: str
    placed_at: datetime
    lines: list[LineOut]
    total: Decimal


class ReceiptOut(Output):
    """When the receipt of an order was sent."""

    order: int
    sent_at: datetime


# The shop at a glance


class Catalogue(Output):
    books: int
    authors: int
    average_price: Decimal | None


class Shelves(Output):
    copies: int | None
    sold_out: int


class Sales(Output):
    orders: int
    copies: int | None
    revenue: Decimal | None


class Bestseller(Output):
    id: int
    title: str
    sold: int


class BusyTag(Output):
    name: str
    titles: int


class Report(Output):
    """The shop at a glance. Without data, a sum or average is null."""

    catalogue: Catalogue
    stock: Shelves
    sales: Sales
    bestsellers: list[Bestseller]
    tags: list[BusyTag]
