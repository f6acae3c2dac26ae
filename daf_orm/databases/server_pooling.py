"""What may be sent to PostgreSQL through a proxy that gives each transaction another session of the server's.

A statement that sets something for its session alone is a mistake there: the next transaction does not find it, and
another client's does. So are transactions begun or ended among other statements: what comes after them would run
without the settings that ``CONFIGURE`` wants.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from daf_orm.databases.statements import without_literals


class Kind(Enum):
    """How a statement is sent where each transaction has to be configured."""

    ORDINARY = 1
    """In a transaction that has been configured."""
    CONTROL = 2
    """As it is: it begins or ends a transaction."""
    PLAIN = 3
    """As it is: it cannot run in a transaction, or has to be the first in one."""


class Verdict(NamedTuple):
    """What is known of a statement."""

    kind: Kind
    problem: str = ""
    """Why it is refused, as the beginning of a sentence about an alias; "" if it is not."""


@lru_cache(maxsize=4096)
def judge(sql: str) -> Verdict:
    """Return what is known of a string of one or more statements. Takes time linear in its length."""
    text = without_literals(sql)
    if text is None:
        return _judge_raw(sql)
    if words := _session_words(text):
        return Verdict(Kind.ORDINARY, _SETS.format(words=words))
    parts = [part for part in text.split(";") if part.strip()]
    control = next((found for part in parts if (found := _CONTROL.match(part)) is not None), None)
    if control is not None:
        if len(parts) > 1:
            return Verdict(Kind.CONTROL, _AMONG_OTHERS.format(words=control[1].upper()))
        return Verdict(Kind.CONTROL)
    return Verdict(Kind.PLAIN if len(parts) == 1 and _PLAIN.match(text) else Kind.ORDINARY)


def _judge_raw(sql: str) -> Verdict:
    """Judge what is not understood: a DO, or a string with a backslash. Words in a string count, too."""
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
    """Return the third argument of a call whose arguments begin there; "" if it has not three."""
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
_AMONG_OTHERS: Final = "{words} stands among other statements for {{alias!r}}"
_OF_SESSION: Final = re.compile(
    r"""(?:\A|;)[\s(]*+(
        SET\s++(?!LOCAL\b|TRANSACTION\b|CONSTRAINTS\b)(?:SESSION\s++)?+[\w.]*+ | RESET\b | DISCARD\b | LISTEN\b
        | UNLISTEN\b | LOAD\b | PREPARE\s++(?!TRANSACTION\b)\w*+ | DECLARE\b(?=[^;]*\bWITH\s+HOLD\b)
    ) | \b(CREATE\s++(?:OR\s++REPLACE\s++)?+(?:GLOBAL\s++|LOCAL\s++)?+TEMP(?:ORARY)?+)\b(?![^;]*\bON\s+COMMIT\s+DROP\b)
      | \b(INTO\s++(?:GLOBAL\s++|LOCAL\s++)?+TEMP(?:ORARY)?+)\b | \b(pg_temp)\s*+\.
      | \b(pg_(?:try_)?advisory_lock(?:_shared)?|setseed)"?\s*+\(""",
    re.IGNORECASE | re.VERBOSE,
)
"""What only a session can keep, where it is asked for in plain words."""
_SET_CONFIG: Final = re.compile(r"""\b(set_config)"?\s*+\(""", re.IGNORECASE)
_IS_LOCAL: Final = re.compile(r"(?:is_local\s*(?:=>|:=)\s*)?true(?:\s*::\s*bool(?:ean)?)?", re.IGNORECASE)
_LOCAL_ARGUMENT: Final = 3
_MARKS: Final = re.compile(r"%\(\w+\)s|[(),]")
_LONG: Final = 2000
"""Characters in which the arguments of a call have to end."""
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
