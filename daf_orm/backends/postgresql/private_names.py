"""The private names of psycopg that the backend depends on, each with its use.

``tests/scenarios/test_private_names.py`` fails where the installed version lacks one, or where the code uses another.
"""

from collections.abc import Mapping
from typing import Final

PRIVATE_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "psycopg._connection_base:BaseConnection": {
        "_autocommit": "False if a transaction has to be begun",
        "_cancel_gen": "a request to cancel, as a generator",
        "_commit_gen": "COMMIT; a savepoint that nothing has followed is forgotten",
        "_connect_gen": "connecting, as a generator",
        "_exec_command": "sends one command",
        "_get_tx_start_command": "BEGIN with the isolation level",
        "_num_transactions": "the depth of the user's psycopg transaction blocks",
        "_pipeline": "set in the user's pipeline mode",
        "_rollback_gen": "ROLLBACK, likewise",
        "_should_cancel": "True if there is a statement to cancel",
        "_start_query": "begins a transaction before a statement",
        "_tpc": "set in a two-phase transaction of the user",
    },
    "psycopg._cursor_base:BaseCursor": {
        "_check_results": "raises the error of a result",
        "_execute_gen": "executes a statement, as a generator",
        "_execute_send": "sends a statement",
        "_get_prepared": "decides if it will be prepared",
        "_maybe_prepare_gen": "sends a statement and takes its results",
        "_reset": "forgets the results of the statement before",
        "_set_results": "keeps the results of a statement",
    },
}
NEWER_NAMES: Final[Mapping[str, str]] = {
    "_WaitTimeout": "a wait has lasted too long; releases without it pass no time-out",
}
"""Names of later releases. The code works without them."""
