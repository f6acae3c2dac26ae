"""The effect of a statement on the session of its connection.

Nothing is parsed: a statement is recognised, or it is not. An unrecognised one counts as one whose effect no reset
undoes, which costs a new connection and is safe. Time is linear in the length of the statement.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

COMMON_FUNCTIONS: Final = frozenset(
    """
    abs acos any_value ascii asin atan atan2 avg cardinality cast ceil ceiling char_length character_length coalesce
    concat concat_ws corr cos cot count cume_dist date degrees dense_rank exp extract first_value floor format greatest
    lag last_value lead least left length ln log lower lpad ltrim max md5 min mod now nth_value ntile nullif
    octet_length percent_rank pi position power radians rank repeat replace reverse right round row_number rpad rtrim
    sign sin sqrt stddev_pop stddev_samp substr substring sum tan trim upper var_pop var_samp
    """.split()
)
"""Functions that leave nothing on any database that has them."""


class Effect(IntEnum):
    """The effect of a statement that remains when its transaction has ended, the least first."""

    NONE = 0
    RESETTABLE = 1
    """A setting, a role, a lock, a temporary table: state that a reset removes."""
    UNKNOWN = 2
    """The connection cannot be lent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """The words of a database's SQL by their effect. Words are in upper case, functions in lower case."""

    keeping: frozenset[str] = frozenset(
        """
        SELECT INSERT UPDATE DELETE WITH VALUES TABLE EXPLAIN SAVEPOINT RELEASE ROLLBACK BEGIN COMMIT START
        """.split()
    )
    """First words of statements that alone leave nothing."""
    lasting: frozenset[str] = frozenset(
        """
        CREATE ALTER DROP TRUNCATE COMMENT GRANT REVOKE REINDEX ANALYZE VACUUM
        """.split()
    )
    """First words of statements whose effect is the database's and not the session's, unless it is temporary."""
    resettable: frozenset[str] = frozenset()
    """First words of statements whose effect a reset undoes."""
    harmless_functions: frozenset[str] | None = COMMON_FUNCTIONS
    """Functions that leave nothing; None: all but those in ``unknown_functions``."""
    harmless_prefix: str = ""
    """A prefix of names of other functions that leave nothing."""
    resettable_functions: frozenset[str] = frozenset()
    has_local_settings: bool = True
    """True if SET LOCAL and SET TRANSACTION are for the present transaction alone. MySQL's are for the session, and for
    the next transaction."""
    unknown_functions: frozenset[str] = field(default_factory=frozenset)
    has_backslash_escapes: bool | None = None
    """True if a backslash escapes a quote in a string; None: that depends on a setting of the server."""
    has_hash_comments: bool = True
    """True if ``#`` begins a comment. On PostgreSQL it is an operator."""

    def effect_of(self, sql: str) -> Effect:
        """Return the effect of a string of one or more statements."""
        bare = without_literals(sql, has_backslash_escapes=self.has_backslash_escapes)
        if bare is not None and "'temp'" in sql.lower():  # SQLite takes strings for names
            return Effect.UNKNOWN
        if bare is None or (_COMMENT if self.has_hash_comments else _PLAIN_COMMENT).search(bare):
            return Effect.UNKNOWN
        return max((self._effect_of_one(part) for part in bare.split(";") if part.strip()), default=Effect.NONE)

    def _effect_of_one(self, sql: str) -> Effect:
        if (explained := _EXPLAIN.match(sql)) is not None:  # with ANALYZE it is executed
            sql = sql[explained.end() :]
        if (copied := _COPY.match(sql)) is not None:
            where = _WHERE.search(sql, copied.end())
            sql = copied["query"] or f"SELECT FROM {copied['table']} {'' if where is None else sql[where.start() :]}"
        first = _FIRST_WORD.match(sql)
        word = first[1].upper() if first is not None else ""
        if word in self.keeping:
            # SELECT … INTO makes a table, perhaps a temporary one.
            effect = Effect.RESETTABLE if word not in _WRITES and _INTO.search(sql) else Effect.NONE
        elif word in self.lasting:
            if _TEMPORARY.search(sql):
                effect = Effect.RESETTABLE
            elif _DEFINITION.match(sql):
                return Effect.NONE
            else:
                effect = Effect.NONE
        elif word in self.resettable:
            if self.has_local_settings and _LOCAL.match(sql):
                return Effect.NONE
            effect = Effect.RESETTABLE
        else:
            return Effect.UNKNOWN
        return max([effect, *(self._effect_of_call(sql, call) for call in _CALL.finditer(sql))])

    def _effect_of_call(self, sql: str, call: re.Match[str]) -> Effect:
        name, before = call[1], sql[max(0, call.start() - _LONG) : call.end(1)]
        if name.startswith("."):  # of a schema in quotes
            return Effect.NONE if _COLUMNS.search(before) else Effect.UNKNOWN
        if name.upper() in _KEYWORDS or _COLUMNS.search(before):
            return Effect.NONE
        function = name.lower().removeprefix("pg_catalog.")
        if function in self.resettable_functions:
            is_local = function == "set_config" and _LOCAL_ARGUMENTS.match(sql, call.end())
            return Effect.NONE if is_local else Effect.RESETTABLE
        if self.harmless_functions is None:
            return Effect.UNKNOWN if function in self.unknown_functions else Effect.NONE
        if self.harmless_prefix and function.startswith(self.harmless_prefix):
            return Effect.NONE
        return Effect.NONE if function in self.harmless_functions else Effect.UNKNOWN


