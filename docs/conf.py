"""The configuration of Sphinx: ``make docs``.

The pages are Markdown whose links also work in the repository. A link to a page outside ``docs/``, such as
CONTRIBUTING.md, leads to the page of the site that includes it. A link to another file leads to a copy of it.
"""

import os
import re
import sys
from os.path import normpath, relpath
from pathlib import Path, PurePosixPath

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reference_settings")
sys.path.insert(0, str(DOCS))

import django

django.setup()

import daf_orm.models  # noqa: F401 - it needs the settings, and autodoc would import it before them

project = "DAF"
author = "The DAF founders"
project_copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns: list[str] = []
html_theme = "furo"
html_title = "DAF"
html_copy_source = False
html_show_sphinx = False
templates_path: list[str] = []
pygments_style = "default"  # with github-dark, one whose colours all have a contrast of 4.5:1
pygments_dark_style = "github-dark"

myst_heading_anchors = 4  # as GitHub makes them
myst_enable_extensions = ["attrs_inline", "colon_fence"]
suppress_warnings = ["misc.highlighting_failure"]  # an example may leave something out: ``…``

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": False}
add_module_names = False
python_use_unqualified_type_names = True

INCLUDED = {
    "README.md": "index",
    "CHANGELOG.md": "project/changelog",
    "CODE_OF_CONDUCT.md": "project/conduct",
    "CONTRIBUTING.md": "project/contributing",
    "SECURITY.md": "project/security",
    "benchmarks/README.md": "why/benchmarks",
}
"""Pages of the repository, and the pages of the site that have their text."""
_INCLUDE = re.compile(r"^<!-- the text of (\S+) -->$", re.MULTILINE)
_FENCE = re.compile(r"^( *)(```+|~~~+).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s:]+)\)")


def _read(app, docname, source) -> None:
    """Put in the pages that are included, and turn all links into links of the site."""
    included = _INCLUDE.search(source[0])
    if included is None:
        source[0] = _with_links(source[0], "docs" / PurePosixPath(docname).parent, docname)
        return
    page = PurePosixPath(included[1])
    app.env.note_dependency(str(ROOT / page), docname=docname)
    text = _with_links((ROOT / page).read_text(), page.parent, docname)
    source[0] = source[0].replace(included[0], text)


def _with_links(text: str, folder: PurePosixPath, docname: str) -> str:
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [_linked(text[end : fence.start()], folder, docname), fence[0]]
        end = fence.end()
    return "".join([*parts, _linked(text[end:], folder, docname)])


def _linked(text: str, folder: PurePosixPath, docname: str) -> str:
    def link(match: re.Match[str]) -> str:
        path, mark, anchor = match[2].partition("#")
        if not path:
            return match[0]
        target = normpath(folder / path)
        if (ROOT / target).is_dir():  # a site has no listing of it
            return match[1]
        page = DOCS / f"{INCLUDED[target]}.md" if target in INCLUDED else ROOT / target
        path = relpath(page, (DOCS / docname).parent)
        if page.suffix == ".md" and not page.is_relative_to(DOCS):
            return f"{{download}}`{match[1].replace('`', '')} <{path}>`"
        return f"[{match[1]}]({path}{mark}{anchor})"

    return _LINK.sub(link, text)


_ACCESSIBLE = {
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
}
"""HTML of Sphinx and furo, and what axe wants: a level of each heading, and that keys can scroll what is wide."""


def _make_accessible(app, pagename, templatename, context, doctree) -> None:  # noqa: ARG001 (Sphinx passes them)
    for name in ("body", "furo_navigation_tree"):
        for html, accessible in _ACCESSIBLE.items():
            context[name] = context.get(name, "").replace(html, accessible)


def setup(app) -> dict[str, bool]:
    """Register the above."""
    app.connect("source-read", _read)
    app.connect("html-page-context", _make_accessible, priority=900)  # after furo, which makes the navigation
    return {"parallel_read_safe": True}
