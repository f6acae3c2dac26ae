"""The private names of Django and asgiref that ``daf_orm`` depends on, each with its use.

``tests/scenarios/test_private_names.py`` fails where an installed version lacks one, or where the code uses another.
"""

from collections.abc import Mapping
from typing import Final

PRIVATE_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "asgiref.current_thread_executor:CurrentThreadExecutor": {
        "_broken": "True if a synchronous parent has returned",
        "_old_executor": "the outer parent",
        "_work_thread": "the parent's thread",
    },
    "asgiref.sync:AsyncToSync": {
        "executors": "the synchronous parent that waits for the running code",
        "loop_thread_executors": "the same, by event loop",
    },
    "asgiref.sync:SyncToAsync": {
        "__call__": "wrapped by count_hops(); a tool that has wrapped it gets asgiref's hops",
        "threadlocal": "lets async_to_sync in a thread find the event loop, and names the tasks to cancel",
        "thread_handler": "runs the code in the worker thread; wrapped to know where a hop begins and ends",
    },
    "django.db.backends.base.base:BaseDatabaseWrapper": {
        "_thread_ident": "the thread of an in-memory connection",
    },
    "django.db.models.manager:BaseManager": {
        "_built_with_as_manager": "how migrations name the queryset class of a manager",
        "_queryset_class": "the class of a manager's querysets, for daf check --django",
    },
    "django.db.models.base:Model": {
        "_do_update": "writes a row that save() finds; wrapped while plans are kept",
    },
    "django.db.models.query:QuerySet": {
        "_chain": "a step of an UPDATE of one row; a replaced one makes all of them Django's",
        "_clone": "the same",
        "_fetch_all": "fetches rows and prefetches in one hop",
        "_fields": "set if values() was called",
        "_filter_or_exclude": "the same as _chain",
        "_filter_or_exclude_inplace": "the same",
        "_prefetch_done": "True if nothing is left to prefetch",
        "_prefetch_related_lookups": "the same",
        "_result_cache": "the same",
        "_update": "the same as _chain",
    },
    "django.db.models.sql.compiler:SQLCompiler": {
        "annotation_col_map": "of a plan: read when a queryset is iterated",
        "col_count": "the same",
        "get_select": "makes it; one that is replaced ends a plan",
        "has_extra_select": "the same as annotation_col_map",
        "klass_info": "the same as annotation_col_map",
        "pre_sql_setup": "the parts of a query before they are SQL, noted where a plan is made",
        "select": "the same as annotation_col_map",
    },
    "django.db.models.sql.query:Query": {
        "_add_q": "a step of a filter; a replaced one makes all filters Django's",
        "_filtered_relations": "keep a query from a plan",
        "_get_col": "the same as _add_q",
        "_lookup_joins": "set by a filter",
        "alias_map": "the tables of a query, part of its structure",
        "alias_refcount": "the same",
        "table_map": "the same",
        "where": "the conditions of a query",
    },
    "django.db.models.sql.subqueries:UpdateQuery": {
        "_setup_query": "a step of an UPDATE of one row; a replaced one makes all of them Django's",
    },
    "django.test.testcases:TestCase": {
        "_enter_atomics": "where a test's transaction begins",
        "_rollback_atomics": "where it ends",
    },
    "django.utils.connection:BaseConnectionHandler": {
        "_connections": "the thread-local storage of django.db.connections, wrapped",
    },
}
NEWER_NAMES: Final[Mapping[str, str]] = {
    "_rehome": "gives the values of a Local to another thread; releases without it do not bind them to one",
}
"""Names of later releases of asgiref. The code works without them."""
