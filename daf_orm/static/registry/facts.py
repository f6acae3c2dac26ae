"""The part of the app registry that a check needs: models, their relations and managers, as plain values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The place where a class is defined."""

    path: str
    """Its dotted name: ``shop.models.Book``."""
    file: str
    """The file of its module; empty if it has none."""
    qualname: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationFacts:
    """A relation by the name that instances have it by; hidden ones (``related_name="+"``) are left out."""

    name: str
    kind: str
    """``one``, ``generic`` or ``many``."""
    target: str | None
    """Label of the other model, ``shop.Author``."""
    is_reverse: bool = False
    is_many_to_many: bool = False
    is_one_to_one: bool = False
    is_parent_link: bool = False
    """True if it leads to the parent's row of a child model, which Django makes of the child's own columns."""
    back: str = ""
    """The field of the other model that a reverse relation is made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerFacts:
    """A manager of a model, by the name that the model has it by."""

    name: str
    classes: tuple[Place, ...]
    """Those of the manager, then those of its queryset, nearest first; without Django's own."""
    is_ours: bool = False
    """True if its querysets are AsyncQuerySets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A model that is installed."""

    label: str
    place: Place
    aliases: tuple[str, ...] = ()
    """Other dotted names by which loaded modules have the class."""
    relations: tuple[RelationFacts, ...] = ()
    fields: tuple[str, ...] = ()
    """Names of its columns, without keys."""
    managers: tuple[ManagerFacts, ...] = ()
    default_manager: str = "objects"
    """Name of the one that related managers are made of."""
    has_unique: bool = False
    """True if validation queries the database for fields that are unique, alone or together."""
    is_ours: bool = False
    """True if it is an AsyncModel."""


@dataclass(frozen=True, kw_only=True)
class Registry:
    """The installed models."""

    settings: str
    """The settings module that it was loaded with."""
    models: tuple[ModelFacts, ...] = field(default=())
    user: str = ""
    """Label of the user model."""

    def __str__(self) -> str:
        count = len(self.models)
        return f"the app registry of {self.settings} ({count} model{'' if count == 1 else 's'})"

    @cached_property
    def digest(self) -> str:
        """A text that is another one when anything of this is."""
        return hashlib.sha256(repr((self.settings, self.models, self.user)).encode()).hexdigest()[:32]

    @cached_property
    def by_label(self) -> dict[str, ModelFacts]:
        """The models by label."""
        return {model.label: model for model in self.models}

    @cached_property
    def by_path(self) -> dict[str, ModelFacts]:
        """The models by each of their dotted names."""
        found = {path: model for model in self.models for path in model.aliases}
        return found | {model.place.path: model for model in self.models}

    @cached_property
    def by_place(self) -> dict[tuple[str, str], ModelFacts]:
        """The models by file and qualified name."""
        return {(model.place.file, model.place.qualname): model for model in self.models if model.place.file}
