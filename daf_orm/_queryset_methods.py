"""Django's queryset. Type checkers read in ``_queryset_methods.pyi`` which of its methods return another."""

from django.db.models import QuerySet as QuerySetMethods

__all__ = ["QuerySetMethods"]
