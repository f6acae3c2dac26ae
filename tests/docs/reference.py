"""Pages and parts of pages that are made from the code: ``python -m tests.docs.reference`` writes them anew.

The code is read, not imported, so that a page does not depend on the versions that are installed.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
COMMAND = "python -m tests.docs.reference"
PACKAGES = ("daf_orm", "daf_views")
LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")
_CHECK = re.compile(r"daf_(?:orm|views)\.[EWI]\d{3}")


# Settings


def settings() -> str:
    """Return the page of both settings, from the classes that hold them."""
    parts = [_head("Settings", "`daf_orm/settings.py` and `daf_views/settings.py`")]
    parts.append(
        "Both settings are dicts, and all keys are optional. `manage.py check` names unknown keys and values.\n"
    )
    for name, module in (("DAF_ORM", "daf_orm/settings.py"), ("DAF_VIEWS", "daf_views/settings.py")):
        parts.append(f"\n## `{name}`\n\n{_fields(module, 'Settings')}")
    parts.append(f'\n## `DAF_ORM["WATCHDOG"]`\n\n{_fields("daf_orm/settings.py", "WatchdogSettings")}')
    return "".join(parts)


def _fields(module: str, name: str) -> str:
    (kind,) = (node for node in _parsed(module).body if isinstance(node, ast.ClassDef) and node.name == name)
    rows = ["| Key | Default | Meaning |", "|---|---|---|"]
    for field, meaning in zip(kind.body, [*kind.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and field.value is not None:
            text = (
                meaning.value.value if isinstance(meaning, ast.Expr) and isinstance(meaning.value, ast.Constant) else ""
            )
            rows.append(f"| `{ast.unparse(field.target)}` | `{_default(field.value)}` | {_cell(str(text))} |")
    return "\n".join(rows) + "\n"


def _default(value: ast.expr) -> str:
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "limited":
        return ast.unparse(value.args[0])
    if isinstance(value, ast.Call):
        return "{}"
    return ast.unparse(value)


# System checks


def checks() -> str:
    """Return the page of the system checks, from the docstrings of their functions."""
    parts = [_head("System checks", "the docstrings of the checks")]
    parts.append("`manage.py check` runs them. Errors have an E in their id, warnings a W.\n")
    found = dict(_checks())
    for package in PACKAGES:
        rows = [f"| `{id_}` | {_cell(text)} |" for id_, text in sorted(found.items()) if id_.startswith(f"{package}.")]
        parts.append(f"\n## `{package}`\n\n" + "\n".join(["| Id | Reported |", "|---|---|", *rows]) + "\n")
    return "".join(parts)


def _checks() -> Iterator[tuple[str, str]]:
    for module in _modules():
        for node in ast.walk(_parsed(module)):
            if isinstance(node, ast.FunctionDef):
                ids, _, text = (ast.get_docstring(node) or "").partition(": ")
                found = re.findall(r"``(?:(daf_\w+)\.)?([EWI]\d{3})``", ids)
                if found and not re.sub(r"``[\w.]+``|, | and ", "", ids) and node.name != "check_tasks":
                    package = found[0][0]
                    yield from ((f"{package}.{number}", text) for _, number in found)


def ids_in_code() -> set[str]:
    """Return the ids of all checks that the code makes."""
    return {
        node.value
        for module in _modules()
        for call in ast.walk(_parsed(module))
        if isinstance(call, ast.keyword) and call.arg == "id"
        for node in ast.walk(call.value)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _CHECK.fullmatch(node.value)
    }


# Log records


@dataclass(frozen=True, order=True)
class Record:
    """A call of a logger."""

    logger: str
    module: str
    line: int
    level: str
    message: str


def logs() -> str:
    """Return the page of log records, from the calls of the loggers."""
    parts = [_head("Log records", "the calls of the loggers")]
    parts.append(
        "`%s` and `%r` stand for values. Records of requests also go to `django.request` and `django.security`, as in\n"
        "Django. A record about a blocking call has its fields in `blocking_call`, one about an idle transaction in\n"
        "`idle_transaction`.\n"
    )
    grouped = defaultdict(list)
    for record in sorted(set(_records())):
        grouped[record.logger].append(record)
    for logger, records in sorted(grouped.items()):
        rows = dict.fromkeys(f"| {each.level} | {_cell(each.message)} | `{each.module}` |" for each in records)
        parts.append(f"\n## `{logger}`\n\n" + "\n".join(["| Level | Message | From |", "|---|---|---|", *rows]) + "\n")
    return "".join(parts)


def _records() -> Iterator[Record]:
    for module in _modules():
        tree = _parsed(module)
        loggers, texts = _loggers(tree), _texts(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not loggers:
                continue
            for place, function in enumerate([node.func, *node.args[:1]]):
                if (level := _level(function, loggers)) is not None:
                    at = place + (level == "log")
                    yield from _record(module, node, (loggers, texts), level, node.args[at : at + 1])


def _record(module: str, node: ast.Call, known: tuple, level: str, message: list[ast.expr]) -> Iterator[Record]:
    loggers, texts = known
    (logger,) = set(loggers.values())
    for text in _strings(message[0], texts) if message else ():
        if re.sub(r"%\S", "", text).strip():  # a message that only passes another one on says nothing here
            shown = {"exception": "error", "log": "any"}.get(level, level)
            yield Record(logger=logger, module=module, line=node.lineno, level=shown, message=text)


def _level(function: ast.expr, loggers: dict[str, str]) -> str | None:
    if isinstance(function, ast.Attribute) and function.attr in LEVELS and ast.unparse(function.value) in loggers:
        return function.attr
    return None


def _loggers(tree: ast.Module) -> dict[str, str]:
    return {
        ast.unparse(node.targets[0]): node.value.args[0].value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) == "logging.getLogger"
    }


def _texts(tree: ast.Module) -> dict[str, str]:
    return {
        ast.unparse(node.targets[0]): node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }


def _strings(value: ast.expr, texts: dict[str, str]) -> Iterator[str]:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.IfExp):
        yield from (text for each in (value.body, value.orelse) for text in _strings(each, texts))
    elif isinstance(value, ast.Name) and value.id in texts:
        yield texts[value.id]


# Metrics


def metrics() -> str:
    """Return the page of metrics, from the calls that make them."""
    parts = [_head("Metrics", "the calls that make metrics")]
    parts.append(
        "Names are Prometheus's. OpenTelemetry's have no `_total`. A gauge goes up and down, a counter only grows.\n"
        "Every process has separate figures, which begin at 0. A metric of the pool has no value before the pool is\n"
        "used, one with labels none before it is counted.\n"
        "\n| Metric | Kind | Unit | Labels | Meaning |\n|---|---|---|---|---|\n"
    )
    parts += [f"{row}\n" for row in sorted(set(_metrics()))]
    parts.append(
        "\nA metric with labels has at most 200 combinations of values. Further ones are counted with `other`\n"
        "as their first label.\n"
    )
    return "".join(parts)


def _metrics() -> Iterator[str]:
    kinds = {"Counter": "counter", "Underway": "gauge"}
    for module in _modules():
        for node in ast.walk(_parsed(module)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"Metric", "Computed", *kinds}:
                given = {each.arg: each.value for each in node.keywords}
                given |= dict(zip(("name", "help"), node.args, strict=False))
                if isinstance(given.get("name"), ast.Constant):
                    said = {key: ast.literal_eval(given[key]) for key in given.keys() - {"read"}}
                    kind = said.get("kind") or kinds[ast.unparse(node.func)]
                    labels = ", ".join(f"`{label}`" for label in said.get("labels", ()))
                    yield f"| `{said['name']}` | {kind} | {said['unit']} | {labels} | {_cell(said['help'])} |"


# Problems


@dataclass(frozen=True, order=True)
class Problem:
    """A problem that a response may be."""

    status: int
    code: str
    name: str
    text: str


def problems() -> str:
    """Return the page of problem codes, from the classes of errors and from the places that name another code."""
    parts = [_head("Problem codes", "`daf_views/exceptions.py` and the code that raises its errors")]
    parts.append(
        "The `code` of a problem (RFC 9457) is for programs; its text may change. A view may raise any of the\n"
        "classes, with its own `code`.\n\n## Classes\n\n| Status | Code | Class | Meaning |\n|---|---|---|---|\n"
    )
    classes = {problem.name: problem for problem in _problem_classes()}
    parts += [
        f"| {each.status} | `{each.code}` | `{each.name}` | {_cell(each.text)} |\n"
        for each in sorted(classes.values())
        if not each.name.startswith("_")
    ]
    parts.append("\n## Other codes of DAF\n\n| Status | Code | From |\n|---|---|---|\n")
    places = defaultdict(list)
    for each in sorted(set(_named_codes(classes))):
        places[each.status, each.code].append(f"`{each.text}`")
    parts += [f"| {status} | `{code}` | {', '.join(modules)} |\n" for (status, code), modules in places.items()]
    return "".join(parts)


def _problem_classes() -> Iterator[Problem]:
    status, code = {"APIError": 500}, {"APIError": "error"}
    for module in ("daf_views/exceptions.py", "daf_views/idempotency/exceptions.py"):
        for node in _parsed(module).body:
            if not isinstance(node, ast.ClassDef) or not {ast.unparse(base) for base in node.bases} & status.keys():
                continue
            base = ast.unparse(node.bases[0])
            own = {ast.unparse(each.targets[0]): each.value for each in node.body if isinstance(each, ast.Assign)}
            status[node.name] = _status(own["default_status"]) if "default_status" in own else status[base]
            code[node.name] = ast.literal_eval(own["default_code"]) if "default_code" in own else code[base]
            text = (ast.get_docstring(node) or "").partition("\n\n")[0]
            yield Problem(status=status[node.name], code=code[node.name], name=node.name, text=text)


def _named_codes(classes: dict[str, Problem]) -> Iterator[Problem]:
    for module in _modules():
        for node in ast.walk(_parsed(module)) if module.startswith("daf_views") else ():
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {*classes, "APIError"}:
                named = {each.arg: each.value for each in node.keywords}
                if isinstance(code := named.get("code"), ast.Constant):
                    problem = classes.get(ast.unparse(node.func))
                    default = problem.status if problem else 500
                    status = _status(named["status"]) if "status" in named else default
                    yield Problem(status=status, code=str(code.value), name="", text=module)


def _status(value: ast.expr) -> int:
    return value.value if isinstance(value, ast.Constant) else int(HTTPStatus[ast.unparse(value).rpartition(".")[2]])


# Layers


def layers() -> str:
    """Return the figure of the layers, from the contracts in pyproject.toml."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    drawn = {each["containers"][0]: each["layers"] for each in contracts if each["type"] == "layers"}
    return "\n\n".join(_figure(package, drawn[package]) for package in reversed(PACKAGES))


