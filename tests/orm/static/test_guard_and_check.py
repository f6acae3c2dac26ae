"""The tool that compares ``daf check`` with the guard."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.suites.guard_and_check import found, recorded, tell

SOURCE = """
from django.contrib.auth.models import User


async def view(request):
    User.objects.count()
    getattr(User.objects, request.name)()


async def other(request):
    User.objects.first()
"""


def test_lines_are_compared_by_file_and_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "views.py"
    file.write_text(SOURCE)
    rows = [
        {"file": str(file), "line": 6, "operation": "QuerySet.count", "expression": "User.objects.count()"},
        {"file": str(file), "line": 7, "operation": "QuerySet.count", "expression": "getattr(User.objects, …)()"},
        {"file": "/elsewhere/views.py", "line": 1, "operation": "open", "expression": "open()"},
    ]

    assert tell("shop", tmp_path.resolve(), rows) == 1

    assert capsys.readouterr().out.splitlines() == [
        "shop: 1 by both, 1 by the guard only, 1 by daf check only",
        "  guard only: views.py:7: QuerySet.count: getattr(User.objects, …)()",
        "  daf check only: views.py:11: QuerySet.first: User.objects.first()",
    ]
    assert [line.number for line in recorded(rows, tmp_path.resolve())] == [6, 7]
    assert [line.number for line in found(tmp_path.resolve())] == [6, 11]
