"""A manager with AsyncQuerySet's methods. Type checkers read them in ``_manager_methods.pyi``."""

from django.db import models

from daf_orm.query import AsyncQuerySet

ManagerMethods = models.Manager.from_queryset(AsyncQuerySet)
