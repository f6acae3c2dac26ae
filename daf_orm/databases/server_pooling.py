"""Statements that may be sent to PostgreSQL through a proxy that gives each transaction another session.

A statement that sets something for its session alone is a mistake there: the next transaction does not find it, and
another client's does. A transaction begun or ended among other statements is a mistake too: statements after it would
run without the settings of ``CONFIGURE``.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from daf_orm.databases.statements import without_literals


class Kind(Enum):
    """The way a statement is sent where each transaction has to be configured."""

    ORDINARY = 1
    """In a transaction that has been configured."""
    CONTROL = 2
    """Unchanged, because it begins or ends a transaction."""
    PLAIN = 3
    """Unchanged, because it cannot run in a transaction, or has to be the first in one."""


class Verdict(NamedTuple):
    """The kind of a statement, and the reason for refusing it, if any."""

    kind: Kind
    problem: str = ""
    """The reason for refusing it, as the beginning of a sentence about an alias; "" if it is not refused."""


@lru_cache(maxsize=4096)
def judge(sql: str) -> Verdict:
    """Return the verdict on a string of one or more statements. Takes time linear in its length."""
    text = without_literals(sql)
    if text is None:
        return _classify_raw(sql)
    if words := _session_words(text):
        return Verdict(Kind.ORDINARY, _SETS.format(words=words))
    parts = [part for part in text.split(";") if part.strip()]
    control = next((found for part in parts if (found := _CONTROL.match(part)) is not None), None)
    if control is not None:
        if len(parts) > 1:
            return Verdict(Kind.CONTROL, _AMONG_OTHERS.format(words=control[1].upper()))
        return Verdict(Kind.CONTROL)
    return Verdict(Kind.PLAIN if len(parts) == 1 and _PLAIN.match(text) else Kind.ORDINARY)


def _classify_raw(sql: str) -> Verdict:
    """Return the verdict on a DO, or on a string with a backslash. Words in a string literal count, too."""
    if words := _session_words(sql) or _first_words(_SET_INSIDE, sql):
        return Verdict(Kind.ORDINARY, _SETS.format(words=words))
    if not _DO.match(sql) and (words := _first_words(_CONTROL_INSIDE, sql)):
        return Verdict(Kind.CONTROL, _AMONG_OTHERS.format(words=words.upper()))
    return Verdict(Kind.ORDINARY)


def _session_words(text: str) -> str:
    if words := _first_words(_OF_SESSION, text):
        return words
    calls = _SET_CONFIG.finditer(text)
    return next((call[1] for call in calls if not _IS_LOCAL.fullmatch(_third_argument(text, call.end()))), "")


def _first_words(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return "" if found is None else " ".join(str(found[found.lastindex or 0]).split())


def _third_argument(text: str, start: int) -> str:
    """Return the third argument of a call whose arguments begin there; "" if it does not have three."""
    depth, number, begin = 1, 1, start
    for mark in _MARKS.finditer(text, start, start + _LONG):
        if mark[0] == "(":
            depth += 1
        elif mark[0] == ")":
            depth -= 1
            if depth == 0:
                return text[begin : mark.start()].strip() if number == _LOCAL_ARGUMENT else ""
        elif mark[0] == "," and depth == 1:
            number, begin = number + 1, mark.end()
    return ""


_SETS: Final = "{words} sets something on the session of {{alias!r}}"
_AMONG_OTHERS: Final = "{words} is sent together with other statements to {{alias!r}}"
_OF_SESSION: Final = re.compile(
    r"""(?:\A|;)[\s(]*+(
        SET\s++(?!LOCAL\b|TRANSACTION\b|CONSTRAINTS\b)(?:SESSION\s++)?+[\w.]*+ | RESET\b | DISCARD\b | LISTEN\b
        | UNLISTEN\b | LOAD\b | PREPARE\s++(?!TRANSACTION\b)\w*+ | DECLARE\b(?=[^;]*\bWITH\s+HOLD\b)
    ) | \b(CREATE\s++(?:OR\s++REPLACE\s++)?+(?:GLOBAL\s++|LOCAL\s++)?+TEMP(?:ORARY)?+)\b(?![^;]*\bON\s+COMMIT\s+DROP\b)
      | \b(INTO\s++(?:GLOBAL\s++|LOCAL\s++)?+TEMP(?:ORARY)?+)\b | \b(pg_temp)\s*+\.
      | \b(pg_(?:try_)?advisory_lock(?:_shared)?|setseed)"?\s*+\(""",
    re.IGNORECASE | re.VERBOSE,
)
"""Statements that need a session, as far as plain words show it."""
_SET_CONFIG: Final = re.compile(r"""\b(set_config)"?\s*+\(""", re.IGNORECASE)
_IS_LOCAL: Final = re.compile(r"(?:is_local\s*(?:=>|:=)\s*)?true(?:\s*::\s*bool(?:ean)?)?", re.IGNORECASE)
_LOCAL_ARGUMENT: Final = 3
_MARKS: Final = re.compile(r"%\(\w+\)s|[(),]")
_LONG: Final = 2000
"""Characters within which the arguments of a call have to end."""
_CONTROL: Final = re.compile(
    r"\s*(BEGIN|START|COMMIT|END|ABORT|ROLLBACK(?!\s+(?:WORK\s+|TRANSACTION\s+)?TO\b))\b", re.IGNORECASE
)
_CONTROL_INSIDE: Final = re.compile(r"(?:\A|;)\s*+(BEGIN|START|COMMIT|END|ABORT|ROLLBACK)\b", re.IGNORECASE)
_SET_INSIDE: Final = re.compile(
    r"(?:\b(?:BEGIN|THEN|ELSE|LOOP)\b|\$\w*\$)\s*+(SET\s++(?!LOCAL\b|TRANSACTION\b|CONSTRAINTS\b)[\w.]++)",
    re.IGNORECASE,
)
_PLAIN: Final = re.compile(
    r"\s*(?:VACUUM|REINDEX|CLUSTER|SET\s+TRANSACTION|ALTER\s+SYSTEM|(?:CREATE|DROP)\s+(?:DATABASE|TABLESPACE)"
    r"|(?:CREATE|DROP)\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY)\b",
    re.IGNORECASE,
)
_DO: Final = re.compile(r"\s*DO\b", re.IGNORECASE)
