"""Models: their fields, and the relations that other models' fields give them."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from daf_orm.static.names.families import family, is_of
from daf_orm.static.project.definitions import Class, last_name
from daf_orm.static.project.modules import Module
from daf_orm.static.registry.facts import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daf_orm.static.project.project import Project
    from daf_orm.static.registry.facts import ModelFacts, Place, RelationFacts

_RELATIONS: Final = re.compile(r"ForeignKey|OneToOne|ManyToMany|GenericRelation|ParentalKey|ParentalMany")
_TO_ONE: Final = ("ForeignKey", "ParentalKey")
_NO_REVERSE: Final = "+"


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation of a model, by one of its names."""

    name: str
    kind: str
    """``one`` (a foreign key, or one-to-one either way), ``generic``, or ``many`` (what has a manager)."""
    target: Model | None
    is_reverse: bool = False
    is_many_to_many: bool = False
    is_one_to_one: bool = False
    is_parent_link: bool = False
    """True if it leads to a parent model's row, which Django makes of the child's own columns."""
    back: str = ""
    """The field of the other model that a reverse relation is made of, if it is seen."""


class Model:
    """A model: of the project, or of an installed application. ``facts`` are the app registry's, if it is loaded."""

    def __init__(self, models: Models, name: str, cls: Class | None = None, facts: ModelFacts | None = None) -> None:
        self._models = models
        self.name = name
        self.cls = cls
        self.facts = facts

    def __repr__(self) -> str:
        return f"<Model {self.name}>"

    @property
    def is_known(self) -> bool:
        """Return True if its fields are seen."""
        return self.cls is not None or self.facts is not None

    @cached_property
    def is_ours(self) -> bool:
        """Return True if it is an AsyncModel."""
        if self.facts is not None:
            return self.facts.is_ours
        return self.cls is not None and is_of(self._models.project.ancestors(self.cls)[1], "async_model")

    @cached_property
    def relations(self) -> dict[str, Relation]:
        """Its relations, by name, in both directions."""
        if self.facts is not None:
            return {each.name: self._models.relation_of(each) for each in self.facts.relations}
        found: dict[str, Relation] = {}
        for cls in reversed(self._models.project.ancestors(self.cls)[0] if self.cls else []):
            for name, node in cls.attributes.items():
                relation = self._models.relation(self, cls, name, node)
                if relation is not None:
                    found[name] = relation
        return {**self._models.reverse.get(self, {}), **self._inherited(), **found, **_of_users(self._models, self)}

    def _inherited(self) -> dict[str, Relation]:
        """Return the reverse relations of the models that it extends."""
        found: dict[str, Relation] = {}
        for cls in self._models.project.ancestors(self.cls)[0][1:] if self.cls else []:
            found |= self._models.reverse.get(self._models.of(cls), {})
        return found


