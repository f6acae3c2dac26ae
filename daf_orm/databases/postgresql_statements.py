"""PostgreSQL's statements and functions: their effect on a session, and those that use tables."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from daf_orm.databases.statements import COMMON_FUNCTIONS, Grammar

HARMLESS: Final = COMMON_FUNCTIONS | frozenset(
    """
    age akeys array_agg array_append array_cat array_length array_lower array_position array_positions array_prepend
    array_remove array_replace array_to_json array_to_string array_upper asin avals bit_and bit_length bit_or bit_xor
    bool_and bool_or btrim chr clock_timestamp col_description covar_pop covar_samp current_schema current_setting
    date_bin date_part date_trunc daterange decode encode every format_type gen_random_uuid generate_series hstore
    initcap int4range int8range isempty isfinite json_agg json_array json_array_length json_build_object json_object
    jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_object jsonb_each
    jsonb_each_text jsonb_extract_path jsonb_object_agg jsonb_object_keys jsonb_path_exists jsonb_path_query
    jsonb_path_query_array jsonb_path_query_first jsonb_pretty jsonb_set jsonb_strip_nulls jsonb_typeof justify_days
    justify_hours justify_interval lower_inc lower_inf make_date make_interval make_time make_timestamp make_timestamptz
    mode num_nonnulls num_nulls numrange obj_description overlay percentile_cont percentile_disc pg_advisory_xact_lock
    pg_backend_pid pg_column_size pg_get_constraintdef pg_get_expr pg_get_functiondef pg_get_indexdef pg_get_partkeydef
    pg_get_serial_sequence pg_get_triggerdef pg_get_viewdef pg_notify pg_relation_size pg_size_pretty pg_sleep
    pg_table_is_visible pg_total_relation_size pg_try_advisory_xact_lock pg_type_is_visible pg_typeof phraseto_tsquery
    plainto_tsquery random range_merge regexp_match regexp_matches regexp_replace regexp_split_to_array regr_avgx
    regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy row_to_json scale setweight sha224
    sha256 sha384 sha512 shobj_description similarity split_part starts_with statement_timestamp strict_word_similarity
    string_agg strpos to_char to_date to_json to_jsonb to_number to_regclass to_regnamespace to_regtype to_timestamp
    to_tsquery to_tsvector transaction_timestamp translate trunc ts_headline ts_rank ts_rank_cd tsrange tstzrange
    txid_current unaccent unnest upper_inc upper_inf uuid_generate_v1mc uuid_generate_v4 uuidv4 uuidv7 version
    websearch_to_tsquery width_bucket word_similarity
    """.split()
)
"""Functions that set nothing, hold nothing beyond their transaction, and call no user code."""
RESETTABLE: Final = frozenset(
    """
    set_config nextval currval lastval setval pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock
    pg_advisory_unlock_all pg_advisory_unlock_shared pg_try_advisory_lock pg_try_advisory_lock_shared
    """.split()
)
KEEPING: Final = Grammar().keeping | {"SHOW", "NOTIFY", "LOCK", "COPY", "MERGE"}
STATEMENTS: Final = frozenset(
    """
    SET RESET DISCARD LISTEN UNLISTEN DECLARE FETCH MOVE CLOSE REFRESH CLUSTER
    """.split()
)
PLANNED: Final = re.compile(
    r"[\s(]*+(?:SELECT|INSERT|UPDATE|DELETE|WITH|VALUES|TABLE|MERGE)\b[^;]*+;?\s*+", re.IGNORECASE
)
"""One statement that is planned before any of it is executed."""
DDL: Final = re.compile(r"\b(?:CREATE|ALTER|DROP)\b", re.IGNORECASE)
OF_CATALOGUE: Final = re.compile(
    r"\s*(?:SAVEPOINT|RELEASE|ROLLBACK|BEGIN|COMMIT|START|CREATE|ALTER|DROP|COMMENT|GRANT|REVOKE|SHOW)\b"
    r"(?:(?!;\s*\S|\bSELECT\b).)*",
    re.IGNORECASE | re.DOTALL,
)
"""Statements that read from no table and write to none."""


@lru_cache(maxsize=4096)
def may_change_tables(sql: str) -> bool:
    """Return True if a statement may make, alter or drop something."""
    return DDL.search(sql) is not None


@lru_cache(maxsize=4096)
def may_use_tables(sql: str) -> bool:
    """Return True if a statement may read from tables or write to them."""
    return OF_CATALOGUE.fullmatch(sql) is None
