"""Findings as text, JSON, SARIF and annotations of GitHub's. JSON is ASCII: valid in the encoding of any terminal."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from daf_orm.static.codes import CODES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from daf_orm.static.findings import Finding


SOURCE: Final = "source"


@dataclass(frozen=True, slots=True)
class Report:
    """The findings, and where the models were taken from: ``source``, or the app registry of a settings module."""

    findings: Sequence[Finding]
    models: str = SOURCE


def as_text(report: Report) -> str:
    """Return a line for each, with the way to it below, and a summary."""
    lines = []
    for finding in report.findings:
        mark = f" [{'*' if finding.fix.is_safe else '-'}]" if finding.fix else ""
        lines.append(f"{finding.file}:{finding.line}:{finding.column}: {finding.code}{mark} {finding.message}")
        if len(finding.path) > 1:
            lines.append(f"    path: {' → '.join(map(str, finding.path))}")
    summary = _summary(report.findings)
    return "\n".join([*lines, summary if report.models == SOURCE else f"{summary} Models are from {report.models}."])


def _summary(findings: Sequence[Finding]) -> str:
    if not findings:
        return "No findings."
    safe = sum(finding.fix is not None and finding.fix.is_safe for finding in findings)
    unsafe = sum(finding.fix is not None and not finding.fix.is_safe for finding in findings)
    text = f"{len(findings)} finding{'s' if len(findings) > 1 else ''}."
    if safe:
        text += f" [*] {safe} fixable with --fix."
    if unsafe:
        text += f" [-] {unsafe} fixable with --fix --unsafe-fixes."
    return text


def as_json(report: Report) -> str:
    """Return a list of objects; ``models`` of each says where the models were taken from."""
    rows = [{**finding.as_dict(), "models": report.models} for finding in report.findings]
    return json.dumps(rows, indent=2)


def as_github(report: Report) -> str:
    """Return workflow commands, which GitHub shows beside the lines."""
    lines = [
        f"::error file={_escaped(each.file, is_property=True)},line={each.line},col={each.column},"
        f"title={each.code}::{_escaped(each.message)}"
        for each in report.findings
    ]
    if report.models != SOURCE:
        lines.append(f"::notice title=daf check::{_escaped(f'Models are from {report.models}.')}")
    return "\n".join(lines)


def _escaped(text: str, *, is_property: bool = False) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if is_property else text


def as_sarif(report: Report) -> str:
    """Return a log of SARIF 2.1.0."""
    findings = report.findings
    used = sorted({finding.code for finding in findings})
    rules = [{"id": code, "shortDescription": {"text": CODES[code].title}} for code in used]
    run = {
        "tool": {"driver": {"name": "daf check", "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, used.index(finding.code)) for finding in findings],
        "properties": {"models": report.models},
    }
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2)


def _result(finding: Finding, index: int) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": "error",
        "message": {"text": finding.message},
        "locations": [_location(finding.file, finding.line, finding.column)],
    }
    if len(finding.path) > 1:
        steps = [
            {"location": {**_location(step.file, step.line), "message": {"text": step.function}}}
            for step in finding.path
        ]
        result["codeFlows"] = [{"threadFlows": [{"locations": steps}]}]
    return result


def _location(file: str, line: int, column: int | None = None) -> dict[str, Any]:
    region = {"startLine": line} if column is None else {"startLine": line, "startColumn": column}
    path = quote(os.fsencode(file))  # a name need not be text
    uri = f"file://{path}" if file.startswith("/") else path
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}


FORMATS: Final[dict[str, Callable[[Report], str]]] = {
    "text": as_text,
    "json": as_json,
    "sarif": as_sarif,
    "github": as_github,
}
