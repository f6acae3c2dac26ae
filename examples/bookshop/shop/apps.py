"""The shop's Django app."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """Authors, books, stock and orders."""

    name = "shop"
