"""Instances of classes in Django: requests, sessions, forms, paginators, messages."""

from __future__ import annotations

import ast
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from daf_orm.static.inference.special import special
from daf_orm.static.inference.values import (
    UNKNOWN,
    ClassValue,
    Constant,
    Items,
    Mapping,
    Method,
    Object,
    Row,
    Rows,
    Value,
)
from daf_orm.static.names.families import family
from daf_orm.static.names.orm import FORM_RENDERING, PAGINATOR_VALUES
from daf_orm.static.project.definitions import Class, last_name
from daf_orm.static.project.modules import OWN_USERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from daf_orm.static.inference.engine import Engine
    from daf_orm.static.inference.frame import Frame
    from daf_orm.static.project.models import Model

REQUEST: Final = "django.http.HttpRequest"
SESSION: Final = "django.contrib.sessions.backends.base.SessionBase"
USER: Final = "django.utils.functional.SimpleLazyObject"
MESSAGES: Final = "django.contrib.messages.storage"
CHOICES: Final = "django.forms.models.ModelChoiceIterator"
FIELDS: Final = "django.forms.fields"
PAGE: Final = "django.core.paginator.Page"
LOCAL: Final = "threading.local"
FILE: Final = "builtins.file"
FUTURE: Final = "concurrent.futures.Future"
_MODEL_CHOICES: Final = ("ModelChoiceField", "ModelMultipleChoiceField")
_SESSION_ITEMS: Final = {
    "__getitem__": "aget",
    "__setitem__": "aset",
    "__delitem__": "apop",
    "__contains__": "ahas_key",
}


