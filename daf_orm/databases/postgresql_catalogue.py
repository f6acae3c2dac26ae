"""The code that a PostgreSQL database runs behind plain statements, such as triggers, views and checks.

The catalogue is read once per database and process, and again after tables have changed. It has the expressions as
trees of nodes, which name each function by its number. So no expression is turned back into SQL, and only those with a
function call are searched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from daf_orm.databases.postgresql_statements import HARMLESS
from daf_orm.databases.statements import called_functions, without_literals

_ROOTS: Final = r"""
    WITH compiled AS (SELECT oid FROM pg_language WHERE lanname IN ('internal', 'c')),
    suspect AS MATERIALIZED (
        SELECT p.oid, p.proname, p.prorettype, p.pronargs, p.proargtypes[0] AS argument,
               p.prolang NOT IN (SELECT oid FROM compiled) AS is_written
        FROM pg_proc p
        WHERE CASE WHEN p.prolang IN (SELECT oid FROM compiled)
              THEN p.provolatile = 'v' AND p.proname <> ALL (%(harmless)s)
              ELSE p.oid >= 16384 END
    ),
    own_operator AS MATERIALIZED (
        SELECT o.oprname, o.oprleft, o.oprright, o.oprcode FROM pg_operator o
        WHERE o.oid >= 16384 AND o.oprcode IN (SELECT oid FROM suspect)
    ),
    tree AS (
        SELECT adrelid AS relation, 0::oid AS type, adbin::text AS nodes FROM pg_attrdef
        UNION ALL SELECT polrelid, 0, concat(polqual::text, polwithcheck::text) FROM pg_policy
        UNION ALL SELECT conrelid, contypid, conbin::text FROM pg_constraint WHERE contype = 'c'
        UNION ALL SELECT indrelid, 0, concat(indexprs::text, indpred::text) FROM pg_index
                  WHERE indexprs IS NOT NULL OR indpred IS NOT NULL
        UNION ALL SELECT 0, oid, typdefaultbin::text FROM pg_type WHERE typdefaultbin IS NOT NULL
        UNION ALL SELECT ev_class, 0, ev_action::text FROM pg_rewrite WHERE oid >= 16384 AND rulename = '_RETURN'
    )
    SELECT DISTINCT 'tree', tree.relation, tree.type, s.oid, s.is_written, s.proname::text
    FROM tree CROSS JOIN LATERAL regexp_matches(tree.nodes, ':(?:op)?funcid (\d+)', 'g') found
    JOIN suspect s ON s.oid = found[1]::oid
    WHERE strpos(tree.nodes, 'FUNCEXPR') > 0 OR EXISTS (SELECT FROM own_operator)
    UNION ALL SELECT DISTINCT 'table', tgrelid, 0, 0, false, '' FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'table', ev_class, 0, 0, false, '' FROM pg_rewrite WHERE oid >= 16384 AND rulename <> '_RETURN'
    UNION ALL SELECT 'cast', castsource, casttarget, s.oid, s.is_written, ''
              FROM pg_cast JOIN suspect s ON s.oid = castfunc WHERE pg_cast.oid >= 16384
    UNION ALL SELECT 'operator', oprleft, oprright, s.oid, s.is_written, oprname::text
              FROM own_operator JOIN suspect s ON s.oid = oprcode
    UNION ALL SELECT 'row', 0, 0, s.oid, true, s.proname::text FROM suspect s JOIN pg_type t ON t.oid = s.argument
              WHERE s.is_written AND s.pronargs = 1 AND t.typtype IN ('c', 'p')
    UNION ALL SELECT 'overload', 0, 0, s.oid, true, s.proname::text FROM suspect s
              WHERE s.is_written AND s.proname = ANY (%(harmless)s)
    UNION ALL SELECT 'event', 0, 0, s.oid, s.is_written, '' FROM pg_event_trigger JOIN suspect s ON s.oid = evtfoid
              WHERE evtenabled <> 'D' AND evtevent <> 'login'
"""
"""Reasons why a statement may run functions: each with its two relations or types, the function, and a name."""
_BODIES: Final = """
    SELECT p.oid, p.prosrc FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE p.oid = ANY (%s) AND l.lanname IN ('sql', 'plpgsql')
"""
_VOLATILE: Final = """
    SELECT DISTINCT proname::text FROM pg_proc WHERE proname = ANY (%s) AND (provolatile = 'v' OR prolang NOT IN
    (SELECT oid FROM pg_language WHERE lanname IN ('internal', 'c', 'sql')) OR (oid >= 16384 AND prolang NOT IN
    (SELECT oid FROM pg_language WHERE lanname IN ('internal', 'c'))))
"""
_TYPES: Final = """
    WITH RECURSIVE part AS (
        SELECT oid AS whole, typelem AS type FROM pg_type WHERE typelem <> 0
        UNION ALL SELECT oid, typbasetype FROM pg_type WHERE typbasetype <> 0
        UNION ALL SELECT rngtypid, rngsubtype FROM pg_range
        UNION ALL SELECT c.reltype, a.atttypid FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                  WHERE a.attnum > 0 AND c.reltype <> 0
    ),
    unclean AS (SELECT unnest(%s::oid[]) AS type UNION SELECT part.whole FROM unclean JOIN part USING (type))
    SELECT t.typname::text, t.typrelid FROM pg_type t JOIN unclean ON unclean.type = t.oid
