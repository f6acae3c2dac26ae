"""Django's queryset. Type checkers read ``_queryset_methods.pyi`` for methods that return another queryset type."""

from django.db.models import QuerySet as QuerySetMethods

__all__ = ["QuerySetMethods"]
