"""The private names of psycopg's that the backend depends on, each with what for.

``tests/scenarios/test_private_names.py`` fails where the installed version lacks one, or where the code uses another.
"""

from collections.abc import Mapping
from typing import Final

PRIVATE_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "psycopg._connection_base:BaseConnection": {
        "_autocommit": "whether a transaction has to be begun",
        "_cancel_gen": "a request to cancel, as a generator",
        "_commit_gen": "COMMIT; a savepoint that nothing has followed is forgotten",
        "_connect_gen": "connecting, as a generator",
        "_exec_command": "sends a command by itself",
        "_get_tx_start_command": "BEGIN with the isolation level",
        "_num_transactions": "whether the user is in psycopg's own transaction block",
        "_pipeline": "whether the user is in pipeline mode",
        "_rollback_gen": "ROLLBACK, likewise",
        "_should_cancel": "whether there is anything to cancel",
        "_start_query": "begins a transaction before a statement",
        "_tpc": "whether the user is in a two-phase transaction",
    },
    "psycopg._cursor_base:BaseCursor": {
        "_check_results": "raises the error of a result",
        "_execute_gen": "executes a statement, as a generator",
        "_execute_send": "sends a statement",
        "_get_prepared": "whether it will be prepared",
        "_maybe_prepare_gen": "sends a statement and takes its results",
        "_reset": "forgets the results of the statement before",
        "_set_results": "keeps the results of a statement",
    },
}
NEWER_NAMES: Final[Mapping[str, str]] = {
    "_WaitTimeout": "a wait has lasted too long; releases without it pass no time-out",
}
"""What later releases have, and the code does without where it is missing."""
