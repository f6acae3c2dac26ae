"""Install the wheel in an empty environment, and use it: ``make test-dist``.

The environment has what the wheel asks for, in the versions of a row's lock, and nothing else. Then the README is
followed word for word, in a project that exists, and ``python -m daf_orm.start`` writes another, whose tests are run.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.docs.steps import Command, steps, take

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
NEEDED = {"asgiref", "django", "django-daf", "sqlparse"}
"""The packages of an environment that has DAF only."""
MODELS = """
from django.db import models

from daf_orm import AsyncModel


class Author(models.Model):
    name = models.CharField(max_length=200)


class Book(AsyncModel):
    title = models.CharField(max_length=200)
    stock = models.PositiveIntegerField(default=0)
    author = models.ForeignKey(Author, on_delete=models.CASCADE)
"""
"""Those of a project that a reader has."""
SELL = """
import asyncio, os

os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
import mysite.asgi
from django.test import AsyncRequestFactory

from shop import models, views


async def main():
    author = await models.Author.objects.acreate(name="Ursula")
    book = await models.Book.objects.acreate(title="The Dispossessed", stock=1, author=author)
    try:
        await views.sell(AsyncRequestFactory().post("/"), book.pk)
    finally:
        await book.arefresh_from_db()
        print("stock:", book.stock)


asyncio.run(main())
"""
IMPORT = """
import importlib, pkgutil, sys
from django.conf import settings

contrib = [f"django.contrib.{name}" for name in ("auth", "contenttypes", "flatpages", "sites")]
settings.configure(INSTALLED_APPS=[*contrib, "daf_orm", "daf_views"])
import django
django.setup()
import daf_orm, daf_views

imported, refused = 0, []
for package in (daf_orm, daf_views):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".", onerror=lambda name: None):
        parts = module.name.split(".")
        if any(part.startswith("_") for part in parts) or "migrations" in parts:
            continue
        try:
            importlib.import_module(module.name)
            imported += 1
        except Exception as error:
            refused.append(f"{module.name}\\t{getattr(error, 'name', None)}\\t{error}")
print(imported, *refused, sep="\\n")
"""
OPTIONAL = {
    *(
        "celery",
        "cronsim",
        "django_tasks",
        "django_tasks_db",
        "greenlet",
        "libcst",
        "msgspec",
        "prometheus_client",
        "psycopg",
    ),
    *("pydantic", "redis"),
    *("debug_toolbar", "opentelemetry", "pytest"),
}
"""Packages of the extras, and those that a module is for: it cannot be imported without them."""


class Environment:
    """A virtual environment that begins empty."""

    def __init__(self, folder: Path, lock: Path, wheel: Path) -> None:
        self._folder = folder / "venv"
        self._constraints = folder / "constraints.txt"
        pins = re.findall(r"^[a-z0-9-]+==[^\s;]+", lock.read_text(), re.MULTILINE)
        self._constraints.write_text("\n".join([*pins, f"django-daf=={version_of(wheel)}"]))
        self._wheels = wheel.parent
        venv.create(self._folder, with_pip=True)
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DJANGO_", "DAF_", "PYTEST_", "PYTHONPATH")) and name not in {"DEBUG", "SECRET_KEY"}
        }

    def run(
        self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run its Python."""
        command = [self._folder / "bin" / "python", *arguments]
        return subprocess.run(
            command, cwd=cwd, env=env or self.environment, check=False, capture_output=True, text=True, timeout=300
        )

    def checked(self, *arguments: str, cwd: Path) -> str:
        """Run it, and return what it prints. Raises AssertionError if it fails."""
        done = self.run(arguments, cwd=cwd)
        assert done.returncode == 0, f"python {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def install(self, *arguments: str, cwd: Path) -> None:
        """Install packages in the versions of the lock, and DAF from the folder of the wheel."""
        pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--find-links", str(self._wheels)]
        self.checked(*pip, "--constraint", str(self._constraints), *arguments, cwd=cwd)

    def packages(self) -> set[str]:
        """Return the installed packages, without those that install others."""
        names = self.checked("-m", "pip", "list", "--format=freeze", "--disable-pip-version-check", cwd=ROOT)
        return {line.partition("==")[0].lower() for line in names.split()} - {"pip", "setuptools"}