def called_functions(sql: str) -> frozenset[str]:
    """Return the names, in lower case and without schemas, of the functions that a text without quotes calls."""
    names = (call[1].lower().rpartition(".")[2].strip() for call in _CALL.finditer(sql))
    return frozenset(name for name in names if name.upper() not in _KEYWORDS)


def without_literals(sql: str, *, has_backslash_escapes: bool | None = None) -> str | None:
    """Return the statement with its strings emptied and without comments; None if the end of one cannot be found.

    A body in dollar quotes is a string, except in a ``DO``, which runs at once. ``has_backslash_escapes`` is True if a
    backslash escapes a quote; None: unknown, so that a statement for which it matters gives None.
    """
    if _DO.match(sql) and ("'" in sql or "$" in sql):
        return None
    if has_backslash_escapes is not False and "\\" in sql and _ESCAPED_QUOTE.search(sql):
        return None
    parts: list[str] = []
    end = 0
    while (found := _QUOTE.search(sql, end)) is not None:
        parts.append(sql[end : found.start()])
        mark = found[0]
        closing = sql.find(_CLOSING.get(mark, mark), found.end())
        if closing < 0 and mark != "--":
            return None
        end = closing + len(_CLOSING.get(mark, mark)) if closing >= 0 else len(sql)
        inside = sql[found.start() : end]
        if mark in _CLOSING:
            if not _IS_COMMENT.match(inside) or "/*" in inside[2:]:
                return None
            parts.append(" ")
        else:
            parts.append(inside if mark in _NAMES else "''")
    return "".join(parts) + sql[end:]


