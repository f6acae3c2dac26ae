"""Forms in which customers buy books, and staff write them."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms

from shop.models import Book, Tag

MAX_COPIES = 10_000
MAX_QUANTITY = 100


class BuyForm(forms.Form):
    """Copies of one book."""

    customer = forms.EmailField(label="Your e-mail address", widget=forms.EmailInput(attrs={"autocomplete": "email"}))
    quantity = forms.IntegerField(label="Copies", min_value=1, max_value=MAX_QUANTITY, initial=1)


class BookForm(forms.ModelForm):
    """A book. The form knows the version that its user has seen, so that it overwrites no other change."""

    isbn = forms.RegexField(
        r"^97[89][0-9]{10}\Z", label="ISBN", error_messages={"invalid": "An ISBN-13 has 13 digits, from 978 or 979 on."}
    )
    # By name: Django passes a number that no column holds on to the database, which is then an error.
    tags = forms.ModelMultipleChoiceField(
        Tag.objects.order_by("name"), to_field_name="name", widget=forms.CheckboxSelectMultiple
    )
    seen_version = forms.IntegerField(widget=forms.HiddenInput)

    class Meta:
        model = Book
        fields = ("isbn", "title", "author", "tags", "published", "price")
        widgets: ClassVar[dict[str, Any]] = {
            "published": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["seen_version"] = self.instance.version

    def clean(self) -> None:
        """Compare the versions. The view has locked the row, so that this holds until it is saved."""
        super().clean()
        if self.cleaned_data.get("seen_version") != self.instance.version:
            self.add_error(None, "This book has changed since you opened it. Open it again to see the changes.")


class NewBookForm(BookForm):
    """A book that the shop has not sold so far, with its first copies."""

    copies = forms.IntegerField(min_value=0, max_value=MAX_COPIES, initial=0)
