"""Runs Django's own ``tests/generic_views`` on our views: ``python -m tests.views.generic.django_generic_views DIR``.

``DIR`` is the ``tests`` folder of a Django source distribution, of which a copy is rewritten. It is a separate process,
because the tests need other settings and another import path, and Django's names stand for DAF's classes in it.
"""

import shutil
import sys
import tempfile
import unittest
from pathlib import Path

import django
from django.conf import settings

from tests.views.generic.rewriting import rewrite

MODULES = ("test_base", "test_detail", "test_edit", "test_list")
"""All but test_dates: DAF has no date views."""

_ANY_RESPONSE = "an AsyncView refuses what is no response, and the test's view returns itself"

DIFFERENCES = {
    "ViewTest.test_args_kwargs_request_on_self": _ANY_RESPONSE,
    "ViewTest.test_calling_more_than_once": _ANY_RESPONSE,
    "ViewTest.test_method_not_allowed_response_logged": "the handler logs a 405, as every 4xx, and not the view",
    "ViewTest.test_not_calling_parent_setup_error": (
        "an AsyncView has its request whether setup() calls super() or not"
    ),
}
"""Tests that cannot hold for our views, each with the reason. All are of View itself, none of a generic view."""


def main(folder: str) -> int:
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        for module in ("views", *MODULES):
            path = Path(copy) / "generic_views" / f"{module}.py"
            path.write_text(rewrite(path.read_text()))
        sys.path.insert(0, copy)
        _configure()
        _put_ours_in_place()
        return _run()


def _configure() -> None:
    settings.configure(
        # As in Django's runtests.py.
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sites",
            "django.contrib.sessions",
            "django.contrib.messages",
            "daf_orm",
            "generic_views",
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "TEST": {"MIGRATE": False}}},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        SECRET_KEY="not a secret",
        SITE_ID=1,
        STATIC_URL="static/",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.debug",
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ],
                },
            },
        ],
        USE_TZ=False,
    )
    django.setup()


def _put_ours_in_place() -> None:
    import django.contrib.auth.views  # noqa: F401, PLC0415 - first: it keeps Django's
    from django.views import generic  # noqa: PLC0415

    from daf_views import generic as ours  # noqa: PLC0415
    from daf_views.views import AsyncView  # noqa: PLC0415

    names = {name: getattr(ours, name) for name in ours.__all__} | {"View": AsyncView}
    for module in (generic, generic.base, generic.detail, generic.edit, generic.list):
        for name in names.keys() & vars(module).keys():
            setattr(module, name, names[name])


def _run() -> int:
    from daf_orm.test import BlockingDetectionRunner  # noqa: PLC0415
    from daf_views.views import AsyncView  # noqa: PLC0415

    runner = BlockingDetectionRunner(verbosity=2, interactive=False)
    runner.setup_test_environment()
    suite = runner.build_suite([f"generic_views.{module}" for module in MODULES])
    for test in _each(suite):
        if reason := DIFFERENCES.get(f"{type(test).__name__}.{test._testMethodName}"):
            setattr(test, test._testMethodName, unittest.skip(reason)(getattr(test, test._testMethodName)))
    from generic_views.views import AuthorUpdate  # noqa: PLC0415 - a copy of the Django tests, after DAF's views are in place

    assert issubclass(AuthorUpdate, AsyncView)
    databases = runner.setup_databases()
    try:
        return runner.suite_result(suite, runner.run_suite(suite))
    finally:
        runner.teardown_databases(databases)
        runner.teardown_test_environment()


def _each(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _each(test)
        else:
            yield test


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
