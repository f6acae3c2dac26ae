"""The command: its output, the sources of its settings, and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from daf_orm.static import cli
from daf_orm.static.check import check
from tests.orm.static.checking import IMPORTS, project

BLOCKING = f"{IMPORTS}async def view(request):\n    return Book.objects.count()\n"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return project(tmp_path, views=BLOCKING)


def configure(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(f"[tool.daf.check]\n{text}\n")


def test_a_finding_exits_with_1_and_says_where_and_what_to_write(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", "shop"]) == 1

    assert capsys.readouterr().out == (
        "shop/views.py:3:12: DAF010 [*] Book.objects.count() runs QuerySet.count of Book on the event loop. "
        "Use await Book.objects.acount().\n1 finding. [*] 1 fixable with --fix.\n"
    )


def test_nothing_found_exits_with_0(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop / "views.py").unlink()

    assert cli.main(["check", "shop"]) == 0
    assert capsys.readouterr().out == "No findings.\n"


def test_it_exits_with_0_on_request(shop: Path) -> None:
    assert cli.main(["check", "--exit-zero"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere does not exist."),
        (["--select", "XYZ"], "There is no code 'XYZ'."),
        (["--write-baseline"], "--write-baseline needs --baseline FILE"),
    ],
)
def test_a_wrong_argument_exits_with_2(
    arguments: list[str], said: str, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("selekt = ['DAF']", "has no key 'selekt'"),
        ("select = 'DAF'", "select is a list of strings"),
        ("strict = 1", "strict is true or false"),
        ("baseline = 1", "baseline is the name of a file"),
        ("per-file-ignores = []", "per-file-ignores is a table"),
        ("ignore = ['E501']", "There is no code 'E501'"),
        ("= 3", "could not be read"),
    ],
)
def test_settings_that_cannot_be_followed_exit_with_2(
    text: str, said: str, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(shop.parent, text)

    assert cli.main(["check"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("ignore = ['DAF010']", 0),
        ("ignore = ['DAF01']", 0),
        ("ignore = ['DAF']\nselect = ['DAF010']", 1),
        ("select = ['DAF02']", 0),
        ("exclude = ['shop/vi*.py']", 0),
        ("exclude = ['shop']", 0),
        ("per-file-ignores = {'shop/views.py' = ['DAF']}", 0),
        ("per-file-ignores = {'views.py' = ['DAF010']}", 0),
        ("per-file-ignores = {'models.py' = ['DAF']}", 1),
    ],
)
def test_pyproject_says_what_is_reported(text: str, status: int, shop: Path) -> None:
    configure(shop.parent, text)

    assert cli.main(["check"]) == status


@pytest.mark.parametrize(
    ("comment", "status"),
    [("# noqa", 0), ("# noqa: DAF010", 0), ("# noqa: E501, DAF010 why", 0), ("# noqa: DAF020", 1), ("# none", 1)],
)
def test_noqa_silences_a_line(comment: str, status: int, shop: Path) -> None:
    (shop / "views.py").write_text(BLOCKING.replace("count()", f"count()  {comment}"))

    assert cli.main(["check"]) == status


def test_strict_reports_what_may_have_been_loaded(shop: Path) -> None:
    (shop / "views.py").write_text(f"{IMPORTS}async def view(book: Book):\n    return book.author.name\n")

    assert cli.main(["check"]) == 0
    assert cli.main(["check", "--strict"]) == 1


def test_json_has_the_path_from_the_coroutine_function(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = "async def view(request):\n    book = await Book.objects.aget(pk=1)\n    return book.label\n"
    (shop / "views.py").write_text(IMPORTS + source)

    cli.main(["check", "--output-format", "json"])

    (finding,) = json.loads(capsys.readouterr().out)
    path = [(step["file"], step["function"]) for step in finding["path"]]
    assert (finding["file"], finding["code"], finding["fixable"]) == ("shop/models.py", "DAF020", False)
    assert path == [("shop/views.py", "view"), ("shop/models.py", "Book.label")]
    assert finding["path"][-1]["line"] == finding["line"]
    line = (shop / "models.py").read_text().splitlines()[finding["line"] - 1]
    assert line[finding["column"] - 1 :].startswith("self.author")


def test_github_gets_annotations(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["check", "--output-format", "github"])

    assert capsys.readouterr().out.startswith("::error file=shop/views.py,line=3,col=12,title=DAF010::Book.objects")


def test_sarif_has_rules_and_results(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["check", "--output-format", "sarif"])

    log = json.loads(capsys.readouterr().out)
    (run,) = log["runs"]
    (result,) = run["results"]
    assert log["version"] == "2.1.0"
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "DAF010"
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 3, "startColumn": 12}


def test_a_baseline_leaves_known_findings_out(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--baseline", "known.json", "--write-baseline"]) == 0
    assert capsys.readouterr() == ("", "known.json has 1 blocking calls.\n")
    assert cli.main(["check", "--baseline", "known.json"]) == 0

    (shop / "views.py").write_text(f"\n{BLOCKING}\nasync def other():\n    return Book.objects.first()\n")
    assert cli.main(["check", "--baseline", "known.json"]) == 1


def test_findings_of_tests_are_known_and_stay(shop: Path) -> None:
    row = {"module": "shop.views", "function": "view", "expression": "Book.objects.count()"}
    row |= {"operation": "QuerySet.count", "test": "tests/test_views.py::test_view"}
    Path("known.json").write_text(json.dumps({"blocking_calls": [row]}))

    assert cli.main(["check", "--baseline", "known.json"]) == 0
    assert cli.main(["check", "--baseline", "known.json", "--write-baseline"]) == 0
    assert json.loads(Path("known.json").read_text()) == {"blocking_calls": [row]}


def test_a_baseline_has_the_number_of_calls_that_are_alike(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    twice, once = "    Book.objects.count()\n", "    return Book.objects.count()\n"
    (shop / "views.py").write_text(BLOCKING.replace(once, twice + twice))
    cli.main(["check", "--baseline", "known.json", "--write-baseline"])
    (row,) = json.loads(Path("known.json").read_text())["blocking_calls"]
    assert row["count"] == 2
    assert cli.main(["check", "--baseline", "known.json"]) == 0
    (shop / "views.py").write_text(BLOCKING.replace(once, twice * 3))
    capsys.readouterr()

    assert cli.main(["check", "--baseline", "known.json"]) == 1

    assert "shop/views.py:5:5" in capsys.readouterr().out


def test_a_call_that_a_test_has_seen_is_known_wherever_the_function_has_it(shop: Path) -> None:
    line = "    Book.objects.count()\n"
    (shop / "views.py").write_text(BLOCKING.replace("    return Book.objects.count()\n", line * 2))
    cli.main(["check", "--baseline", "known.json", "--write-baseline"])
    (row,) = json.loads(Path("known.json").read_text())["blocking_calls"]
    del row["count"]
    Path("known.json").write_text(json.dumps({"blocking_calls": [{**row, "test": "tests/test_shop.py::test"}]}))

    assert cli.main(["check", "--baseline", "known.json"]) == 0


@pytest.mark.parametrize("output", ["json", "sarif"])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_valid_in_every_encoding_and_for_every_name(shop: Path, output: str, encoding: str) -> None:
    source = 'import time\nasync def view():\n    time.sleep(len("é€😀\x0c"))\n'
    for name in (b"b\xff.py", "é :#%[].py".encode(), b"line\nbreak.py"):
        Path(os.fsdecode(os.fsencode(shop) + b"/" + name)).write_text(source)
    command = [sys.executable, "-m", "daf_orm.static", "check", "shop", "--no-cache", "--output-format", output]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(Path(__file__).parents[3])}

    run = subprocess.run(command, capture_output=True, check=False, env=environment)

    assert run.stderr == b""
    found = json.loads(run.stdout.decode("ascii"))
    findings = found if output == "json" else found["runs"][0]["results"]
    assert len(findings) == 4


def test_a_name_that_is_no_text_is_a_uri(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path(os.fsdecode(os.fsencode(shop) + b"/b\xff.py")).write_text(BLOCKING)

    cli.main(["check", "--no-cache", "--output-format", "sarif"])

    result, _ = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "shop/b%FF.py"


def test_a_file_that_is_no_baseline_exits_with_2(shop: Path) -> None:
    Path("known.json").write_text("[]")

    assert cli.main(["check", "--baseline", "known.json"]) == 2


def test_a_second_run_reads_the_cache_until_a_file_changes(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[object] = []
    monkeypatch.setattr(cli, "check", lambda *given: runs.append(given) or check(*given))

    assert [cli.main(["check"]) for _ in range(2)] == [1, 1]
    assert len(runs) == 1
    (shop / "views.py").write_text(BLOCKING.replace("count", "acount").replace("return", "return await"))
    assert cli.main(["check"]) == 0
    assert len(runs) == 2
    cli.main(["check", "--strict"])
    cli.main(["check", "--no-cache"])
    assert len(runs) == 4


def test_a_broken_cache_is_made_anew(shop: Path) -> None:
    cli.main(["check"])
    (cache,) = Path(".daf_cache").glob("*.json")
    cache.write_text("{")

    assert cli.main(["check"]) == 1


def test_diff_shows_and_exits_with_1(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("libcst")

    assert cli.main(["check", "--diff"]) == 1
    assert "+    return await Book.objects.acount()" in capsys.readouterr().out
    assert cli.main(["check", "--fix"]) == 0
    assert cli.main(["check", "--diff"]) == 0


def test_checking_imports_neither_django_nor_libcst(shop: Path) -> None:
    source = (
        "import sys; from daf_orm.static.cli import main; main(['check', '--no-cache']);"
        "sys.exit(sorted({'django', 'libcst', 'shop'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]

    ran = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, env={"PYTHONPATH": str(root)}, check=False
    )

    assert (ran.stderr, ran.returncode) == ("[]\n", 1)


def test_manage_py_has_the_command(shop: Path) -> None:
    from daf_orm.management.commands.daf_check import Command  # noqa: PLC0415

    with pytest.raises(SystemExit) as exit_:
        Command().run_from_argv(["manage.py", "daf_check", "shop", "--select", "DAF02"])

    assert exit_.value.code == 0


def test_the_script_and_the_hook_are_the_command() -> None:
    root = Path(__file__).parents[3]
    scripts = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]

    assert scripts == {"daf": f"{cli.main.__module__}:{cli.main.__name__}"}
    assert "entry: daf check" in (root / ".pre-commit-hooks.yaml").read_text()


def test_links_that_lead_nowhere_are_left_out(shop: Path) -> None:
    (shop / "self.py").symlink_to("self.py")
    (shop / "gone.py").symlink_to("nowhere.py")
    (shop / "loop").symlink_to(".")

    assert cli.main(["check", "--no-cache", "--select", "DAF000", "."]) == 0


def test_sarif_has_uris(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop / "views.py").rename(shop / "a b,é%.py")

    cli.main(["check", "--no-cache", "--output-format", "sarif"])

    (result,) = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    location = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert location == {"uri": "shop/a%20b%2C%C3%A9%25.py"}


def test_an_output_that_knows_no_arrow_gets_an_escape(shop: Path) -> None:
    (shop / "views.py").write_text(
        f"{IMPORTS}def count():\n    return Book.objects.count()\nasync def view():\n    count()\n"
    )
    command = [sys.executable, "-m", "daf_orm.static", "check", "--no-cache", "shop"]

    run = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, check=False)

    assert run.returncode == 1
    assert rb"in view \u2192 shop" in run.stdout


@pytest.mark.parametrize("text", ["tool = 3", "[tool]\ndaf = 3", "[tool.daf]\ncheck = 3", "[tool]\nruff = 3"])
def test_tables_that_are_none_are_no_traceback(text: str, shop: Path) -> None:
    (shop.parent / "pyproject.toml").write_text(text)

    assert cli.main(["check", "--no-cache"]) == (2 if "daf" in text else 1)


def test_a_baseline_that_is_not_there_is_an_error_that_says_how_to_write_it(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", "--no-cache", "--baseline", "known.json"]) == 2
    assert "The baseline known.json does not exist. Write it: --baseline known.json --write-baseline." in (
        capsys.readouterr().err
    )
    assert cli.main(["check", "--no-cache", "--baseline", "known.json", "--write-baseline"]) == 0
    assert cli.main(["check", "--no-cache", "--baseline", "known.json"]) == 0


def test_a_baseline_that_cannot_be_read_or_written_exits_with_2(shop: Path) -> None:
    assert cli.main(["check", "--no-cache", "--baseline", "shop"]) == 2
    assert cli.main(["check", "--no-cache", "--baseline", "no/such/file", "--write-baseline"]) == 2


def test_a_file_that_cannot_be_written_exits_with_2(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, data: bytes) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)

    assert cli.main(["check", "--no-cache", "--fix"]) == 2
    assert "shop/views.py could not be written: Permission denied." in capsys.readouterr().err


@pytest.mark.parametrize(("comment", "status"), [("# noqabc", 1), ("# NOQA", 0), ("# noqa:DAF010", 0)])
def test_noqa_is_a_word(comment: str, status: int, shop: Path) -> None:
    (shop / "views.py").write_text(BLOCKING.replace("count()", f"count()  {comment}"))

    assert cli.main(["check", "--no-cache"]) == status


def test_an_output_that_is_read_no_further_ends_in_no_traceback(shop: Path) -> None:
    command = f"{sys.executable} -m daf_orm.static check shop | {sys.executable} -c 'import sys; sys.stdin.close()'"
    (shop / "views.py").write_text(BLOCKING + "    Book.objects.count()\n" * 2000)
    env = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[2])}

    done = subprocess.run(command, shell=True, env=env, capture_output=True, text=True, timeout=50, check=False)

    assert done.stderr == ""
