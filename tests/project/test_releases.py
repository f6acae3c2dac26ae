"""A release: its version, its changelog, its metadata, and the files of the wheel and the source distribution."""

import email
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import daf_orm
import daf_views

pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory]  # files are read, no database is used

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
README = (ROOT / "README.md").read_text()
ADDRESS = "https://example.org/daf/daf"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the wheel and the source distribution, as the release workflow builds them."""
    pytest.importorskip("hatchling", reason="the build backend is not installed here")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder],
        cwd=ROOT,
        check=True,
        env={"DAF_REPOSITORY": ADDRESS},
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def wheel(built) -> set[str]:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as file:
        return set(file.namelist())


@pytest.fixture(scope="module")
def metadata(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as file:
        (name,) = (name for name in file.namelist() if name.endswith("/METADATA"))
        return email.message_from_bytes(file.read(name))


@pytest.fixture(scope="module")
def sources(built) -> set[str]:
    with tarfile.open(next(built.glob("*.tar.gz"))) as file:
        return {name.partition("/")[2] for name in file.getnames()}


def committed(*folders: str) -> set[str]:
    """Return the files that are committed, or would be by ``git add``."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is no clone, so it is not known which files are committed")
    return {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}


# Version and changelog


def test_both_packages_have_the_version_of_the_distribution(metadata):
    assert daf_orm.__version__ == daf_views.__version__ == metadata["Version"]


def test_the_changelog_has_the_version_with_its_date():
    headings = re.findall(r"^## \[([^\]]+)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert headings[0][0] == daf_orm.__version__
    assert all(re.fullmatch(r"\d{4}-\d{2}-\d{2}", date) for _, date in headings)
    assert [date for _, date in headings] == sorted((date for _, date in headings), reverse=True)


def test_every_change_is_named_as_the_tool_reads_it():
    kinds = [each["directory"] for each in PROJECT["tool"]["towncrier"]["type"]]
    names = [path.name for path in (ROOT / "changes").iterdir() if path.name != "README.md"]

    assert kinds == ["added", "changed", "deprecated", "removed", "fixed", "security"]
    assert [name for name in names if not re.fullmatch(rf"(\+[a-z0-9-]+|\d+)\.({'|'.join(kinds)})\.md", name)] == []


def test_the_changelog_has_the_line_that_the_tool_writes_below():
    assert (ROOT / "CHANGELOG.md").read_text().count(PROJECT["tool"]["towncrier"]["start_string"]) == 1


# Metadata


def test_the_classifiers_are_the_versions_of_the_matrix(metadata):
    (rows,) = re.findall(r"^MATRIX \?= (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    pythons, djangos = (sorted({row.split("-")[place] for row in rows.split()}) for place in (0, 1))
    classifiers = metadata.get_all("Classifier")

    assert [each for each in classifiers if re.search(r"Python :: 3\.\d", each)] == [
        f"Programming Language :: Python :: {version}" for version in pythons
    ]
    assert [each for each in classifiers if re.search(r"Django :: \d", each)] == [
        f"Framework :: Django :: {version}" for version in djangos
    ]
    assert {"Framework :: AsyncIO", "Framework :: Pytest", "Typing :: Typed"} <= set(classifiers)


def test_the_badges_are_those_of_the_classifiers(metadata):
    found = " ".join(metadata.get_all("Classifier"))
    pythons, djangos = (re.findall(rf"{name} :: (\d\.\d+)", found) for name in ("Python", "Django"))

    assert f"![Python {pythons[0]} to {pythons[-1]}]" in README
    assert f"![Django {', '.join(djangos)}]" in README
    assert f"![Licence {metadata['License-Expression']}]" in README


def test_links_lead_to_the_repository_that_builds_the_release(metadata):
    text = metadata.get_payload()
    files = f"{ADDRESS}/blob/v{daf_orm.__version__}"

    assert f"Changelog, {files}/CHANGELOG.md" in metadata.get_all("Project-URL")
    assert f"]({files}/docs/start/tutorial.md)" in text
    assert re.findall(r"\]\((?!https://)[^)]+\)", text) == []


def test_a_build_elsewhere_names_no_repository(tmp_path):
    pytest.importorskip("hatchling", reason="the build backend is not installed here")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT,
        check=True,
        env={},
        capture_output=True,
    )
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as file:
        text = file.read(f"django_daf-{daf_orm.__version__}.dist-info/METADATA").decode()

    assert "Project-URL" not in text
    assert README in text


def test_the_readme_fits_one_screen():
    assert len(README.splitlines()) <= 80


# Files


def test_the_wheel_has_every_file_of_the_packages_and_no_other(wheel):
    info = f"django_daf-{daf_orm.__version__}.dist-info/"

    assert {name for name in wheel if not name.startswith(info)} == committed("daf_orm", "daf_views")


@pytest.mark.parametrize(
    "name",
    [
        "daf_orm/py.typed",
        "daf_views/py.typed",
        "daf_orm/__init__.pyi",
        "daf_orm/start/template/.gitignore-tpl",
        "daf_orm/start/template/catalogue/migrations/0001_initial.py-tpl",
        "daf_views/tasks/overview/overview.html",
        "daf_views/throttling/backends/redis.lua",
        "daf_views/idempotency/migrations/0001_initial.py",
    ],
)
def test_the_wheel_has(name, wheel):
    assert name in wheel


def test_the_wheel_has_all_data_of_the_packages_and_no_tests(wheel):
    assert {path.suffix for path in map(Path, wheel)} >= {".html", ".js", ".lua", ".pyi"}
    assert not [name for name in wheel if name.startswith(("tests/", "docs/", "examples/", "benchmarks/"))]


def test_the_source_distribution_builds_and_tests_itself(sources):
    left_out = {".gitignore"}

    assert committed() - left_out - sources == set()