_ESCAPED_QUOTE: Final = re.compile(r"""(?<!\\)(?:\\\\)*\\['"`]""")
_QUOTE: Final = re.compile(r"""['"`]|(?<![\w$])\$\w*\$|--|/\*""")
_CLOSING: Final = {"--": "\n", "/*": "*/"}
# MySQL executes /*! … */, MariaDB /*M! … */ too, and both take two dashes for a comment only before a space.
_IS_COMMENT: Final = re.compile(r"--(?:\s|$)|/\*(?!M?!)")
_NAMES: Final = ('"', "`")
_DO: Final = re.compile(r"\s*DO\b", re.IGNORECASE)
_TEMPORARY: Final = re.compile(r"\bTEMP(?:ORARY)?\b|\bpg_temp", re.IGNORECASE)
_EXPLAIN: Final = re.compile(
    r"\s*EXPLAIN\b(?:\s*\((?!\s*(?:SELECT|TABLE|VALUES|WITH)\b)[^()]*\)|\s+(?:ANALYZE|VERBOSE|QUERY|PLAN)\b"
    r"|\s+FORMAT\s*=\s*\w+)*",
    re.IGNORECASE,
)
_COPY: Final = re.compile(
    r"""\s*COPY\s++(?:(?P<table>[\w."]++)\s*+(?:\([^()]*+\)\s*+)?(?:FROM|TO)\b|\((?P<query>.*)\)\s*+TO\b)""",
    re.IGNORECASE | re.DOTALL,
)
_WHERE: Final = re.compile(r"\bWHERE\b", re.IGNORECASE)
_LOCAL: Final = re.compile(r"\s*SET\s+(?:LOCAL|TRANSACTION|CONSTRAINTS)\b", re.IGNORECASE)
_LOCAL_ARGUMENTS: Final = re.compile(r"[^(),;]*,[^(),;]*,\s*true\s*\)", re.IGNORECASE)
"""Of ``set_config()``: for the transaction alone."""
_DEFINITION: Final = re.compile(
    r"\s*(?:DROP|GRANT|REVOKE|COMMENT|(?:CREATE|ALTER)\s+(?:OR\s+REPLACE\s+)?(?:CONSTRAINT\s+|EVENT\s+|RECURSIVE\s+)?"
    r"(?:AGGREGATE|CAST|DOMAIN|FUNCTION|OPERATOR|POLICY|PROCEDURE|RULE|TRIGGER|TYPE|VIEW))\b",
    re.IGNORECASE,
)
"""Statements that name functions and call none."""
_FIRST_WORD: Final = re.compile(r"[\s(]*([A-Za-z]+)")
# Comments, but not the operators #> and #- of JSON; and assignments to MySQL's variables.
_COMMENT: Final = re.compile(r"/\*|--|#(?!>|-)|:=")
_PLAIN_COMMENT: Final = re.compile(r"/\*|--|:=")
# A word before a parenthesis, or the end of a quoted name.
_CALL: Final = re.compile(r"""((?<![\w$.])[^\W\d][\w$.]*+|\.\s*+[\w$]++|["`\]])\s*+\(""")
# The table of a list of columns: INSERT INTO "book" ("title"), CREATE TABLE book (title text).
_COLUMNS: Final = re.compile(
    r"""\b(?:INTO|TABLE|EXISTS)\s+(?:\w+\.|["`][^"`]*["`]\.)?(?:\w+|["`][^"`]*["`])$""", re.IGNORECASE
)
_WRITES: Final = ("INSERT", "REPLACE")
_INTO: Final = re.compile(r"\bINTO\b", re.IGNORECASE)
_LONG: Final = 200
"""Characters within which a quoted name has to end."""
_KEYWORDS: Final = frozenset(
    """
    ALL AND ANY ARRAY AS BETWEEN BY CASE CHECK CONFLICT DISTINCT ELSE END EXCEPT EXISTS FILTER FROM GROUP HAVING IN
    INTERSECT INTO IS JOIN KEY LATERAL LIKE ILIKE LIMIT MATERIALIZED NOT NULL OFFSET ON OR ORDER OVER PARTITION
    PRIMARY REFERENCES RETURNING ROW SELECT SET SETS SOME THEN TIES TO UNION UNIQUE USING VALUES WHEN WHERE WITH
    WITHIN BIT CHAR CHARACTER DECIMAL DOUBLE FLOAT INTERVAL NUMERIC TIME TIMESTAMP VARBINARY VARBIT VARCHAR VARYING
    """.split()
)
"""Words that stand before a parenthesis and call nothing."""