def follow_readme(environment: Environment, folder: Path) -> None:
    """Follow the README in a project that exists. Raises AssertionError where the page is wrong."""
    environment.checked("-m", "django", "startproject", "mysite", ".", cwd=folder)
    environment.checked("manage.py", "startapp", "shop", cwd=folder)
    (folder / "shop" / "models.py").write_text(MODELS)
    settings = folder / "mysite" / "settings.py"
    settings.write_text(settings.read_text() + '\nINSTALLED_APPS += ["shop"]\n')
    done = steps(README)
    assert [step.text for step in done if isinstance(step, Command)] == ["pip install django-daf"]
    for step in done:
        if not isinstance(step, Command):  # the wheel is installed
            take(step, folder, environment)
    asgi = folder / "mysite" / "asgi.py"
    asgi.write_text(asgi.read_text().replace("from django.core.asgi", "from daf_views.asgi"))
    assert "no issues" in environment.checked("manage.py", "check", cwd=folder)
    for command in ("makemigrations", "migrate"):
        environment.checked("manage.py", command, cwd=folder)
    (folder / "sell.py").write_text(SELL)
    sold = environment.run(["sell.py"], cwd=folder)
    (record,) = re.findall(r"^```text\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    assert " ".join(record.split()) in " ".join(sold.stderr.split()), sold.stderr
    assert sold.stdout == "stock: 0\n"


def import_all(environment: Environment, folder: Path) -> int:
    """Import all public modules, and return their number. One that needs an extra says so, by its package's name."""
    number, *refused = environment.checked("-c", IMPORT, cwd=folder).splitlines()
    wrong = [line for line in refused if not _names_an_extra(*line.split("\t", 2))]
    assert not wrong, "\n".join(wrong)
    return int(number)


def _names_an_extra(module: str, missing: str, message: str) -> bool:
    """Return True if it does, or if the module is a twin of one that this Django lacks."""
    by_name = missing.partition(".")[0] in OPTIONAL or missing == "django.middleware.csp"
    return by_name or "django-daf[" in message or (module.startswith("daf_orm.backends.") and "psycopg" in message)


def start_a_project(environment: Environment, folder: Path) -> str:
    """Write a project, install what it asks for, and return the last line of its tests."""
    environment.checked("-m", "daf_orm.start", "mysite", cwd=folder)
    site = folder / "mysite"
    environment.install("-r", "requirements-dev.txt", cwd=site)
    tests = environment.checked("-m", "pytest", "-q", cwd=site)
    assert re.search(r"^\d+ passed", tests, re.MULTILINE), tests
    for command in (["check"], ["makemigrations", "--check", "--dry-run"], ["migrate"]):
        environment.checked("manage.py", *command, cwd=site)
    assert "No findings." in environment.checked("-m", "daf_orm.static", "check", "mysite", "catalogue", cwd=site)
    return tests.splitlines()[-1]


def version_of(wheel: Path) -> str:
    """Return the version in the name of a wheel."""
    return wheel.name.split("-")[1]


def main(arguments: Sequence[str]) -> None:
    """Try the wheel of a folder with this Python."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dist", type=Path)
    parser.add_argument("lock", type=Path)
    parser.add_argument("--tag")
    options = parser.parse_args(arguments)
    (wheel,) = options.dist.resolve().glob("*.whl")
    version = version_of(wheel)
    if options.tag not in {None, f"v{version}"}:
        sys.exit(f"The tag is {options.tag}, and the version is {version}. Set __version__ in daf_orm/__init__.py.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = Environment(folder, options.lock, wheel)
        environment.install(str(wheel), cwd=folder)
        assert environment.packages() == NEEDED, environment.packages()
        for each in ("existing", "new"):
            (folder / each).mkdir()
        follow_readme(environment, folder / "existing")
        number = import_all(environment, folder)
        tests = start_a_project(environment, folder / "new")
    print(f"{options.lock.stem}: {wheel.name} works in an empty environment; {number} modules; a new project: {tests}")


if __name__ == "__main__":
    main(sys.argv[1:])
