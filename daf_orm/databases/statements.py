"""What a statement may do to the session of its connection.

Nothing is parsed: a statement is recognised, or it is not. One that is not understood counts as one whose effect no
reset undoes, which costs a new connection and harms nothing. Time is linear in the length of the statement.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

COMMON_FUNCTIONS: Final = frozenset(
    """
    abs acos ascii asin atan atan2 avg cardinality cast ceil ceiling char_length character_length coalesce concat
    concat_ws corr cos cot count cume_dist date degrees dense_rank exp extract first_value floor format greatest lag
    last_value lead least left length ln log lower lpad ltrim max md5 min mod now nth_value ntile nullif
    octet_length percent_rank pi position power radians rank repeat replace reverse right round row_number rpad
    rtrim sign sin sqrt stddev_pop stddev_samp substr substring sum tan trim upper var_pop var_samp
    """.split()
)
"""Functions that leave nothing on any database that has them."""


class Effect(IntEnum):
    """What is left of a statement once its transaction has ended, the least first."""

    NONE = 0
    RESETTABLE = 1
    """A setting, a role, a lock, a temporary table: what a reset undoes."""
    UNKNOWN = 2
    """The connection cannot be lent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """The words of a database's SQL by what they do. Words are in upper case, functions in lower case."""

    keeping: frozenset[str] = frozenset(
        """
        SELECT INSERT UPDATE DELETE WITH VALUES TABLE EXPLAIN SAVEPOINT RELEASE ROLLBACK BEGIN COMMIT START
        """.split()
    )
    """First words of statements that leave nothing by themselves."""
    resettable: frozenset[str] = frozenset()
    """First words of statements whose effect a reset undoes, or that is the database's and not the session's."""
    harmless_functions: frozenset[str] | None = COMMON_FUNCTIONS
    """Functions that leave nothing; None: all but those in ``unknown_functions``."""
    resettable_functions: frozenset[str] = frozenset()
    unknown_functions: frozenset[str] = field(default_factory=frozenset)

    def effect_of(self, sql: str) -> Effect:
        """Return what a string of one or more statements may leave."""
        if _COMMENT.search(sql):
            return Effect.UNKNOWN
        return max((self._effect_of_one(part) for part in sql.split(";") if part.strip()), default=Effect.NONE)

    def _effect_of_one(self, sql: str) -> Effect:
        first = _FIRST_WORD.match(sql)
        word = first[1].upper() if first is not None else ""
        if word in self.keeping:
            # SELECT … INTO makes a table, perhaps a temporary one.
            effect = Effect.RESETTABLE if word != "INSERT" and _INTO.search(sql) else Effect.NONE
        elif word in self.resettable:
            effect = Effect.RESETTABLE
        else:
            return Effect.UNKNOWN
        return max([effect, *(self._effect_of_call(sql, call) for call in _CALL.finditer(sql))])

    def _effect_of_call(self, sql: str, call: re.Match[str]) -> Effect:
        name, before = call[1], sql[max(0, call.start() - _LONG) : call.end(1)]
        if name.upper() in _KEYWORDS or _COLUMNS.search(before):
            return Effect.NONE
        function = name.lower().removeprefix("pg_catalog.")
        if function in self.resettable_functions:
            return Effect.RESETTABLE
        if self.harmless_functions is None:
            return Effect.UNKNOWN if function in self.unknown_functions else Effect.NONE
        is_harmless = function in self.harmless_functions or function.startswith("st_")  # PostGIS, and its kin
        return Effect.NONE if is_harmless else Effect.UNKNOWN


_FIRST_WORD: Final = re.compile(r"[\s(]*([A-Za-z]+)")
# Comments, but not the operators #> and #- of JSON; and assignments to MySQL's variables.
_COMMENT: Final = re.compile(r"/\*|--|#(?!>|-)|:=")
# What stands before a parenthesis: a word, or the end of a quoted name.
_CALL: Final = re.compile(r"""((?<![\w$.])[A-Za-z_][\w$.]*+|["`\]])\s*+\(""")
# The table of a list of columns: INSERT INTO "book" ("title"), CREATE TABLE book (title text).
_COLUMNS: Final = re.compile(
    r"""\b(?:INTO|TABLE|EXISTS)\s+(?:\w+\.|["`][^"`]*["`]\.)?(?:\w+|["`][^"`]*["`])$""", re.IGNORECASE
)
_INTO: Final = re.compile(r"\bINTO\b", re.IGNORECASE)
_LONG: Final = 200
"""Characters in which a quoted name has to end."""
_KEYWORDS: Final = frozenset(
    """
    ALL AND ANY ARRAY AS BETWEEN BY CASE CHECK CONFLICT DISTINCT ELSE END EXCEPT EXISTS FILTER FROM GROUP HAVING IN
    INTERSECT INTO IS JOIN KEY LATERAL LIKE ILIKE LIMIT MATERIALIZED NOT NULL OFFSET ON OR ORDER OVER PARTITION
    PRIMARY REFERENCES RETURNING ROW SELECT SET SETS SOME THEN TIES TO UNION UNIQUE USING VALUES WHEN WHERE WITH
    WITHIN BIT CHAR CHARACTER DECIMAL DOUBLE FLOAT INTERVAL NUMERIC TIME TIMESTAMP VARBINARY VARBIT VARCHAR VARYING
    """.split()
)
"""Words that stand before a parenthesis and call nothing."""
