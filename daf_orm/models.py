"""Model instances that can be saved, deleted, refreshed, validated and completed from async code."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import prefetch_related_objects

from daf_orm import _execution
from daf_orm._async_twins import with_twins
from daf_orm.manager import AsyncManager

if TYPE_CHECKING:
    from collections.abc import Collection

    from daf_orm.manager import ModelObjects


@with_twins("save", "delete", "refresh_from_db")
class AsyncModel(models.Model):  # noqa: DJ008 - abstract
    """``class Book(AsyncModel)``: ``asave``, ``adelete`` and ``arefresh_from_db`` by DAF's execution rules, and more.

    Brings ``objects = AsyncManager()``; a model that names its own managers keeps them.
    """

    if 0:  # only mypy reads this branch: to pyright a declared type would hold for whatever replaces the attribute, too
        objects: ModelObjects

        class Meta:  # noqa: D106
            abstract = True

    objects = AsyncManager()  # type: ignore[assignment] # see above

    if TYPE_CHECKING:
        Meta: Any  # type: ignore[no-redef]
    else:

        class Meta:  # noqa: D106
            abstract = True

    async def afull_clean(
        self,
        exclude: Collection[str] | None = None,
        validate_unique: bool = True,  # noqa: FBT001, FBT002 - Django's signature
        validate_constraints: bool = True,  # noqa: FBT001, FBT002
    ) -> None:
        """Do what :meth:`full_clean` does in one hop. Raises ValidationError."""
        await _execution.run(functools.partial(self.full_clean, exclude, validate_unique, validate_constraints))

    async def avalidate_unique(self, exclude: Collection[str] | None = None) -> None:
        """Do what :meth:`validate_unique` does in one hop. Raises ValidationError."""
        await _execution.run(functools.partial(self.validate_unique, exclude))

    async def avalidate_constraints(self, exclude: Collection[str] | None = None) -> None:
        """Do what :meth:`validate_constraints` does in one hop. Raises ValidationError."""
        await _execution.run(functools.partial(self.validate_constraints, exclude))

    async def afetch_related(self, *lookups: Any) -> Self:
        """Load relations of this instance in one hop, and return it: ``await book.afetch_related("author", "tags")``.

        ``lookups`` are those of ``prefetch_related``: names across ``__``, or ``Prefetch`` objects. Relations that are
        loaded already are not loaded again. Raises AttributeError for an unknown relation.
        """
        await _execution.run(functools.partial(prefetch_related_objects, [self], *lookups))
        return self
