"""The public names: they are fixed, and importing them is free of settings, of other packages, of the views."""

import ast
import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from asgiref.sync import iscoroutinefunction
from django.db import OperationalError, models

import daf_orm
from tests.support.imports import errors_of

pytestmark = [
    pytest.mark.no_database,
    pytest.mark.sqlite_memory,  # modules are the same on every database
    pytest.mark.timeout(180),  # the first of them waits until all have been imported
]

HOME = Path(daf_orm.__file__).parent
FILES = sorted(HOME.rglob("*.py"))
MODULES = sorted(
    ".".join(file.relative_to(HOME.parent).with_suffix("").parts).removesuffix(".__init__") for file in FILES
)
OF_TOOLBAR = {"daf_orm.debug_toolbar", "daf_orm.debug_toolbar.panel", "daf_orm.debug_toolbar.record"}
NEED_SETTINGS = {"daf_orm.models", *OF_TOOLBAR}
"""A model class, even an abstract one, can only be made when the applications are known. The toolbar reads settings."""

FIXED = {
    "AsyncManager",
    "AsyncModel",
    "AsyncQuerySet",
    "BlockingCall",
    "BlockingCallError",
    "PoolClosed",
    "PoolTimeout",
    "TooManyRequests",
    "allow_blocking",
    "await_safe",
    "cursor",
    "database_sync_to_async",
    "get_pool",
    "notifications",
    "pinned",
    "runs_in_thread",
    "transaction",
}


def imported_by(code: str) -> set[str]:
    """Return the top-level packages that ``code`` imports in a new process without settings."""
    script = (
        f"import json, sys\nbefore = set(sys.modules)\n{code}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=HOME.parent,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    return {name.partition(".")[0] for name in json.loads(result.stdout)}


def test_the_names_are_those_of_the_design() -> None:
    assert set(daf_orm.__all__) == FIXED


def test_they_are_sorted() -> None:
    assert daf_orm.__all__ == sorted(daf_orm.__all__)


@pytest.mark.parametrize("name", sorted(FIXED))
def test_each_name_resolves(name: str) -> None:
    assert getattr(daf_orm, name) is not None


def test_nothing_else_is_exported() -> None:
    public = {name for name, value in vars(daf_orm).items() if not name.startswith("_") and not inspect.ismodule(value)}

    assert public - {"TYPE_CHECKING", "Any"} <= FIXED


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="AsyncMistake"):
        daf_orm.AsyncMistake  # noqa: B018


def test_everything_can_be_imported_at_once() -> None:
    names: dict[str, object] = {}
    exec("from daf_orm import *", names)

    assert set(names) >= FIXED


def test_each_name_is_as_in_the_design() -> None:
    assert issubclass(daf_orm.AsyncModel, models.Model)
    assert issubclass(daf_orm.AsyncManager, models.Manager)
    assert issubclass(daf_orm.AsyncQuerySet, models.QuerySet)
    assert {"atomic", "on_commit"} <= set(vars(daf_orm.transaction))
    assert iscoroutinefunction(daf_orm.get_pool().aclose)
    assert hasattr(daf_orm.cursor(), "__aenter__")


@pytest.mark.parametrize("error", [daf_orm.PoolClosed, daf_orm.PoolTimeout, daf_orm.TooManyRequests])
def test_the_pool_s_errors_are_those_of_a_database_out_of_reach(error: type[Exception]) -> None:
    assert issubclass(error, OperationalError)


def test_the_stub_has_the_same_names_from_the_same_modules() -> None:
    stub = ast.parse((HOME / "__init__.pyi").read_text())
    imported = {
        alias.name: node.module for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    homes = {name: f"daf_orm.{home}" for name, home in daf_orm._HOMES.items()}

    assert imported == homes | {"transaction": "daf_orm"}
    assert ast.literal_eval(stub.body[-1].value) == daf_orm.__all__


@pytest.mark.parametrize("name", ["_manager_methods", "_queryset_methods", "relations"])
def test_a_stub_has_the_names_of_run_time(name: str) -> None:
    module = importlib.import_module(f"daf_orm.{name}")
    classes = [node for node in ast.parse((HOME / f"{name}.pyi").read_text()).body if isinstance(node, ast.ClassDef)]
    declared = [(getattr(module, each.name), method) for each in classes for method in each.body]
    assert declared

    for found, method in declared:
        if method.name != "__call__":  # only instances that Django makes have it, of generated classes
            assert parameters(method) == list(inspect.signature(getattr(found, method.name)).parameters), method.name


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    spec = function.args
    positional = [*spec.posonlyargs, *spec.args, *([spec.vararg] if spec.vararg else [])]
    names = [each.arg for each in [*positional, *spec.kwonlyargs, *([spec.kwarg] if spec.kwarg else [])]]
    return names[1:] if names[0] == "cls" else names


def test_every_public_name_has_a_docstring() -> None:
    undocumented = [name for name in FIXED if not inspect.getdoc(getattr(daf_orm, name))]

    assert undocumented == []


# Importing


def test_importing_it_needs_no_settings_and_no_other_package() -> None:
    packages = imported_by("import daf_orm") - set(sys.stdlib_module_names)

    # The standard library's list of modules leaves out _sysconfigdata….
    assert {name for name in packages if not name.startswith("_")} <= {"asgiref", "daf_orm", "django", "sqlparse"}


@pytest.fixture(scope="module")
def errors_of_importing() -> dict[str, str]:
    return errors_of(f"import {module}" for module in MODULES)


@pytest.mark.parametrize("module", [module for module in MODULES if module not in NEED_SETTINGS])
def test_each_module_can_be_imported_before_the_settings(module: str, errors_of_importing: dict[str, str]) -> None:
    assert errors_of_importing[f"import {module}"] == ""


@pytest.mark.parametrize("module", sorted(NEED_SETTINGS))
def test_a_module_that_needs_settings_says_so(module: str, errors_of_importing: dict[str, str]) -> None:
    assert "ImproperlyConfigured" in errors_of_importing[f"import {module}"]


def test_importing_it_patches_nothing() -> None:
    imported_by(
        "import asgiref.sync, django.db; handler = asgiref.sync.SyncToAsync.thread_handler; "
        "import daf_orm, daf_orm._adapter, daf_orm._django.connections; "
        "assert not daf_orm._django.connections.is_active(); "
        "assert asgiref.sync.SyncToAsync.thread_handler is handler; "
        "import django.db.models.query; assert django.db.models.query.sync_to_async is asgiref.sync.sync_to_async"
    )


def test_a_model_class_can_only_be_had_when_there_are_settings() -> None:
    imported_by(
        "import daf_orm, django.core.exceptions\n"
        "try: daf_orm.AsyncModel\n"
        "except django.core.exceptions.ImproperlyConfigured: pass\n"
        "else: raise AssertionError"
    )


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(HOME)) for file in FILES])
def test_no_module_imports_the_views(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("daf_views") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("daf_views")
