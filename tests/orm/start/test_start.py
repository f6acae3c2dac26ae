"""``python -m daf_orm.start mysite`` writes a project that passes its tests, has no finding, and answers requests."""

import ast
import os
import re
from pathlib import Path

import pytest

from daf_orm.start.command import TEMPLATE
from tests.support.zygote import Zygote

pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory, pytest.mark.timeout(180)]  # it has its own database

SERVE = """
import asyncio, sys
from asgiref.testing import ApplicationCommunicator
from mysite.asgi import application

SCOPE = {"type": "http", "http_version": "1.1", "method": "GET", "path": sys.argv[1], "query_string": b"", "headers": [
    (b"host", b"localhost")]}

async def main():
    server = ApplicationCommunicator(application, SCOPE)
    await server.send_input({"type": "http.request"})
    print((await server.receive_output(5))["status"], (await server.receive_output(5))["body"].decode())

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as zygote:
        yield zygote


@pytest.fixture
def run(zygote, tmp_path):
    def run(*arguments, folder="", **variables):
        return zygote.run(arguments, cwd=tmp_path / folder, env=environment() | variables)

    return run


@pytest.fixture
def site(run, tmp_path) -> Path:
    done = run("-m", "daf_orm.start", "mysite")
    assert done.returncode == 0, done.stderr
    return tmp_path / "mysite"


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "DAF_", "PYTEST_"))}
    return {name: value for name, value in kept.items() if name not in {"DEBUG", "SECRET_KEY", "ALLOWED_HOSTS"}}


def test_its_tests_pass(run, site):
    done = run("-m", "pytest", "-q", folder=site)

    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE), done.stdout
    assert done.returncode == 0


def test_a_blocking_call_fails_its_tests(run, site):
    view = site / "catalogue" / "views.py"
    text = view.read_text()
    view.write_text(text.replace("await book.asave()", "book.save()"))
    assert view.read_text() != text

    done = run("-m", "pytest", "-q", folder=site)

    assert "Use await book.asave()." in done.stdout
    assert done.returncode == 1


def test_its_checks_find_nothing(run, site):
    assert "no issues (0 silenced)" in run("manage.py", "check", folder=site).stdout
    assert run("manage.py", "makemigrations", "--check", "--dry-run", folder=site).stdout == "No changes detected\n"
    assert run("-m", "daf_orm.static", "check", "mysite", "catalogue", folder=site).stdout == "No findings.\n"


def test_it_can_be_deployed(run, site):
    done = run("manage.py", "check", "--deploy", folder=site, DEBUG="0", ALLOWED_HOSTS="example.org")

    assert "no issues" in done.stdout


def test_without_a_key_it_does_not_start(run, site):
    (site / ".env").unlink()

    assert "KeyError: 'SECRET_KEY'" in run("manage.py", "check", folder=site).stderr


def test_it_answers_a_request(run, site):
    (site / "serve.py").write_text(SERVE)
    migrated = run("manage.py", "migrate", folder=site)

    assert migrated.returncode == 0, migrated.stderr
    assert run("serve.py", "/books/", folder=site).stdout == "200 []\n"


def test_in_production_a_probe_needs_no_tls_and_a_visitor_does(run, site):
    (site / "serve.py").write_text(SERVE)
    production = {"DEBUG": "0", "ALLOWED_HOSTS": "localhost"}

    answers = [run("serve.py", path, folder=site, **production).stdout for path in ("/readyz", "/livez", "/books/")]

    assert [answer.split()[0] for answer in answers] == ["200", "200", "301"]


def test_a_line_is_logged_once(run, site):
    (site / "serve.py").write_text(SERVE)

    done = run("serve.py", "/nowhere/", folder=site)

    assert done.stdout.startswith("404 ")
    assert done.stderr.splitlines().count("Not Found: /nowhere/") == 1


def test_every_development_key_is_another(run, site, tmp_path):
    (tmp_path / "other").mkdir()
    run("-m", "daf_orm.start", "mysite", folder="other")

    assert (site / ".env").read_text() != (tmp_path / "other" / "mysite" / ".env").read_text()


def test_no_file_is_overwritten(run, tmp_path):
    (tmp_path / "manage.py").write_text("mine")

    done = run("-m", "daf_orm.start", "mysite", ".")

    assert "already exists" in done.stderr
    assert done.returncode == 1
    assert (tmp_path / "manage.py").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("my-site", "not a valid project name"),
        ("django", "conflicts with the name of an existing Python module"),
        ("catalogue", "is the app of the new project"),
    ],
)
def test_a_name_that_cannot_work_is_refused(name, reason, run, tmp_path):
    done = run("-m", "daf_orm.start", name)

    assert reason in done.stderr
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_every_file_of_the_template_is_rendered_in_full(site):
    written = [path for path in site.rglob("*") if path.is_file()]

    assert len(written) == len([path for path in TEMPLATE.rglob("*") if path.is_file()])
    for path in written:
        assert "{{" not in path.read_text(), path
        if path.suffix == ".py":
            ast.parse(path.read_text())