class Models:
    """The models of a project."""

    def __init__(self, project: Project, registry: Registry | None = None) -> None:
        self.project = project
        self._registry = registry or Registry(settings="")
        self._of_class: dict[Class, Model] = {}
        self._external: dict[str, Model] = {}

    def of(self, cls: Class) -> Model:
        """Return the model that a class is."""
        if cls not in self._of_class:
            self._of_class[cls] = Model(self, cls.name, cls, self._facts_of(cls))
        return self._of_class[cls]

    def external(self, path: str) -> Model:
        """Return a model outside the project, by its dotted name."""
        if path not in self._external:
            facts = self._registry.by_path.get(path)
            self._external[path] = Model(self, path.rpartition(".")[2]) if facts is None else self.installed(facts)
        return self._external[path]

    def is_installed(self, path: str) -> bool:
        """Return True if the app registry has a model by this dotted name."""
        return path in self._registry.by_path

    def installed(self, facts: ModelFacts) -> Model:
        """Return the model that the app registry knows these facts of: one for each, by whatever name it is asked."""
        cls = self.class_at(facts.place)
        if cls is not None:
            return self.of(cls)
        key = f"label {facts.label}"
        return self._external.setdefault(key, Model(self, facts.label.rpartition(".")[2], None, facts))

    def class_at(self, place: Place) -> Class | None:
        """Return the class of the project that is defined at a place; None if it is not the project's."""
        module = self._modules_by_file.get(place.file)
        found = module.bindings.get(place.qualname) if module is not None else None
        return found if isinstance(found, Class) else None

    @cached_property
    def _modules_by_file(self) -> dict[str, Module]:
        wanted = {model.place.file for model in self._registry.models}
        wanted |= {each.file for model in self._registry.models for of in model.managers for each in of.classes}
        return {file: module for module in self.project.modules if (file := str(module.path.resolve())) in wanted}

    def _facts_of(self, cls: Class) -> ModelFacts | None:
        if not self._registry.models:
            return None
        return self._registry.by_place.get((str(cls.module.path.resolve()), cls.qualname))

    def relation_of(self, facts: RelationFacts) -> Relation:
        """Return a relation that the app registry knows."""
        target = self._registry.by_label.get(facts.target or "")
        return Relation(
            facts.name,
            facts.kind,
            None if target is None else self.installed(target),
            facts.is_reverse,
            facts.is_many_to_many,
            facts.is_one_to_one,
            facts.is_parent_link,
            facts.back,
        )

    def is_model(self, cls: Class) -> bool:
        """Return True if a class is a model: by its bases, or by its fields where the base is not seen."""
        if self.of(cls).facts is not None:
            return True
        classes, external = self.project.ancestors(cls)
        if is_of(external, "model"):
            return True
        return any(not family(base) and not base.startswith("builtins.") for base in external) and any(
            _has_fields(each) for each in classes
        )

    @cached_property
    def user(self) -> Model:
        """The user model: the registry's; else the project's own, if it has exactly one; else Django's."""
        installed = self._registry.by_label.get(self._registry.user)
        if installed is not None:
            return self.installed(installed)
        found = [cls for cls in self._classes if is_of(self.project.ancestors(cls)[1], "user")]
        if len(found) == 1 and self.is_model(found[0]):
            return self.of(found[0])
        return self.external("django.contrib.auth.models.User")

    @cached_property
    def _classes(self) -> list[Class]:
        """The classes of modules that speak of models."""
        found = []
        for module in self.project.modules:
            if {"models", "ForeignKey"} & module.mentions:
                found += [each for each in module.bindings.values() if isinstance(each, Class)]
        return found

    @cached_property
    def reverse(self) -> dict[Model, dict[str, Relation]]:
        """The relations that models have by other models' fields."""
        found: dict[Model, dict[str, Relation]] = {}
        for cls in self._classes:
            if _is_abstract(cls) or not self.is_model(cls):
                continue
            for target, relation in self._reverse_of(self.of(cls)):
                found.setdefault(target, {})[relation.name] = relation
        return found

    def _reverse_of(self, model: Model) -> Iterator[tuple[Model, Relation]]:
        assert model.cls is not None
        for name, (cls, node) in self._declared(model.cls).items():
            relation = self.relation(model, cls, name, node)
            if relation is None or relation.target is None or last_name(node) == "GenericRelation":
                continue
            assert isinstance(node, ast.Call)
            accessor = _related_name(node, model)
            is_one = relation.is_one_to_one
            if accessor and not accessor.endswith(_NO_REVERSE) and "%" not in accessor:
                yield (
                    relation.target,
                    Relation(
                        accessor if is_one or accessor != model.name.lower() else f"{accessor}_set",
                        "one" if is_one else "many",
                        model,
                        is_reverse=True,
                        is_many_to_many=relation.is_many_to_many,
                        is_one_to_one=is_one,
                        back=name,
                    ),
                )
        yield from self._links_to(model)

    def _links_to(self, child: Model) -> Iterator[tuple[Model, Relation]]:
        """Yield the relations by which rows of the models that one extends lead to it."""
        assert child.cls is not None
        if _has_option(child.cls, "proxy"):
            return
        name = child.name.lower()
        for parent in self.project.ancestors(child.cls)[0][1:]:
            if not _is_abstract(parent) and not _has_option(parent, "proxy") and self.is_model(parent):
                yield self.of(parent), Relation(name, "one", child, is_reverse=True, is_one_to_one=True)
                return

    def _declared(self, cls: Class) -> dict[str, tuple[Class, ast.expr]]:
        """Return the fields that a model declares, and those of its abstract bases, which are its own as well."""
        found: dict[str, tuple[Class, ast.expr]] = {}
        for each in self.project.ancestors(cls)[0]:
            if each is cls or _is_abstract(each):
                found = {name: (each, node) for name, node in each.attributes.items()} | found
        return found

    def relation(self, model: Model, cls: Class, name: str, node: ast.expr) -> Relation | None:
        """Return the relation that a class attribute declares; None if it is another field."""
        kind = last_name(node) if isinstance(node, ast.Call) else ""
        if not kind or (not _RELATIONS.search(kind) and kind != "GenericForeignKey"):
            return None
        if kind == "GenericForeignKey":
            return Relation(name, "generic", None)
        assert isinstance(node, ast.Call)
        target = self._target(model, cls, node)
        if kind == "OneToOneField" or kind.endswith("OneToOneField"):
            return Relation(name, "one", target, is_one_to_one=True)
        if kind.endswith(_TO_ONE):
            return Relation(name, "one", target)
        return Relation(name, "many", target, is_many_to_many="Many" in kind)

    def _target(self, model: Model, cls: Class, node: ast.Call) -> Model | None:
        given = node.args[0] if node.args else next((each.value for each in node.keywords if each.arg == "to"), None)
        if given is None:
            return None
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            return model if given.value == "self" else self.named(cls.module, given.value)
        if last_name(given) in {"AUTH_USER_MODEL", "get_user_model"}:
            return self.user
        found = self.project.expression(cls.module, given)
        if isinstance(found, Class):
            return self.of(found)
        return self.external(found) if isinstance(found, str) else None

    def named(self, module: Module, name: str) -> Model | None:
        """Return the model of ``"Author"`` or ``"shop.Author"``, as ``module`` names it."""
        app, _, short = name.rpartition(".")
        here = module.bindings.get(short) if not app else None
        if isinstance(here, Class):
            return self.of(here)
        fitting = [cls for cls in self._classes if cls.name == short and self.is_model(cls)]
        near = [cls for cls in fitting if app in cls.module.name.split(".")] if app else fitting
        chosen = near or fitting
        return self.of(chosen[0]) if len(chosen) == 1 else None


