"""Methods of querysets, managers, instances and sessions: which are lazy, which query, and which have async twins."""

from __future__ import annotations

from typing import Final

LAZY: Final = frozenset(
    """filter exclude annotate alias order_by reverse distinct values values_list dates datetimes none all union
    intersection difference select_related prefetch_related extra defer only using select_for_update complex_filter
    fetch_mode""".split()
)
"""Return a queryset and query nothing."""
TERMINALS: Final = frozenset(
    """get first last earliest latest count exists contains aggregate in_bulk explain create get_or_create
    update_or_create bulk_create bulk_update update delete""".split()
)
"""Query at once. Each has a twin with an ``a`` before its name."""
ANSWERED_BY_CACHE: Final = frozenset({"count", "exists", "contains"})
"""Query nothing where the rows are there already. Nor does ``first`` where they are ordered."""
ORDERING: Final = frozenset({"order_by", "reverse", "extra", "dates", "datetimes"})
ONE_ROW: Final = frozenset({"get", "first", "last", "earliest", "latest", "create"})
ROW_AND_FLAG: Final = frozenset({"get_or_create", "update_or_create"})
RELATED: Final = frozenset({"add", "set", "remove", "clear"})
"""Write, of a related manager. Each has a twin."""
RELATED_OVERRIDES: Final = RELATED | {"create", "get_or_create", "update_or_create"}
COUNTS_OF_MANY: Final = frozenset({"count", "exists"})
USER_MANAGER: Final = frozenset({"create_user", "create_superuser", "get_by_natural_key"})

INSTANCE: Final = {"save": "asave", "delete": "adelete", "refresh_from_db": "arefresh_from_db"}
VALIDATION: Final = frozenset({"full_clean", "clean_fields", "validate_unique", "validate_constraints"})
VALIDATION_TWINS: Final = frozenset({"full_clean", "validate_unique", "validate_constraints"})
"""Those that have a twin in an AsyncModel."""
NEIGHBOURS: Final = ("get_next_by_", "get_previous_by_")
PERMISSIONS: Final = frozenset(
    "has_perm has_perms has_module_perms get_all_permissions get_user_permissions get_group_permissions".split()
)
"""Query, of a user. Each has a twin."""

CONTENT_TYPES: Final = frozenset({"get_for_model", "get_for_models", "get_for_id", "get_by_natural_key"})
SITES: Final = frozenset({"get_current"})

SESSION_READS: Final = frozenset(
    """get pop setdefault keys values items has_key update set_expiry get_expiry_age get_expiry_date
    get_expire_at_browser_close set_test_cookie test_cookie_worked delete_test_cookie""".split()
)
SESSION_WRITES: Final = frozenset("save flush cycle_key create load exists delete".split())
SESSION_TWINS: Final = SESSION_READS | SESSION_WRITES - {"load"}

FORM_METHODS: Final = frozenset(
    "is_valid full_clean as_p as_table as_ul as_div render non_field_errors has_error".split()
)
FORM_RENDERING: Final = frozenset("as_p as_table as_ul as_div render".split())
PAGINATOR: Final = frozenset("page get_page get_elided_page_range".split())
PAGINATOR_VALUES: Final = frozenset("count num_pages page_range".split())
GENERIC_VIEW: Final = frozenset({"get_object"})

CONNECTION: Final = frozenset(
    """cursor chunked_cursor ensure_connection connect close commit rollback is_usable set_autocommit get_autocommit
    on_commit savepoint savepoint_commit savepoint_rollback check_constraints schema_editor
    close_if_unusable_or_obsolete""".split()
)
CURSOR: Final = frozenset("execute executemany callproc fetchone fetchmany fetchall copy stream nextset".split())
TRANSACTIONS: Final = frozenset(
    """on_commit set_autocommit get_autocommit commit rollback savepoint savepoint_commit savepoint_rollback
    clean_savepoints""".split()
)
COLD_VALUES: Final = frozenset({"pg_version", "mysql_version", "oracle_version", "mysql_server_info"})
"""Attributes of a connection that are asked of the server."""
