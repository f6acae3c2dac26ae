"""The workflows on GitHub do what the Makefile and .ci/run do, by make targets that exist."""

import re
from itertools import product
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yml"))}
JOBS = [(name, key) for name, workflow in WORKFLOWS.items() for key in workflow["jobs"]]
TARGETS = set(re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE))
CI_RUN = re.sub(r"^ *#.*", "", (ROOT / ".ci" / "run").read_text(), flags=re.MULTILINE)
OF_CI_RUN = set(re.findall(r"^(?:if .* ! )? *make ([a-z][\w-]*)", CI_RUN, re.MULTILINE))

pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory]  # files are read, no database is used


def value_of(name: str) -> list[str]:
    """Return the words of a variable of the Makefile."""
    (value,) = re.findall(rf"^{name} \?= (.*)$", MAKEFILE, re.MULTILINE)
    return value.split()


def job(workflow: str, key: str) -> dict:
    return WORKFLOWS[workflow]["jobs"][key]


def called(workflow: str, key: str) -> set[str]:
    """Return the make targets that a job calls."""
    steps = " ".join(step.get("run", "") for step in job(workflow, key)["steps"])
    matrix = job(workflow, key).get("strategy", {}).get("matrix", {})
    chosen = [*matrix.get("target", []), *(each["target"] for each in matrix.get("include", []) if "target" in each)]
    texts = [steps.replace("${{ matrix.target }}", target) for target in chosen] or [steps]
    return {target for text in texts for target in re.findall(r"\bmake ([\w-]+)", text)}


def test_the_suite_runs_for_each_row_on_each_database():
    matrix = job("ci", "test")["strategy"]["matrix"]
    databases = MAKEFILE.partition("DATABASES ?= ")[2].partition("\n")[0].rstrip(")").rpartition(",")[2].split()

    assert matrix["row"] == value_of("MATRIX")
    assert matrix["database"] == databases == ["sqlite-memory", "sqlite-file", "postgresql", "native"]
    assert len([*product(matrix["row"], matrix["database"])]) == 16


def test_each_row_has_its_python():
    rows = {each["row"]: each["python"] for each in job("ci", "test")["strategy"]["matrix"]["include"]}

    assert rows == {row: row.partition("-")[0] for row in value_of("MATRIX")}


@pytest.mark.parametrize(("workflow", "key"), [each for each in JOBS if each != ("release", "publish")])
def test_every_target_that_a_job_calls_exists(workflow, key):
    assert called(workflow, key)
    assert called(workflow, key) <= TARGETS


def test_everything_that_ci_run_does_is_a_job():
    jobs = {target for key in WORKFLOWS["ci"]["jobs"] for target in called("ci", key)}
    row_by_row = {"test-all", "test-on-3"}  # make test-on-3.12-6.0: the rows of the job "test"

    assert OF_CI_RUN - row_by_row - jobs == set()
    assert {"lint", "docs", "test", "test-django", "test-lowest", "test-mysql"} <= OF_CI_RUN


def test_every_action_is_pinned_to_a_commit_and_names_its_version():
    lines = [line.strip() for path in FOLDER.glob("*.yml") for line in path.read_text().splitlines() if "uses:" in line]

    assert lines
    for line in lines:
        assert re.fullmatch(r"- uses: [\w/.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_jobs_may_read_and_no_more(workflow):
    assert WORKFLOWS[workflow]["permissions"] == {"contents": "read"}
    granted = {key: each["permissions"] for key, each in WORKFLOWS[workflow]["jobs"].items() if "permissions" in each}
    assert granted == ({"publish": {"id-token": "write"}} if workflow == "release" else {})


@pytest.mark.parametrize(("workflow", "key"), JOBS)
def test_every_job_ends(workflow, key):
    assert job(workflow, key)["timeout-minutes"] <= 60


def test_a_release_publishes_what_was_tried():
    build, publish = job("release", "build"), job("release", "publish")

    assert WORKFLOWS["release"][True] == {"push": {"tags": ["v*"]}}  # YAML reads the key `on` as True
    assert publish["needs"] == "build"
    assert called("release", "build") == {"test-dist"}
    assert set(build["steps"][1]["with"]["python-version"].split()) == {
        row.partition("-")[0] for row in value_of("TRIED")
    }
    assert publish["steps"][-1]["with"] == {"attestations": True, "verify-metadata": True}


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.stem)
def test_every_form_and_setting_is_yaml(path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_a_form_has_what_github_wants(name):
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text())
    fields = [each for each in form["body"] if each["type"] != "markdown"]

    assert form["name"]
    assert form["description"]
    assert len({each["id"] for each in fields}) == len(fields)
    assert all(each["attributes"]["label"] for each in fields)
