"""``make test-packages`` sees what DAF changes, by the suite of a package made here."""

import sys
from pathlib import Path

import pytest

from tests.suites.package_suites import Suite, changes, outcomes
from tests.support.servers import PostgresServer

pytestmark = [
    pytest.mark.no_database,
    pytest.mark.timeout(180),  # separate processes, on a machine that may be busy
]

SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ("shop",)
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3"}}
"""
TESTS = """
import unittest

from django.apps import apps
from django.conf import settings


class TestShop(unittest.TestCase):
    def test_that_is_the_same(self):
        self.assertTrue(apps.is_installed("shop"))

    def test_that_fails_with_daf(self):
        self.assertFalse(apps.is_installed("daf_orm"))

    def test_that_is_skipped_without_daf(self):
        if not apps.is_installed("daf_views"):
            self.skipTest("alone")

    def test_that_fails_by_a_subtest(self):
        for number in (1, 2):
            with self.subTest(number=number):
                self.assertEqual(number, 2)
"""
TESTS_WITHOUT_A_TEST_DATABASE = """
import unittest

import django
from django.db import connection

django.setup()


class TestShop(unittest.TestCase):
    def test_that_queries(self):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    def test_that_is_native(self):
        self.assertTrue(type(connection._connections[connection._alias]).__module__.startswith("daf_orm."))
"""
IN_PLAY = {"DAF_IN_PLAY": "1"}
OPTIONS = {"pytest": ["-p", "no:schemathesis"], "django": []}  # it takes longest to import of the installed plugins
NAME = {"pytest": "tests/test_shop.py::TestShop::{}", "django": "tests.test_shop.TestShop.{}"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for folder in ("shop", "tests"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    (tmp_path / "settings.py").write_text(SETTINGS)
    (tmp_path / "tests" / "test_shop.py").write_text(TESTS)
    return tmp_path


@pytest.mark.parametrize("runner", ["pytest", "django"])
def test_each_outcome_that_daf_changes_is_told(source, runner, capsys):
    suite = Suite(project="shop", settings="settings", runner=runner, options=OPTIONS[runner])

    assert changes(suite, Path(sys.executable), source, [{}, IN_PLAY]) == 2

    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("DAF changes")]
    names = [NAME[runner].format(f"test_that_{name}") for name in ("fails_with_daf", "is_skipped_without_daf")]
    assert told == [f"DAF changes the outcome of shop: {name}" for name in names]


def test_a_suite_of_which_nothing_passes_proves_nothing(source):
    (source / "tests" / "test_shop.py").write_text("import missing")

    with pytest.raises(RuntimeError, match="No test of shop passed"):
        outcomes(Suite(project="shop", settings="settings", runner="django"), Path(sys.executable), source, {})


def test_a_suite_on_the_native_engine_finds_the_database_that_its_settings_name(source):
    (source / "tests" / "test_shop.py").write_text(TESTS_WITHOUT_A_TEST_DATABASE)
    suite = Suite(project="shop", settings="settings", options=[*OPTIONS["pytest"], "-p", "no:django"])

    with PostgresServer() as server:
        way = {"DAF_SUITE_URL": server.url, "DAF_SUITE_ENGINE": "daf_orm.backends.postgresql", **IN_PLAY}
        found = outcomes(suite, Path(sys.executable), source, way)

    assert found == {f"tests/test_shop.py::TestShop::test_that_{name}": "passed" for name in ("queries", "is_native")}
