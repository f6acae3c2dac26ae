"""The Python examples of the README and the docs, as modules that type checkers can read.

Each ```python block becomes a separate module. It imports the names that it uses and does not define: from the last
block before it on the page that does, or from ``pages/``, which has what a page takes for granted: in a module of its
name, if it has one, or in ``common.py``. A block that awaits or returns outside of a function becomes the body of one.
Its lines keep their numbers, so that an error is found in the page.
"""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).parent
ROOT = HOME.parents[1]
OTHERS = {
    "check.md",  # its examples misuse the ORM on purpose; tests/orm/static/test_docs.py has their models
    "allauth.md",  # this and the following are files of a project, which tests/docs/test_steps.py runs
    "celery.md",
    "cors.md",
    "jwt.md",
    "observability.md",
    "runners.md",
    "static-and-admin.md",
    "uploads.md",
    "websockets.md",
}
"""Pages whose examples no type checker reads."""
PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.name not in OTHERS)]
FRAGMENTS = {
    ("README.md", 2): "adds to the settings that a project has; make test-dist runs it",
    ("docs/guides/native.md", 1): "leaves out what a database is called, as `…`, which is no Python",
    ("docs/guides/testing.md", 4): "leaves out of a dict what it has beside one key, as `...`, which is no Python",
    ("docs/start/tutorial.md", 1): "adds to the settings that a project has; tests/docs/test_steps.py runs it",
    ("docs/reference/shapes.md", 1): "is made of tests/orm/detection/corpus, which misuses the ORM on purpose",
}
"""Blocks that are not checked, by page and number, and why not."""
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """A block of a page."""

    page: str
    number: int
    line: int
    """That of the block's fence; the code begins on the next."""
    code: str

    @property
    def module(self) -> str:
        """The name of the module that it becomes."""
        return f"{_name_of(self.page)}_{self.number}"

    @property
    def is_body(self) -> bool:
        """Return True if it stands for the body of a function."""
        try:
            compile(self.code, self.page, "exec", dont_inherit=True)
        except SyntaxError as error:
            if "outside" not in str(error):
                raise SyntaxError(f"{self.page}:{self.line}: the block is no Python: {error}.") from error
            return True
        return False

    def text(self) -> str:
        """Return the module's text, whose lines are those of the page."""
        imports = "; ".join(f"from {module} import {name}" for name, module in sorted(self._imports().items()))
        if not self.is_body:
            return imports + "\n" * self.line + self.code
        head = "async def example(request: HttpRequest) -> Any:"
        return imports + "\n" * (self.line - 1) + head + "\n" + textwrap.indent(self.code, "    ")

    def _imports(self) -> dict[str, str]:
        """Return the modules to import from, by name."""
        names = used_in(self.code) - defined_in(self.code)
        names |= {"HttpRequest", "Any"} if self.is_body else set()
        own = _name_of(self.page)
        found = {name: f"pages.{module}" for module in ("common", own) for name in names & _names_of_page(module)}
        for earlier in blocks_of(ROOT / self.page):
            if earlier.number < self.number and earlier.is_checked and not earlier.is_body:
                found |= dict.fromkeys(names & defined_in(earlier.code), f"examples.{earlier.module}")
        return found

    @property
    def is_checked(self) -> bool:
        """Return True if it is none of FRAGMENTS."""
        return (self.page, self.number) not in FRAGMENTS


def examples() -> list[Example]:
    """Return all blocks that are checked. Raises LookupError for a fragment that is not there."""
    blocks = [each for page in PAGES for each in blocks_of(page)]
    if gone := FRAGMENTS.keys() - {(each.page, each.number) for each in blocks}:
        raise LookupError(f"FRAGMENTS names blocks that do not exist: {sorted(gone)}.")
    return [each for each in blocks if each.is_checked]


def blocks_of(page: Path) -> list[Example]:
    """Return the blocks of a page."""
    text, name = page.read_text(), str(page.relative_to(ROOT))
    return [
        Example(name, number, text.count("\n", 0, match.start()) + 1, match[1])
        for number, match in enumerate(_BLOCK.finditer(text), start=1)
    ]


def write(folder: Path) -> None:
    """Write the modules of all examples into a package."""
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    for example in examples():
        (folder / f"{example.module}.py").write_text(example.text())


def in_page(line: str) -> str:
    """Return a line of a checker's output with the page in place of the module."""
    for example in examples():
        line = re.sub(rf"\S*\bexamples/{example.module}\.py(?=:)", example.page, line)
    return line


def used_in(code: str) -> set[str]:
    """Return the names that code reads."""
    return {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}


def defined_in(code: str) -> set[str]:
    """Return the names that code defines, outside of functions and classes."""
    names = set[str]()
    for node in ast.parse(code).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(each.asname or each.name).partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {each.id for each in targets if isinstance(each, ast.Name)}
    return names


def _name_of(page: str) -> str:
    return Path(page).stem.lower().replace("-", "_")


def _names_of_page(module: str) -> set[str]:
    file = HOME / "pages" / f"{module}.py"
    return defined_in(file.read_text()) if file.exists() else set()
