"""PostgreSQL, by psycopg."""

from __future__ import annotations

import logging
import re
import weakref
from typing import TYPE_CHECKING, Any, Final

from django.db.models.signals import post_migrate

from daf_orm.databases.base import Database
from daf_orm.databases.statements import COMMON_FUNCTIONS, Effect, Grammar

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("daf_orm")

RESET: Final = (
    "SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; "  # first: the role may not be allowed to do the rest
    "SELECT pg_catalog.pg_advisory_unlock_all(); UNLISTEN *; CLOSE ALL; DISCARD TEMP; DISCARD SEQUENCES; RESET ALL"
)
"""What DISCARD ALL does, but for prepared statements, which are psycopg's own, in one round trip."""
HARMLESS: Final = COMMON_FUNCTIONS | frozenset(
    """
    age akeys array_agg array_append array_cat array_length array_lower array_position array_positions array_prepend
    array_remove array_replace array_to_json array_to_string array_upper asin avals bit_and bit_length bit_or
    bit_xor bool_and bool_or btrim chr clock_timestamp covar_pop covar_samp current_setting date_bin date_part
    date_trunc daterange decode encode every gen_random_uuid generate_series hstore initcap int4range int8range
    isempty isfinite json_agg json_array json_array_length json_build_object json_object jsonb_agg
    jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_object jsonb_each jsonb_each_text
    jsonb_extract_path jsonb_object_agg jsonb_object_keys jsonb_path_exists jsonb_path_query jsonb_path_query_array
    jsonb_path_query_first jsonb_pretty jsonb_set jsonb_strip_nulls jsonb_typeof justify_days justify_hours
    justify_interval lower_inc lower_inf make_date make_interval make_time make_timestamp make_timestamptz mode
    num_nonnulls num_nulls numrange overlay percentile_cont percentile_disc pg_advisory_xact_lock pg_backend_pid
    pg_column_size pg_get_serial_sequence pg_relation_size pg_size_pretty pg_sleep pg_total_relation_size
    pg_try_advisory_xact_lock pg_typeof phraseto_tsquery plainto_tsquery random range_merge regexp_match
    regexp_matches regexp_replace regexp_split_to_array regr_avgx regr_avgy regr_count regr_intercept regr_r2
    regr_slope regr_sxx regr_sxy regr_syy row_to_json scale setweight sha224 sha256 sha384 sha512 similarity
    split_part starts_with statement_timestamp strict_word_similarity string_agg strpos to_char to_date to_json
    to_jsonb to_number to_regclass to_timestamp to_tsquery to_tsvector transaction_timestamp translate trunc
    ts_headline ts_rank ts_rank_cd tsrange tstzrange txid_current unaccent unnest upper_inc upper_inf uuidv4 uuidv7
    websearch_to_tsquery width_bucket word_similarity
    """.split()
)
"""Functions that set nothing, hold nothing beyond their transaction, and call no code of the user's."""
RESETTABLE: Final = frozenset(
    """
    set_config nextval currval lastval setval pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock
    pg_advisory_unlock_all pg_advisory_unlock_shared pg_try_advisory_lock pg_try_advisory_lock_shared pg_notify
    """.split()
)
STATEMENTS: Final = frozenset(
    """
    SET RESET SHOW DISCARD LISTEN UNLISTEN NOTIFY DECLARE FETCH MOVE CLOSE LOCK CREATE ALTER DROP TRUNCATE COMMENT
    GRANT REVOKE REINDEX ANALYZE VACUUM REFRESH CLUSTER COPY MERGE
    """.split()
)
_CODE: Final = """
    SELECT c.relname, '' FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT c.relname, concat(pg_get_expr(p.polqual, p.polrelid), ' ', pg_get_expr(p.polwithcheck, p.polrelid))
    FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
    UNION ALL
    SELECT c.relname, CASE r.rulename WHEN '_RETURN' THEN pg_get_viewdef(c.oid) ELSE '' END
    FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
"""
"""Tables with triggers, policies or rules, and views: each with the SQL that it runs, "" where that is not known."""
_DDL: Final = re.compile(r"\b(?:CREATE|ALTER|DROP)\b", re.IGNORECASE)
_TRANSACTION: Final = re.compile(r"\s*(?:SAVEPOINT|RELEASE|ROLLBACK|BEGIN|COMMIT|START)\b", re.IGNORECASE)


class PostgreSQL(Database):
    """PostgreSQL. A session is reset in one round trip."""

    grammar = Grammar(resettable=STATEMENTS, harmless_functions=HARMLESS, resettable_functions=RESETTABLE)
    driver_options = (
        *("isolation_level", "read_only", "deferrable", "row_factory", "cursor_factory", "server_cursor_factory"),
        "prepare_threshold",
    )

    def __init__(self) -> None:
        super().__init__()
        self._tables: dict[str, frozenset[str]] = {}
        """Tables by database whose triggers, policies or rules may leave something on a session."""
        self._changing: weakref.WeakSet[BaseDatabaseWrapper] = weakref.WeakSet()
        """Connections that may have changed tables, in a transaction that others do not see yet."""
        post_migrate.connect(self._forget_tables, dispatch_uid="daf_orm.databases.postgresql")

    def learn(self, wrapper: BaseDatabaseWrapper) -> None:
        """Ask the catalogue which tables run code, once per database, and again after tables have changed."""
        name, connection = str(wrapper.settings_dict["NAME"]), wrapper.connection
        if name in self._tables or not hasattr(connection, "pgconn") or not connection.autocommit:
            return
        try:
            rows = connection.execute(_CODE).fetchall()
        except Exception:  # a statement time-out, say: until it is known, every statement counts as one that sets
            logger.debug("The catalogue of %r could not be read.", wrapper.alias, exc_info=True)
        else:
            self._tables[name] = frozenset(table for table, code in rows if not code or self._leaves(code))

    def effect_of(self, wrapper: BaseDatabaseWrapper, sql: Any) -> Effect:
        """Return what a statement may leave, also by triggers, policies and rules of the tables that it names."""
        effect = super().effect_of(wrapper, sql)
        if effect is Effect.NONE:
            tables = self._tables.get(str(wrapper.settings_dict["NAME"]))
            is_clean = tables is not None and not any(table in sql for table in tables)
            return Effect.NONE if is_clean or _TRANSACTION.match(sql) else Effect.RESETTABLE
        if effect is Effect.UNKNOWN or _DDL.search(sql):
            self._tables.clear()
            self._changing.add(wrapper)
        return effect

    def end_lease(self, wrapper: BaseDatabaseWrapper) -> None:
        """Ask the catalogue again, now that what has been changed is committed."""
        if wrapper in self._changing:
            self._changing.discard(wrapper)
            self._tables.clear()

    def reset(self, wrapper: BaseDatabaseWrapper) -> bool:
        """Release locks, channels, cursors and temporary tables; reset role and settings."""
        connection = wrapper.connection
        if not hasattr(connection, "pgconn"):  # psycopg2
            return False
        connection.execute(RESET)
        wrapper.init_connection_state()  # the time zone and the role of the settings
        return True

    def _leaves(self, code: str) -> bool:
        return self.grammar.effect_of(f"SELECT {code.removesuffix(';')}") is not Effect.NONE

    def _forget_tables(self, **_: object) -> None:
        self._tables.clear()
