"""Every file ends in a report, and a fix never breaks source that compiled."""

from __future__ import annotations

import ast
import sysconfig
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daf_orm.static.check import check
from daf_orm.static.files import modules
from daf_orm.static.findings import Finding
from daf_orm.static.settings import Settings
from tests.orm.static.checking import IMPORTS, project

STANDARD_LIBRARY = sorted(Path(sysconfig.get_path("stdlib")).glob("**/*.py"))
LIBRARY = [file for file in STANDARD_LIBRARY if "site-packages" not in file.parts and "lib2to3" not in file.parts]
ANY_FILE = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))

EXPRESSIONS = st.recursive(
    st.sampled_from(
        ["Book", "Book.objects", "book", "book.author", "books", "request.user", "x", "1", "None", "''", "Author"]
    ),
    lambda inner: st.one_of(
        st.builds("{}.filter(pk={})".format, inner, inner),
        st.builds("{}.get(pk={})".format, inner, inner),
        st.builds("{}.{}()".format, inner, st.sampled_from(["all", "acount", "count", "first", "save", "values"])),
        st.builds("await {}.aget(pk={})".format, inner, inner).map("({})".format),
        st.builds("({} {} {})".format, inner, st.sampled_from(["in", "or", "and", "==", "+", "**", "not in"]), inner),
        st.builds("(not {})".format, inner),
        st.builds("{}({})".format, st.sampled_from(["list", "len", "bool", "sorted", "repr", "any", "view"]), inner),
        st.builds("{}[{}]".format, inner, st.sampled_from(["0", "1:", "::2", "x"])),
        st.builds("[{} for x in {}]".format, inner, inner),
        st.builds("({} for x in {})".format, inner, inner),
        st.builds("{{x: {} for x in {} if {}}}".format, inner, inner, inner),
        st.builds("(lambda x=1: {})".format, inner).filter(lambda text: "await" not in text),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("f'{{ {} }}'".format, inner).filter(lambda text: text.count("'") == 2),
        st.builds("(x := {})".format, inner),
        st.builds("[*{}, {}]".format, inner, inner),
    ),
    max_leaves=6,
)
STATEMENTS = st.one_of(
    EXPRESSIONS,
    st.builds("book = {}".format, EXPRESSIONS),
    st.builds("books = {}".format, EXPRESSIONS),
    st.builds("x, *y = {}".format, EXPRESSIONS),
    st.builds("for x in {}:\n        {}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("async for book in {}:\n        {}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("if {}:\n        {}\n    else:\n        {}".format, EXPRESSIONS, EXPRESSIONS, EXPRESSIONS),
    st.builds("while {}:\n        break".format, EXPRESSIONS),
    st.builds("with transaction.atomic() as x:\n        {}".format, EXPRESSIONS),
    st.builds("try:\n        {}\n    except Exception:\n        return {}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("assert {}, {}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("return {}".format, EXPRESSIONS),
    st.builds("yield_ = lambda: [{}]".format, st.just("Book.objects.count()")),
    st.builds("match {}:\n        case _:\n            {}".format, EXPRESSIONS, EXPRESSIONS),
)
SOURCES = st.lists(STATEMENTS, min_size=1, max_size=6).map(
    lambda body: (
        f"{IMPORTS}from django.db import transaction\n\n\nasync def view(request, books):\n    book = None\n    "
        + "\n    ".join(body)
        + "\n"
    )
)


def compiles(source: str) -> bool:
    try:
        compile(source, "<source>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def checked(folder: Path, source: str) -> list[Finding]:
    package = project(folder)
    (package / "views.py").write_text(source, encoding="utf-8", errors="surrogatepass")
    return check(modules([package]), Settings(strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("robustness")


@ANY_FILE
@given(file=st.sampled_from(LIBRARY))
def test_a_file_of_the_standard_library_ends_in_a_report(file: Path) -> None:
    for finding in check(modules([file]), Settings(strict=True)):
        assert finding.path


@ANY_FILE
@given(text=st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_any_text_ends_in_a_report_or_a_syntax_error(text: str, folder: Path) -> None:
    found = checked(folder, text)

    assert [each.code for each in found if each.code == "DAF000"] == ([] if parses(folder) else ["DAF000"])


def parses(folder: Path) -> bool:
    try:
        ast.parse((folder / "shop" / "views.py").read_bytes())
    except (SyntaxError, ValueError):
        return False
    return True


@ANY_FILE
@given(source=SOURCES.filter(compiles))
def test_a_fix_never_breaks_what_compiled(source: str, folder: Path) -> None:
    pytest.importorskip("libcst")
    from daf_orm.static.fixes.fixing import fix  # noqa: PLC0415 - needs LibCST

    checked(folder, source)
    fix([folder], Settings(strict=True), is_unsafe=True, is_dry=False)

    fixed = (folder / "shop" / "views.py").read_text()
    assert compiles(fixed)
    assert fix([folder], Settings(strict=True), is_unsafe=True, is_dry=True) == (0, "")


@pytest.mark.parametrize("source", [b"\x00", b"\xff\xfe", b"# coding: nowhere\n", b"def (", b"\t\tx\n  y", b"(" * 5000])
def test_a_file_that_is_no_python_is_reported(source: bytes, tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_bytes(source)

    assert [finding.code for finding in check(modules([file]), Settings())] == ["DAF000"]


def test_a_function_that_calls_itself_has_an_end(tmp_path: Path) -> None:
    source = "async def one(x):\n    return await two([x])\nasync def two(x):\n    return await one({'x': x})\n"

    assert checked(tmp_path, source) == []


def test_a_deeply_nested_expression_has_an_end(tmp_path: Path) -> None:
    source = f"async def view(x):\n    return {'(' * 80}x{')' * 80}, x{'.y()' * 400}\n"

    assert checked(tmp_path, source) == []
