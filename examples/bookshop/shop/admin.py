"""Django's admin, unchanged: each request runs on a thread, with a connection of the pool."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from shop.broadcast import stock_changes, stock_notice
from shop.models import Author, Book, Order, OrderLine, Stock

admin.site.site_header = "The bookshop"
admin.site.site_title = "The bookshop"


@admin.register(Author)
class AuthorAdmin(admin.ModelAdmin):
    list_display = ("name", "born")
    search_fields = ("name",)


@admin.register(Book)
class BookAdmin(admin.ModelAdmin):
    list_display = ("title", "author", "price", "published")
    list_filter = ("tags",)
    list_select_related = ("author",)
    search_fields = ("title", "author__name")
    autocomplete_fields = ("author",)


@admin.register(Stock)
class StockAdmin(admin.ModelAdmin):
    list_display = ("book", "quantity")
    list_select_related = ("book",)
    search_fields = ("book__title",)
    autocomplete_fields = ("book",)

    def save_model(self, request: HttpRequest, obj: Stock, form: Any, change: bool) -> None:  # noqa: FBT001 (Django's)
        """Save it, and tell the pages that show it, when the admin's transaction commits."""
        super().save_model(request, obj, form, change)
        stock_changes.publish(stock_notice([obj]))


class OrderLineInline(admin.TabularInline):
    model = OrderLine
    extra = 0
    autocomplete_fields = ("book",)


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display = ("id", "customer", "placed_at")
    date_hierarchy = "placed_at"
    search_fields = ("customer",)
    inlines = (OrderLineInline,)
