"""Private names of Django and asgiref that DAF uses are listed, stand in ``_django``, and exist."""

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import daf_orm
import daf_views
from daf_orm._django.private_names import NEWER_NAMES as NEWER_ORM_NAMES
from daf_orm._django.private_names import PRIVATE_NAMES as ORM_NAMES
from daf_orm.backends.postgresql.private_names import NEWER_NAMES as NEWER_PSYCOPG_NAMES
from daf_orm.backends.postgresql.private_names import PRIVATE_NAMES as PSYCOPG_NAMES
from daf_views._django.private_names import PRIVATE_NAMES as VIEWS_NAMES
from daf_views._django.private_names import TASKS_PRIVATE_NAMES
from daf_views.tasks.compat import TaskResult

PACKAGES = {"daf_orm": Path(daf_orm.__file__).parent, "daf_views": Path(daf_views.__file__).parent}
LISTED = {
    "daf_orm": {name for each in (ORM_NAMES, PSYCOPG_NAMES) for names in each.values() for name in names}
    | {*NEWER_ORM_NAMES, *NEWER_PSYCOPG_NAMES},
    "daf_views": {name for names in VIEWS_NAMES.values() for name in names} | set(TASKS_PRIVATE_NAMES),
}
# Documented by Django, in spite of their underscore; and those of the standard library.
PUBLIC = {"_meta", "_state", "_base_manager", "_default_manager"}
PYTHONS = {
    "_asdict",
    "_current_frames",
    "_exit",
    "_get_running_loop",
    "_getframe",
    "_run",
    "_run_once",
    "_replace",
    "_WorkItem",
}


@pytest.mark.parametrize(
    ("owner", "name"),
    [(owner, name) for names in (ORM_NAMES, PSYCOPG_NAMES, VIEWS_NAMES) for owner in names for name in names[owner]],
)
def test_the_installed_versions_have_it(owner: str, name: str) -> None:
    assert knows(found(owner), name), f"{owner} has no {name} any more: see daf_*/_django."


@pytest.mark.parametrize("name", TASKS_PRIVATE_NAMES)
def test_results_of_tasks_have_it(name: str) -> None:
    assert knows(TaskResult, name)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_private_name_is_used_outside_its_room(package: str) -> None:
    strays = [
        f"{path.relative_to(PACKAGES[package])}: {name}"
        for path in modules(package)
        if not is_room(path)
        for name in foreign_names(path, own_names(package))
    ]

    assert strays == []


@pytest.mark.parametrize("package", PACKAGES)
def test_the_list_has_every_name_that_is_used_and_no_other(package: str) -> None:
    rooms = [path for path in modules(package) if path.parent.name in {"_django", "postgresql"}]
    used = {name for path in rooms for name in foreign_names(path, own_names(package))}
    used |= {name for path in modules(package) for name in patched_names(path)}

    assert {name for name in LISTED[package] if is_private(name)} - set(TASKS_PRIVATE_NAMES) == used


def is_room(path: Path) -> bool:
    """Return True if a module may use private names of other packages."""
    return "_django" in path.parts or path.name == "_django.py" or path.parts[-3:-1] == ("backends", "postgresql")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def found(owner: str) -> object:
    module, _, attribute = owner.partition(":")
    return getattr(import_module(module), attribute) if attribute else import_module(module)


def knows(owner: object, name: str) -> bool:
    """Return True if a class or function has the name, or its source sets or asks for it."""
    if hasattr(owner, name):
        return True
    if inspect.ismodule(owner):
        return find_spec(f"{owner.__name__}.{name}") is not None
    tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(owner)))
    return any(
        name in (getattr(node, "attr", None), getattr(node, "id", None), getattr(node, "value", None))
        for node in ast.walk(tree)
    )


def modules(package: str) -> Iterator[Path]:
    for path in sorted(PACKAGES[package].rglob("*.py")):
        if path.name != "private_names.py":
            yield path


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def own_names(package: str) -> set[str]:
    """Return what the package itself defines."""
    return {name for path in modules(package) for name in defined(path)} - LISTED[package]


@cache
def defined(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(parsed(path)):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Attribute(value=ast.Name("self" | "cls"), ctx=ast.Store()):
                names.add(node.attr)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case _:
                pass
    return names


def foreign_names(path: Path, own: set[str]) -> Iterator[str]:
    """Yield the private names that a module reads from other objects, sets on them, or imports."""
    for node in ast.walk(parsed(path)):
        match node:
            case ast.Attribute(value=ast.Name("self"), attr=str(name)) if path.parent.name != "_django":
                names = [name] if name not in defined(path) else []
            case ast.Attribute(attr=str(name)):
                names = [name]
            case ast.Call(
                func=ast.Name("getattr" | "hasattr" | "setattr"), args=[_, ast.Constant(value=str(name)), *_]
            ):
                names = [name]
            case ast.Call(func=ast.Name("attrgetter"), args=paths):
                names = [name for each in paths for name in str(getattr(each, "value", "")).split(".")]
            case ast.Subscript(value=ast.Call(func=ast.Name("vars")), slice=ast.Constant(value=str(name))):
                names = [name]
            case ast.ImportFrom(names=aliases, module=str(module)) if not module.startswith("daf_"):
                names = [alias.name for alias in aliases]
            case _:
                continue
        for name in names:
            if is_private(name) and name not in own and name not in PUBLIC | PYTHONS:
                yield name


def patched_names(path: Path) -> Iterator[str]:
    """Yield the private names that the rows of a table of patches replace."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "Patch":
            for keyword in node.keywords:
                if (
                    keyword.arg == "name"
                    and isinstance(keyword.value, ast.Constant)
                    and is_private(keyword.value.value)
                ):
                    yield keyword.value.value
