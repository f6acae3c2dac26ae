"""``daf check --django``: models, relations and managers are what Django's app registry says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.orm.static.registry.shops import lines, marked, run, write

CHECK = ("check", "--output-format", "json", "shop")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    write(folder)
    return folder


def views(folder: Path) -> Path:
    return folder / "shop" / "views.py"


def test_the_registry_knows_what_source_does_not(shop: Path) -> None:
    from_source, from_registry = run(shop, *CHECK), run(shop, *CHECK, "--django")

    assert lines(views(shop), from_source.stdout) == marked(views(shop), "source")
    assert lines(views(shop), from_registry.stdout) == marked(views(shop), "source", "registry")
    assert {row["models"] for row in json.loads(from_source.stdout)} == {"source"}
    assert {row["models"] for row in json.loads(from_registry.stdout)} == {
        "the app registry of site_settings (15 models)"
    }
    assert "settings speak" in from_registry.stderr


def test_manage_py_daf_check_uses_the_registry_that_is_loaded(shop: Path) -> None:
    arguments = ("daf_check", "shop", "--output-format", "github", "--settings", "site_settings", "--no-color")

    done = run(shop, *arguments, program=("manage.py",))
    plain = run(shop, *arguments, "--no-django", program=("manage.py",))

    assert done.returncode == plain.returncode == 1
    notice = "::notice title=daf check::Models are from the app registry of site_settings (15 models)."
    assert done.stdout.splitlines()[-1] == notice
    assert "::notice" not in plain.stdout


BROKEN = {
    "nowhere.settings": (
        {},
        (
            "Django could not be set up with nowhere.settings: ModuleNotFoundError: No module named 'nowhere'. "
            "Run daf check in the folder that nowhere.settings is imported from, or name another: --settings."
        ),
    ),
    "needs_settings": (
        {"needs_settings.py": "import not_installed\n"},
        (
            "ModuleNotFoundError: No module named 'not_installed' at {folder}/needs_settings.py:1. "
            "Install the project's requirements in the Python that runs daf check, or leave --django out."
        ),
    ),
    "site_settings": (
        {"shop/models.py": "from django.db import models\n\n1 / 0\n"},
        (
            "ZeroDivisionError: division by zero at {folder}/shop/models.py:3. "
            "Mend it, name other settings with --settings, or leave --django out."
        ),
    ),
    "exit_settings": (
        {"exit_settings.py": "SECRET_KEY = 'k'\nraise SystemExit(4)\n"},
        "SystemExit: 4 at {folder}/exit_settings.py:2.",
    ),
}


@pytest.mark.parametrize("settings", BROKEN)
def test_a_project_that_cannot_be_set_up_is_an_error_by_name(settings: str, tmp_path: Path) -> None:
    changes, said = BROKEN[settings]
    write(tmp_path)
    for path, text in changes.items():
        (tmp_path / path).write_text(text)

    done = run(tmp_path, "check", "shop", "--settings", settings)

    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert said.format(folder=tmp_path) in done.stderr


def test_a_project_without_a_settings_module_is_told_how_to_name_it(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "manage.py").unlink()

    done = run(tmp_path, "check", "shop", "--django")

    assert done.returncode == 2
    assert "--django needs a settings module: none is given" in done.stderr
    assert "Name it: --settings shop.settings." in done.stderr


def test_the_environment_comes_before_manage_py(shop: Path) -> None:
    done = run(shop, *CHECK, "--django", DJANGO_SETTINGS_MODULE="other_settings")

    assert done.returncode == 2
    assert "could not be set up with other_settings" in done.stderr


def test_pyproject_may_ask_for_it(shop: Path) -> None:
    (shop / "pyproject.toml").write_text('[tool.daf.check]\ndjango = true\nsettings = "site_settings"\n')
    try:
        done = run(shop, "check", "shop", "--exit-zero")
    finally:
        (shop / "pyproject.toml").unlink()

    assert done.returncode == 0
    assert done.stdout.endswith(" Models are from the app registry of site_settings (15 models).\n")
