"""The ordering of a queryset: names resolved to keys, of which the last ones tell all rows apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db.models import DecimalField, JSONField

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One column, or expression, that rows are ordered by."""

    path: str
    """The argument of ``F()``: ``author__name``."""
    descending: bool
    nullable: bool
    is_decimal: bool
    is_unique: bool
    """True if no two rows have the same value, so that no key after it matters."""

    @property
    def name(self) -> str:
        """The key as ``order_by()`` takes it."""
        return f"-{self.path}" if self.descending else self.path

    def reversed(self) -> Key:
        """Return the key of the opposite direction."""
        return replace(self, descending=not self.descending)


def check_names(ordering: Sequence[Any], where: str) -> None:
    """Raise TypeError unless it is a sequence of names, ValueError for an ordering without positions."""
    if isinstance(ordering, str) or not isinstance(ordering, Sequence):
        raise TypeError(f'{where} must be a tuple of names, as ("-created_at",), not {ordering!r}.')
    for name in ordering:
        if not isinstance(name, str):
            raise TypeError(
                f"{where} has {name!r}: a cursor needs names. Annotate the queryset with the expression, and name that."
            )
        if not name.lstrip("+-"):
            raise ValueError(f"{where} has an empty name.")
        if name.lstrip("+-") == "?":
            raise ValueError(f"{where} is random: no cursor can tell where a page ends.")


def keys_of(queryset: QuerySet[Any], ordering: Sequence[str] = ()) -> tuple[Key, ...]:
    """Return the keys of an ordering, or of the queryset's own; the primary key is the last, unless one is unique.

    Raises ValueError if there is none, or if it names a field that cannot identify rows; TypeError for expressions.
    """
    model, where = queryset.model, "The ordering"
    terms = ordering or terms_of(queryset)
    check_names(terms, f"{where} of {model.__name__}")
    keys: list[Key] = []
    for name in (*terms, "pk"):
        # A repeated column changes nothing, like any column after a unique one.
        keys += [key for key in _keys(queryset, name) if key.path not in {known.path for known in keys}]
        if any(key.is_unique for key in keys):
            break
    if not ordering and not queryset.query.standard_ordering:
        return tuple(key.reversed() for key in keys)
    return tuple(keys)


def terms_of(queryset: QuerySet[Any]) -> Sequence[Any]:
    """Return the ordering of the queryset, unresolved. Raises ValueError if there is none."""
    query = queryset.query
    own: Any = query.order_by or (query.get_meta().ordering if query.default_ordering else ())
    if not own:
        name = queryset.model.__name__
        raise ValueError(
            f"This queryset of {name} has no ordering, so that pages would overlap and leave rows out. "
            f'Write order_by("pk"), or give {name} a Meta.ordering.'
        )
    return tuple(own)


def with_tie_breaker(queryset: QuerySet[Any]) -> QuerySet[Any]:
    """Return the queryset, ordered by primary key where its ordering makes no difference.

    It is returned unchanged where that would change its rows. Raises ValueError if it is not ordered.
    """
    query = queryset.query
    if query.extra_order_by:
        return queryset
    terms = terms_of(queryset)
    if query.is_sliced or query.combinator or query.distinct or isinstance(query.group_by, tuple):
        return queryset
    return queryset.order_by(*terms, "pk")


def _keys(queryset: QuerySet[Any], name: str) -> Iterator[Key]:
    """Yield the key that a name stands for; for a composite primary key, those of its fields."""
    descending, path = name.startswith("-"), name.lstrip("+-")
    first, *rest = path.split("__")
    if (annotation := queryset.query.annotations.get(first)) is not None:
        output = None if rest else _output_field(annotation)
        is_decimal = isinstance(output, DecimalField)
        yield Key(path=path, descending=descending, nullable=True, is_decimal=is_decimal, is_unique=False)
        return
    paths = [field.attname for field in queryset.model._meta.pk_fields] if path == "pk" else [path]  # noqa: SLF001 - public
    yield from (_walk(queryset.model, each, descending=descending) for each in paths)


def _output_field(annotation: Any) -> Any:
    try:
        return annotation.output_field
    except FieldError:  # an expression without an output_field
        return None


def _walk(model: type[Model], path: str, *, descending: bool) -> Key:
    """Return the key at the end of a path over relations that have one object at most."""
    *relations, last = path.split("__")
    current, nullable = model, False
    for step in relations:
        field = _field(model, current, step, path)
        if not field.is_relation:  # the rest is a transform, such as __year, and may be anything
            return Key(path=path, descending=descending, nullable=True, is_decimal=False, is_unique=False)
        nullable = nullable or field.null  # as the other side of a one-to-one relation always is
        current = field.related_model
    field = _field(model, current, last, path)
    _refuse_bare_relation(model, field, last, path)
    return Key(
        path="__".join([*relations, field.attname]),
        descending=descending,
        nullable=nullable or field.null,
        is_decimal=isinstance(field, DecimalField),
        is_unique=field.unique and not field.null and not relations,
    )


def _field(model: type[Model], current: type[Model], step: str, path: str) -> Any:
    options = current._meta  # noqa: SLF001 - _meta is public
    by_column = {field.attname: field for field in options.concrete_fields}
    try:
        field: Any = options.pk if step == "pk" else by_column.get(step) or options.get_field(step)
    except FieldDoesNotExist:
        raise ValueError(
            f"{model.__name__} cannot be ordered by {path}: {current.__name__} has no field {step}."
        ) from None
    if field.many_to_many or field.one_to_many:
        raise ValueError(
            f"{model.__name__} cannot be paged by {path}: {step} has many rows, and a result would come once for each. "
            "Annotate the queryset with an aggregate, and name that."
        )
    if isinstance(field, JSONField) or (getattr(field, "column", None) is None and not field.one_to_one):
        raise ValueError(f"{model.__name__} cannot be paged by {path}: values of {step} cannot be compared.")
    return field


def _refuse_bare_relation(model: type[Model], field: Any, last: str, path: str) -> None:
    """Refuse ``author``, by which Django means the ordering of authors, if they have one; ``author_id`` is a column."""
    if not field.is_relation or last in {"pk", getattr(field, "attname", None)}:
        return
    if not field.concrete or field.related_model._meta.ordering:  # noqa: SLF001 - _meta is public
        related = field.related_model.__name__
        raise ValueError(
            f"{model.__name__} cannot be paged by {path}, which means the ordering of {related}: name a field "
            f"of it, as {path}__pk."
        )
