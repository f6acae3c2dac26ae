"""Load the app registry, and read it. The one module of ``daf check`` that imports Django and the project."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daf_orm.static.registry.facts import ManagerFacts, ModelFacts, Place, Registry, RelationFacts
from daf_orm.static.registry.manage import find_manage
from daf_orm.static.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_VARIABLE = "DJANGO_SETTINGS_MODULE"


def load(paths: Sequence[Path], settings: str | None) -> Registry:
    """Set Django up, unless that has been done, and return what its registry says. Raises SettingsError.

    The settings module is the one given, else that of ``DJANGO_SETTINGS_MODULE``, else that of the nearest
    ``manage.py``. The project's output meanwhile goes to standard error.
    """
    try:
        from django.apps import apps  # noqa: PLC0415 - only where it is asked for
    except ModuleNotFoundError as error:
        raise SettingsError(
            "--django needs Django in the Python that runs daf check. Install the project's requirements there, or "
            "leave --django out."
        ) from error
    if not apps.models_ready:
        _set_up(paths, settings)
    return read(os.environ.get(_VARIABLE, "the settings that are configured"))


def _set_up(paths: Sequence[Path], settings: str | None) -> None:
    manage = find_manage(paths)
    chosen = settings or os.environ.get(_VARIABLE) or (manage.settings if manage else None)
    if not chosen:
        raise SettingsError(
            "--django needs a settings module: none is given, DJANGO_SETTINGS_MODULE is not set, and no manage.py "
            "that sets it is in the working directory, in the checked folders or above them. "
            "Name it: --settings shop.settings."
        )
    os.environ[_VARIABLE] = chosen
    folder = str(manage.file.parent if manage else Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    import django  # noqa: PLC0415 - as above

    try:
        with contextlib.redirect_stdout(sys.stderr):
            django.setup()
    except (Exception, SystemExit) as error:  # the project's own code runs here
        raise SettingsError(_failure(chosen, error)) from error


def _failure(settings: str, error: BaseException) -> str:
    """Return what went wrong, where in the project, and what to do."""
    reason = str(error).strip().partition("\n")[0] or "no message"
    place = _place(error)
    text = f"--django: Django could not be set up with {settings}: {type(error).__name__}: {reason.rstrip('.')}{place}."
    if isinstance(error, ModuleNotFoundError) and error.name and _is_part(error.name, settings):
        return f"{text} Run daf check in the folder that {settings} is imported from, or name another: --settings."
    if isinstance(error, ModuleNotFoundError):
        return f"{text} Install the project's requirements in the Python that runs daf check, or leave --django out."
    return f"{text} Mend it, name other settings with --settings, or leave --django out."


def _is_part(name: str, settings: str) -> bool:
    return settings == name or settings.startswith(f"{name}.")


def _place(error: BaseException) -> str:
    """Return the innermost line outside of installed packages, as `` at shop/apps.py:12``."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename and not frame.filename.startswith(("<", str(Path(__file__).parent)))
    ]
    ours = [frame for frame in frames if not frame.filename.startswith((sys.base_prefix, sys.prefix))]
    return f" at {ours[-1].filename}:{ours[-1].lineno}" if ours else ""


def read(settings: str) -> Registry:
    """Return what the registry says. Django has to be set up."""
    from django.apps import apps  # noqa: PLC0415 - as above
    from django.conf import settings as configured  # noqa: PLC0415

    models = apps.get_models(include_auto_created=True)
    aliases = _aliases(set(models))
    found = [_model(model, aliases.get(model, set())) for model in models]
    user = str(getattr(configured, "AUTH_USER_MODEL", ""))
    labels = {each.label for each in found}
    return Registry(settings=settings, models=tuple(found), user=user if user in labels else "")


def _aliases(models: set[type]) -> dict[type, set[str]]:
    """Return the dotted names by which loaded modules have models: those that packages import them to."""
    found: dict[type, set[str]] = {}
    for name, module in list(sys.modules.items()):
        for attribute, value in list(vars(module).items()) if hasattr(module, "__dict__") else ():
            if issubclass(type(value), type) and value in models:  # isinstance() would wake lazy objects up
                found.setdefault(value, set()).add(f"{name}.{attribute}")
    return found


def _model(model: Any, aliases: set[str]) -> ModelFacts:
    meta = model._meta  # noqa: SLF001 - Django documents it
    place = place_of(model)
    return ModelFacts(
        label=meta.label,
        place=place,
        aliases=tuple(sorted(aliases - {place.path})),
        relations=tuple(_relations(meta)),
        fields=tuple(each.name for each in meta.concrete_fields if not (each.is_relation or each.primary_key)),
        managers=tuple(_manager(manager) for manager in meta.managers),
        default_manager=meta.default_manager.name if meta.default_manager else "objects",
        has_unique=any(each.unique and not each.primary_key for each in meta.concrete_fields)
        or bool(meta.unique_together or meta.constraints),
        is_ours=any(_is_ours(each, "AsyncModel") for each in model.__mro__),
    )


def place_of(cls: type) -> Place:
    """Return where a class is defined."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return Place(
        path=f"{cls.__module__}.{cls.__qualname__}",
        file=str(Path(file).resolve()) if file else "",
        qualname=cls.__qualname__,
    )


def _relations(meta: Any) -> Iterator[RelationFacts]:
    for field in [*meta.get_fields(), *meta.private_fields]:
        if not field.is_relation:
            continue
        name = field.get_accessor_name() if _is_reverse(field) else field.name
        related = field.related_model
        if not name or isinstance(related, str):
            continue
        yield RelationFacts(
            name=name,
            kind=_kind(field),
            target=None if related is None else related._meta.label,  # noqa: SLF001 - as above
            is_reverse=_is_reverse(field),
            is_many_to_many=bool(field.many_to_many),
            is_one_to_one=bool(field.one_to_one),
            is_parent_link=not _is_reverse(field) and bool(getattr(field.remote_field, "parent_link", False)),
            back=field.field.name if _is_reverse(field) else "",
        )


def _is_reverse(field: Any) -> bool:
    return bool(field.auto_created and not field.concrete)


def _kind(field: Any) -> str:
    if field.related_model is None:
        return "generic"
    return "one" if field.one_to_one or field.many_to_one else "many"


def _manager(manager: Any) -> ManagerFacts:
    from daf_orm._django.querysets import queryset_class_of  # noqa: PLC0415 - the one need of the rest of DAF

    classes = [*type(manager).__mro__, *queryset_class_of(manager).__mro__]
    own = [each for each in classes if not each.__module__.startswith(("django.", "builtins"))]
    return ManagerFacts(
        name=manager.name,
        classes=tuple(place_of(each) for each in own),
        is_ours=any(_is_ours(each, "AsyncQuerySet") for each in own),
    )


def _is_ours(cls: type, name: str) -> bool:
    return cls.__name__ == name and cls.__module__.startswith("daf_orm.")