class Objects:
    """Answers for them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def kinds(self, value: Object) -> frozenset[str]:
        """Return the kinds of classes that an object is an instance of."""
        return self._kinds_of(self.bases(value))

    def bases(self, value: Object) -> frozenset[str]:
        """Return the external classes that an object is an instance of."""
        if isinstance(value.of, str):
            return frozenset({value.of})
        return self._engine.project.ancestors(value.of)[1]

    @staticmethod
    def _kinds_of(paths: Iterable[str]) -> frozenset[str]:
        found: frozenset[str] = frozenset()
        for path in paths:
            found |= family(path)
        return found

    # Attributes

    def attribute(self, frame: Frame, value: Object, name: str, node: ast.expr) -> Value:
        """Return an attribute of an object."""
        if value.of == USER:
            return self._of_user(frame, name, node)
        if value.of == LOCAL:
            self.use_local(frame, node)
            return UNKNOWN
        stored = value.argument(f".{name}")
        if stored is not None:
            return stored
        if isinstance(value.of, Class):
            found = self._of_class(frame, value, value.of, name, node)
            if found is not None:
                return found
        return self._inherited_attribute(frame, value, name, node)

    @staticmethod
    def use_local(frame: Frame, node: ast.expr) -> None:
        """Report an attribute of a ``threading.local`` that is read or set."""
        remedy = "Use contextvars.ContextVar, which is each task's own."
        frame.report("DAF075", node, "threading.local", "is shared by all tasks of the loop's thread", remedy)

    def _of_class(self, frame: Frame, value: Object, cls: Class, name: str, node: ast.expr) -> Value | None:
        engine = self._engine
        method = engine.project.method(cls, name)
        if method is not None:
            return engine.member(frame, method, value, node)
        for each in engine.project.ancestors(cls)[0]:
            if name in each.inner:
                return ClassValue(each.inner[name])
            if name in each.annotations:
                found = engine.annotations.value(each.module, each.annotations[name], each)
                if found != UNKNOWN:
                    assigned = engine.instances.attribute(cls, name) if isinstance(found, Row) else None
                    return assigned if isinstance(assigned, Row) else found
            if name in each.attributes:
                found = engine.globals.evaluated(each.module, each.attributes[name])
                read = special(frame, found, ("__get__",), node, (value, ClassValue(cls)))
                return found if read is None else read
        assigned = engine.instances.attribute(cls, name)
        if assigned is None and not name.startswith("_"):
            return special(frame, value, ("__getattr__",), node, (Constant(name),))
        return assigned

    def _inherited_attribute(self, frame: Frame, value: Object, name: str, node: ast.expr) -> Value:
        kinds = self.kinds(value)
        if "request" in kinds:
            return self._of_request(value, name, node)
        if name == "scope" and any(_is_consumer(base) for base in self.bases(value)):
            return Mapping(entries=(("user", self._engine.user_row),))
        if "view" in kinds and name == "request":
            return Object(REQUEST)
        if "paginator" in kinds and name in PAGINATOR_VALUES and self._pages_rows(value):
            operation = f"Paginator.{name}"
            frame.report("DAF013", node, operation, f"runs {operation}", hopped(frame, node))
            return UNKNOWN
        if "form" in kinds:
            return self._of_form(frame, value, name, node)
        if "serializer" in kinds and name == "data":
            self._engine.represent(frame, value, node)
            return UNKNOWN
        return Method(value, name, node.value if isinstance(node, ast.Attribute) else None)

    @staticmethod
    def _of_request(value: Object, name: str, node: ast.expr) -> Value:
        if name == "user":
            return Object(USER)
        if name == "session":
            return Object(SESSION)
        if name in {"GET", "POST", "META", "COOKIES", "FILES", "headers"}:
            return Mapping()
        return Method(value, name, node.value if isinstance(node, ast.Attribute) else None)

    def _of_user(self, frame: Frame, name: str, node: ast.expr) -> Value:
        if name.startswith("_"):
            return UNKNOWN
        user = node.value if isinstance(node, ast.Attribute) else node
        self.load_user(frame, user, node)
        return self._engine.attribute(frame, self._engine.user_row, name, node)

    def load_user(self, frame: Frame, user: ast.expr, shown: ast.expr) -> None:
        """Report that ``request.user`` is looked into."""
        if self.is_user_set_by_the_project and not self._engine.is_strict:
            return
        source = frame.text(user)
        request = source.removesuffix(".user") if source.endswith(".user") else "request"
        fix = None
        if isinstance(user, ast.Attribute) and user.attr == "user":
            fix = frame.fix("auser", user)
        remedy = f"Use user = await {request}.auser(), and user for {request}.user."
        frame.report("DAF051", shown, "get_user", "loads the user of the request", remedy, fix=fix)
        frame.refine(user, self._engine.user_row)

    @cached_property
    def is_user_set_by_the_project(self) -> bool:
        """True if the project authenticates requests itself, so that ``request.user`` is a loaded user."""
        return any(
            module.mentions.intersection(OWN_USERS)
            for module in self._engine.project.modules
            if not any("test" in part for part in module.name.split("."))
        )

    def _of_form(self, frame: Frame, value: Object, name: str, node: ast.expr) -> Value:
        if name == "errors":
            if self.form_queries(value) and value.argument("validated") is None:
                operation = f"{self._form_name(value)}.errors"
                frame.report("DAF040", node, operation, f"runs {operation}", hopped(frame, node))
            return Mapping()
        if name == "fields":
            choices = tuple((each, Object(FIELDS, ((".queryset", UNKNOWN),))) for each in self._model_choices(value))
            return Mapping(entries=choices)
        if name == "instance":
            return self._form_row(value)
        if name == "cleaned_data":
            return Mapping()
        return Method(value, name, node.value if isinstance(node, ast.Attribute) else None)

    def _form_row(self, value: Object) -> Value:
        given = value.argument("instance")
        return given if isinstance(given, Row) else UNKNOWN

    # Forms

    def validate(self, frame: Frame, value: Object, name: str, node: ast.expr) -> None:
        """Take note of a method of a form that validates or renders it, and follow the project's own ``clean``."""
        is_rendered = name in FORM_RENDERING or name == "__str__"
        if value.argument("validated") is not None and not is_rendered:
            return
        method = "render" if name == "__str__" else name
        queries = bool(self._all_choices(value)) if is_rendered else self.form_queries(value)
        if queries:
            operation = f"{self._form_name(value)}.{method}"
            frame.report("DAF040", node, operation, f"runs {operation}", hopped(frame, node))
        if isinstance(value.of, Class) and not is_rendered:
            for cls in self._engine.project.ancestors(value.of)[0]:
                for own in cls.methods.values():
                    if own.name == "clean" or own.name.startswith("clean_"):
                        self._engine.run_method(frame, own, value, node)

    def form_queries(self, value: Object) -> bool:
        """Return True if validating a form asks the database."""
        if self._all_choices(value) or _is_login(self.bases(value)):
            return True
        model = self.form_model(value)
        return model is not None and self._has_unique(model)

    def _form_name(self, value: Object) -> str:
        return "ModelForm" if "model_form" in self.kinds(value) else "Form"

    def _all_choices(self, value: Object) -> list[str]:
        model = self.form_model(value)
        relations = []
        if model is not None:
            relations = [
                name
                for name, relation in model.relations.items()
                if not relation.is_reverse and relation.kind != "generic" and self._has_field(value, name)
            ]
        return [*self._model_choices(value), *relations]

    def _model_choices(self, value: Object) -> list[str]:
        classes = self._engine.project.ancestors(value.of)[0] if isinstance(value.of, Class) else []
        return [
            name for cls in classes for name, node in cls.attributes.items() if last_name(node).endswith(_MODEL_CHOICES)
        ]

    def meta(self, value: Object) -> Class | None:
        """Return the ``Meta`` of a form or serializer."""
        classes = self._engine.project.ancestors(value.of)[0] if isinstance(value.of, Class) else []
        return next((cls.inner["Meta"] for cls in classes if "Meta" in cls.inner), None)

    def form_model(self, value: Object) -> Model | None:
        """Return the model of a model form or model serializer."""
        meta = self.meta(value) if {"model_form", "model_serializer"} & self.kinds(value) else None
        if meta is None or "model" not in meta.attributes:
            return None
        found = self._engine.project.expression(meta.module, meta.attributes["model"])
        if isinstance(found, Class):
            return self._engine.models.of(found)
        if isinstance(found, str) and self._engine.models.is_installed(found):
            return self._engine.models.external(found)
        return None

    def _has_field(self, value: Object, name: str) -> bool:
        meta = self.meta(value)
        fields = meta.attributes.get("fields") if meta else None
        if not isinstance(fields, ast.Tuple | ast.List):
            return True
        return any(isinstance(each, ast.Constant) and each.value == name for each in fields.elts)

    def _has_unique(self, model: Model) -> bool:
        if model.facts is not None:
            return model.facts.has_unique
        for cls in self._engine.project.ancestors(model.cls)[0] if model.cls else []:
            for node in cls.attributes.values():
                keywords = node.keywords if isinstance(node, ast.Call) else []
                if any(each.arg == "unique" for each in keywords):
                    return True
            meta = cls.inner.get("Meta")
            if meta and {"unique_together", "constraints"} & set(meta.attributes):
                return True
        return False

    def _pages_rows(self, value: Object) -> bool:
        return self.is_lazy(value.argument("0") or value.argument("object_list") or UNKNOWN)

    def is_lazy(self, value: Value) -> bool:
        """Return True for a queryset that queries when its rows are read; with ``--strict``, also if it may."""
        return isinstance(value, Rows) and bool(value.is_lazy or (value.is_lazy is None and self._engine.is_strict))

    # Operators

    def iterate(self, frame: Frame, value: Object, shown: ast.expr, method: str = "__iter__") -> Value:
        """Take note that an object is iterated, or asked for its length. Return an item."""
        if value.of == PAGE:
            return self._rows_of_page(frame, value, shown, method)
        if value.of == MESSAGES:
            frame.report("DAF053", shown, f"SessionStorage.{method}", "loads the messages", hopped(frame, shown))
        elif value.of == CHOICES:
            operation = "ModelChoiceIterator.__len__"
            frame.report("DAF040", shown, operation, "queries for its choices", hopped(frame, shown))
        elif "paginator" in self.kinds(value) and method == "__iter__" and self._pages_rows(value):
            operation = "Paginator.page"
            frame.report("DAF013", shown, operation, f"runs {operation}", hopped(frame, shown))
        found = special(frame, value, (method,), shown)
        return found.item if isinstance(found, Items) else UNKNOWN

    def _rows_of_page(self, frame: Frame, page: Object, shown: ast.expr, method: str) -> Value:
        """Report that the rows of a page are read, which are a slice of a queryset."""
        rows = page.argument(".object_list")
        if not isinstance(rows, Rows):
            return UNKNOWN
        if self.is_lazy(rows):
            operation, remedy = f"QuerySet.{method}", hopped(frame, shown)
            frame.report("DAF013", shown, operation, f"runs {operation} of {rows.model.name}", remedy)
            evaluated = replace(rows, is_evaluated=True)
            frame.refine(shown, Object(PAGE, ((".object_list", evaluated),)))
        return rows.row

    def truth(self, frame: Frame, value: Object, node: ast.expr) -> None:
        """Take note that an object is asked for its truth."""
        if value.of == USER:
            self.load_user(frame, node, node)
        special(frame, value, ("__bool__", "__len__"), node)

    def show(self, frame: Frame, value: Object, shown: ast.expr) -> None:
        """Take note that an object is turned into text."""
        if value.of == USER:
            self.load_user(frame, shown, shown)
        elif "form" in self.kinds(value):
            self.validate(frame, value, "__str__", shown)
        elif isinstance(value.of, Class):
            method = self._engine.project.method(value.of, "__str__")
            if method is not None:
                self._engine.run_method(frame, method, value, shown)

    def item(self, frame: Frame, value: Object, node: ast.Subscript) -> Value:
        """Return ``value[key]``."""
        if value.of == SESSION:
            self.session_item(frame, value, node.value, node.slice, node, "__getitem__")
        if value.of == PAGE:
            return self._rows_of_page(frame, value, node, "__iter__")
        return special(frame, value, ("__getitem__",), node) or UNKNOWN

    def session_item(
        self, frame: Frame, value: Object, session: ast.expr, key: ast.expr, shown: ast.expr, method: str
    ) -> None:
        """Report an item of a session that is read, written or deleted before the session was loaded."""
        if value.argument("loaded") is not None:
            return
        twin = _SESSION_ITEMS[method]
        rest = ", …" if twin == "aset" else ""
        remedy = f"Use await {frame.text(session)}.{twin}({frame.text(key)}{rest})."
        operation = f"SessionStore.{method}"
        fix = frame.fix("session_item", shown, is_safe=False) if method == "__getitem__" else None
        frame.report("DAF050", shown, operation, f"runs {operation}", remedy, fix=fix)


def warm(value: Object, key: str) -> Object:
    """Return an object of which something is known from now on."""
    return replace(value, arguments=(*value.arguments, (key, Constant(True))))  # noqa: FBT003


def _is_consumer(path: str) -> bool:
    return path.startswith("channels.") and path.endswith("Consumer")


def _is_login(paths: frozenset[str]) -> bool:
    return any(path.endswith(("AuthenticationForm", "UserCreationForm", "PasswordChangeForm")) for path in paths)


def hopped(frame: Frame, node: ast.expr) -> str:
    """Return the sentence that says how to do in a thread what a node does."""
    if isinstance(node, ast.Call):
        arguments = ", ".join(frame.text(each) for each in node.args)
        return f"Do it in one hop: await database_sync_to_async({frame.text(node.func)})({arguments})."
    return f"Do it in one hop: await database_sync_to_async(lambda: {frame.text(node)})()."