def _figure(package: str, rows: list[str]) -> str:
    texts = [row.replace(" : ", "   ") for row in rows]
    width = max(len(text) for text in texts) + 4
    title = f" {package} "
    lines = [f"┌─{title}{'─' * (width - len(title) - 1)}┐"]
    for number, text in enumerate(texts):
        lines += [f"├{'─' * width}┤"] * (number > 0) + [f"│{text.center(width)}│"]
    return "\n".join(["```text", *lines, f"└{'─' * width}┘", "```"])


def with_layers(page: str) -> str:
    """Return the page of the architecture with the figure as it should be."""
    between = re.compile(r"(?<=<!-- the layers: begin -->\n\n).*(?=\n\n<!-- the layers: end -->)", re.DOTALL)
    return between.sub(lambda _: layers(), page)


# Writing


PAGES: dict[str, Callable[[], str]] = {
    "reference/settings.md": settings,
    "reference/checks.md": checks,
    "reference/logs.md": logs,
    "reference/metrics.md": metrics,
    "reference/problems.md": problems,
}
ARCHITECTURE = DOCS / "project" / "architecture.md"


def _head(title: str, source: str) -> str:
    return f"# {title}\n\n<!-- Written by `{COMMAND}` from {source.replace('`', '')}. Do not edit. -->\n\n"


def _cell(text: str) -> str:
    """Return a docstring or a message as one cell of a table, with roles and double backquotes as Markdown."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", " ".join(text.split())).replace("``", "`")
    return re.sub(r"(?<![`\w])([*_<])", r"\\\1", text.replace("|", r"\|"))


def _modules() -> list[str]:
    return sorted(str(file.relative_to(ROOT)) for name in PACKAGES for file in (ROOT / name).rglob("*.py"))


@cache
def _parsed(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text())


def main() -> None:
    """Write the pages."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
    ARCHITECTURE.write_text(with_layers(ARCHITECTURE.read_text()))


if __name__ == "__main__":
    main()