"""
"""Types that consist of others, and tables with columns of them."""
_DEPENDENTS: Final = """
    SELECT c.relname::text, c.oid, 0 FROM pg_class c WHERE c.oid = ANY (%(roots)s)
    UNION ALL
    SELECT c.relname::text, w.ev_class, d.refobjid FROM pg_depend d JOIN pg_rewrite w ON w.oid = d.objid
    JOIN pg_class c ON c.oid = w.ev_class
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class
    UNION
    SELECT c.relname::text, i.inhparent, i.inhrelid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent
    UNION
    SELECT c.relname::text, p.polrelid, d.refobjid FROM pg_depend d JOIN pg_policy p ON p.oid = d.objid
    JOIN pg_class c ON c.oid = p.polrelid
    WHERE d.classid = 'pg_policy'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> p.polrelid
    UNION
    SELECT c.relname::text, f.confrelid, f.conrelid FROM pg_constraint f JOIN pg_class c ON c.oid = f.confrelid
    WHERE f.contype = 'f' AND (f.confdeltype IN ('c', 'n', 'd') OR f.confupdtype IN ('c', 'n', 'd'))
"""
"""Relations, each with one whose code it runs: the sources of a view or of a policy, partitions, tables that inherit,
and tables that change because of a foreign key."""
_OWN: Final = 16384
"""The first number of what is not PostgreSQL's own."""
_ANYTHING: Final = ""
"""A word of every statement."""
_DEFINES: Final = re.compile(r"\b(?:CREATE|ALTER|DROP|GRANT|REVOKE|COMMENT|REINDEX|REFRESH|SECURITY)\b", re.IGNORECASE)
_CHANGES: Final = re.compile(
    r"\b(?:INSERT|UPDATE|DELETE|MERGE|TRUNCATE|FROM|JOIN|TABLE|PERFORM|EXECUTE|CALL|DO|SET|RESET|DISCARD|LISTEN|UNLISTEN"
    r"|CREATE|ALTER|DROP|LOCK|COPY|OPEN|FETCH|MOVE|LOAD|PREPARE|DEALLOCATE|OPERATOR|CAST)\b"
    r"|::(?!\s*(?:text|varchar|char|int\w*|bigint|smallint|numeric|real|float\w*|double|bool\w*|date|time\w*|interval|uuid"
    r"|jsonb?|bytea|bit|regconfig|regdictionary)\b)",
    re.IGNORECASE,
)
"""Words with which the body of a function may do more than calculate."""
_IGNORED: Final = ("nextval", "lastval")
"""Of a serial column: they are no session state that others see."""


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """The code of one database."""

    words: frozenset[str]
    """The names, in lower case, with which a statement may leave something on its session."""
    has_event_triggers: bool
    """True if changes of tables run code, too."""

    def is_clean(self, sql: str) -> bool:
        """Return True if a statement on tables runs no code that may leave something."""
        return _is_clean(self, sql)

    def runs_on_definition(self, sql: str) -> bool:
        """Return True if a trigger on an event runs code that may leave something because of a definition."""
        return self.has_event_triggers and _DEFINES.search(sql) is not None


@lru_cache(maxsize=4096)
def _is_clean(catalogue: Catalogue, sql: str) -> bool:
    if catalogue.runs_on_definition(sql):
        return False
    if not catalogue.words:
        return True
    text = sql.lower()
    is_understood = 'u&"' not in text and not ("truncate" in text and "cascade" in text)
    return is_understood and not any(word in text for word in catalogue.words)


def read(connection: Any) -> Catalogue:
    """Read a database's catalogue by psycopg's connection. Raises the driver's errors."""
    harmless = sorted({*HARMLESS, *_IGNORED})
    rows = connection.execute(_ROOTS, {"harmless": harmless}).fetchall()
    clean = _clean_functions(connection, {oid for _, _, _, oid, is_written, _ in rows if is_written})
    rows = [row for row in rows if row[3] not in clean]
    words, types, relations = set[str](), set[int](), set[int]()
    for kind, first, second, _, _, name in rows:
        if kind in {"tree", "table"}:
            relations.add(first)
            types.add(second)
        elif kind in {"cast", "operator"}:
            own = {each for each in (first, second) if each >= _OWN}
            types |= own
            words |= set() if own else {name or _ANYTHING}
        elif kind in {"row", "overload"}:
            words.add(name.lower())
    if types - {0}:
        for name, relation in connection.execute(_TYPES, [sorted(types - {0})]).fetchall():
            words.add(name.lower())
            relations.add(relation)
    words |= _dependents(connection, relations - {0})
    return Catalogue(frozenset(words), any(row[0] == "event" for row in rows))


def _dependents(connection: Any, roots: set[int]) -> set[str]:
    """Return the names of relations, and of those that run their code."""
    if not roots:
        return set()
    names, users = dict[int, str](), dict[int, set[int]]()
    for name, oid, of in connection.execute(_DEPENDENTS, {"roots": sorted(roots)}).fetchall():
        names[oid] = name.lower().replace('"', '""')
        users.setdefault(of, set()).add(oid)
    left, seen = list(roots), set(roots)
    while left:
        found = users.get(left.pop(), set()) - seen
        seen |= found
        left += found
    return {names[each] for each in seen if each in names}


def _clean_functions(connection: Any, functions: set[int]) -> set[int]:
    """Return the functions in SQL or PL/pgSQL that only calculate."""
    if not functions:
        return set()
    calls = {oid: calls_of(body) for oid, body in connection.execute(_BODIES, [sorted(functions)]).fetchall()}
    asked = {name for called in calls.values() for name in called or ()} - HARMLESS
    volatile = {name for (name,) in connection.execute(_VOLATILE, [sorted(asked)]).fetchall()} if asked else set()
    return {oid for oid, called in calls.items() if called is not None and not called & volatile}


def calls_of(body: str) -> frozenset[str] | None:
    """Return the functions that a body calls; None if it may do more than calculate."""
    text = without_literals(body, has_backslash_escapes=None) if body else None
    if text is None or '"' in text or _CHANGES.search(text) is not None:
        return None
    return called_functions(text)