def _related_name(node: ast.Call, model: Model) -> str:
    for keyword in node.keywords:
        if keyword.arg == "related_name" and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value).replace("%(class)s", model.name.lower()) if keyword.value.value else ""
    return model.name.lower()


def _is_abstract(cls: Class) -> bool:
    return _has_option(cls, "abstract")


def _has_option(cls: Class, name: str) -> bool:
    given = cls.inner["Meta"].attributes.get(name) if "Meta" in cls.inner else None
    return isinstance(given, ast.Constant) and given.value is True


def _has_fields(cls: Class) -> bool:
    return any(
        isinstance(node, ast.Call)
        and last_name(node).endswith(("Field", "ForeignKey"))
        and isinstance(node.func, ast.Attribute)
        and last_name(node.func.value) == "models"
        for node in cls.attributes.values()
    )


def _of_users(models: Models, model: Model) -> dict[str, Relation]:
    """Return the relations that Django's user model and its subclasses have."""
    external = models.project.ancestors(model.cls)[1] if model.cls else frozenset()
    if model.name != "User" and not is_of(external, "user"):
        return {}
    if model.cls is not None and not any(path.endswith(("AbstractUser", "PermissionsMixin")) for path in external):
        return {}
    path = "django.contrib.auth.models"
    return {
        "groups": Relation("groups", "many", models.external(f"{path}.Group"), is_many_to_many=True),
        "user_permissions": Relation(
            "user_permissions", "many", models.external(f"{path}.Permission"), is_many_to_many=True
        ),
    }
