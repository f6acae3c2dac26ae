"""MySQL and MariaDB, by mysqlclient; PyMySQL as far as Django supports it.

mysqlclient lets no second thread touch a connection that is executing, and does not tell if a transaction is open. So
the facts that a second thread needs are recorded when the connection is opened, and the server is asked for the
transaction after statements that may have begun one.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import socket
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

from django.db.models.signals import post_migrate

from daf_orm.databases.base import CANCEL_TIMEOUT, Database
from daf_orm.databases.statements import COMMON_FUNCTIONS, Effect, Grammar

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("daf_orm")

HARMLESS: Final = COMMON_FUNCTIONS | frozenset(
    """
    adddate addtime aes_decrypt aes_encrypt against benchmark bigint bin bin_to_uuid binary bit_and bit_count bit_or
    bit_xor blob char charset coercibility collation column_get compress connection_id conv convert convert_tz crc32
    curdate current_date current_role current_time current_timestamp current_user curtime database date_add
    date_format date_sub datediff datetime day dayname dayofmonth dayofweek dayofyear dec decode default div double
    elt encode enum export_set extractvalue field find_in_set fixed format_bytes found_rows from_base64 from_days
    from_unixtime geomcollection geometrycollection geometryn get_format group_concat grouping hex hour if ifnull
    index inet6_aton inet6_ntoa inet_aton inet_ntoa insert instr int interval is_free_lock is_ipv4 is_ipv6
    is_used_lock is_uuid isnull json_array json_array_append json_array_insert json_arrayagg json_compact
    json_contains json_contains_path json_depth json_detailed json_equals json_exists json_extract json_insert
    json_keys json_length json_loose json_merge json_merge_patch json_merge_preserve json_normalize json_object
    json_objectagg json_overlaps json_pretty json_query json_quote json_remove json_replace json_schema_valid
    json_search json_set json_storage_size json_table json_type json_unquote json_valid json_value last_day lcase
    linestring load_file localtime localtimestamp locate log10 log2 make_set makedate maketime master_gtid_wait
    master_pos_wait match mbrcontains mbrcoveredby mbrcovers mbrdisjoint mbrequals mbrintersects mbroverlaps
    mbrtouches mbrwithin mediumint microsecond mid minute month monthname multilinestring multipoint multipolygon
    natural_sort_key nchar numpoints nvarchar oct of ord percentile_cont percentile_disc period_add period_diff point
    polygon pow quarter quote rand random_bytes regexp regexp_instr regexp_like regexp_replace regexp_substr rlike
    row_count schema sec_to_time second session_user sha sha1 sha2 sleep smallint soundex space st_area st_asbinary
    st_asgeojson st_astext st_aswkb st_aswkt st_buffer st_centroid st_collect st_contains st_crosses st_difference
    st_dimension st_disjoint st_distance st_distance_sphere st_endpoint st_envelope st_equals st_exteriorring
    st_geohash st_geometryn st_geometrytype st_geomfromgeojson st_geomfromtext st_geomfromwkb st_interiorringn
    st_intersection st_intersects st_isclosed st_isempty st_issimple st_isvalid st_latitude st_length st_longitude
    st_numgeometries st_numinteriorrings st_numpoints st_overlaps st_pointfromtext st_pointn st_polygonfromtext
    st_simplify st_srid st_startpoint st_symdifference st_touches st_transform st_union st_validate st_within st_x
    st_y std stddev str_to_date strcmp subdate substring_index subtime sysdate system_user text time_format
    time_to_sec timediff timestamp timestampadd timestampdiff tinyint to_base64 to_char to_days to_seconds ucase
    uncompress uncompressed_length unhex unix_timestamp updatexml user utc_date utc_time utc_timestamp uuid uuid_short
    uuid_to_bin validate_password_strength value values variance version week weekday weekofyear weight_string xor
    year yearweek truncate
    """.split()
)
"""Functions that set nothing, hold nothing beyond their transaction, and call no user code; and words before a
parenthesis that call nothing."""
RESETTABLE: Final = frozenset("get_lock release_lock release_all_locks last_insert_id nextval lastval setval".split())
STATEMENTS: Final = frozenset("SET USE LOCK UNLOCK PREPARE DEALLOCATE HANDLER FLUSH".split())
KEEPING: Final = Grammar().keeping | frozenset("REPLACE SHOW DESCRIBE DESC DO KILL LOAD HELP".split())
LASTING: Final = Grammar().lasting | frozenset("RENAME OPTIMIZE CHECK CHECKSUM REPAIR".split())

_TRIGGERS: Final = """
    SELECT event_object_table, action_statement FROM information_schema.triggers
    WHERE event_object_schema NOT IN ('mysql', 'sys')
"""
_VIEWS: Final = """
    SELECT table_name, view_definition FROM information_schema.views
    WHERE table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')
"""
_DEFAULTS: Final = """
    SELECT table_name, column_default FROM information_schema.columns
    WHERE column_default LIKE '%:=%'
    AND table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')
"""
"""Defaults that assign to a variable. MariaDB takes no function there that may set something."""
_DDL: Final = re.compile(r"\b(?:CREATE|ALTER|DROP|RENAME)\b", re.IGNORECASE)
_BEGINS: Final = re.compile(r"\b(?:START|BEGIN|CHAIN|XA|CALL|EXECUTE)\b", re.IGNORECASE)
"""Words of statements after which a transaction may be open that Django has not begun."""
_RUNS_ANYTHING: Final = re.compile(
    r"\s*(?:BEGIN\s+NOT|SET\s+STATEMENT)\b|.*\bcompletion_type\b", re.IGNORECASE | re.DOTALL
)
"""Compound statements; and the setting by which each COMMIT begins another transaction."""
_OF_NO_TABLE: Final = re.compile(
    r"\s*(?:SAVEPOINT|RELEASE|ROLLBACK|BEGIN|COMMIT|START|CREATE|ALTER|DROP|SHOW)\b(?:(?!;\s*\S|\bSELECT\b).)*",
    re.IGNORECASE | re.DOTALL,
)
"""Statements that read from no table and write to none."""
_ROLLED_BACK: Final = (1213, 1020)
"""ER_LOCK_DEADLOCK; ER_CHECKREAD, of InnoDB's snapshot isolation."""
_IN_TRANSACTION_ALREADY: Final = 1568  # ER_CANT_CHANGE_TX_CHARACTERISTICS
_STATUS_IN_TRANSACTION: Final = 1  # of the protocol, as PyMySQL has it
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}
"""A COMMIT cannot be stopped, so TCP must notice a server that vanishes silently. The drivers have no options for
these."""


class _Opened(NamedTuple):
    """The facts that a second thread needs of a connection: mysqlclient must not be asked while it executes."""

    number: int
    """The server's number for it."""
    descriptor: int
    inode: int
    """Of its socket, to check that it is still the same."""


class MySQL(Database):
    """MySQL and MariaDB. A session is reset by logging in again on its connection."""

    grammar = Grammar(
        keeping=KEEPING,
        lasting=LASTING,
        resettable=STATEMENTS,
        harmless_functions=HARMLESS,
        resettable_functions=RESETTABLE,
        has_local_settings=False,
    )
    driver_options = ("cursorclass", "encoding", "executemany_fallback", "encoders", "decoders", "converter")
    watched_of_connection = (
        *("cursor", "query", "autocommit", "select_db", "change_user", "ping", "kill", "begin", "set_server_option"),
        *("set_character_set", "set_charset", "set_sql_mode", "next_result"),
    )
    lease_options = {"connect_timeout": 10}  # noqa: RUF012 - a Mapping, nowhere changed; seconds

    def __init__(self) -> None:
        super().__init__()
        self._opened: WeakKeyDictionary[Any, _Opened] = WeakKeyDictionary()
        self._unsure: WeakSet[Any] = WeakSet()
        """Drivers' connections that may have an open transaction which their driver does not show."""
        self._tables: dict[str, frozenset[str]] = {}
        """Tables and views, by database, with code that may leave something on a session."""
        self._changing: WeakSet[Any] = WeakSet()
        """Drivers' connections whose owners may have changed such tables and views."""
        post_migrate.connect(self._forget_tables, dispatch_uid="daf_orm.databases.mysql")
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._leave_to_parent)

    # Before it is lent

    def client_connections(self, wrapper: BaseDatabaseWrapper) -> int | None:
        """Ask for ``max_connections``."""
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT @@max_connections")
            row = cursor.fetchone()
        assert row is not None
        return int(row[0])

    def note_opened(self, wrapper: BaseDatabaseWrapper) -> None:
        """Record the connection's number and socket; let TCP notice a server that has vanished."""
        connection: Any = wrapper.connection
        descriptor = int(connection.fileno()) if hasattr(connection, "fileno") else -1  # PyMySQL keeps it to itself
        self._opened[connection] = _Opened(int(connection.thread_id()), descriptor, _inode(descriptor))
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
            if copy.family != getattr(socket, "AF_UNIX", None):
                copy.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for name, value in _KEEPALIVE.items():
                    if (option := getattr(socket, name, None)) is not None:
                        copy.setsockopt(socket.IPPROTO_TCP, option, value)

    def learn(self, wrapper: BaseDatabaseWrapper) -> None:
        """Ask for triggers, views and defaults that may set something. The result is cached."""
        name, connection = _name_of(wrapper), wrapper.connection
        if name in self._tables or connection is None:
            return
        try:
            with connection.cursor() as cursor:
                cursor.execute(_TRIGGERS)
                codes = [(table.lower(), _text(code)) for table, code in cursor.fetchall()]
                cursor.execute(_VIEWS)
                codes += [(table.lower(), _text(code) or "@") for table, code in cursor.fetchall()]
                cursor.execute(_DEFAULTS)
                codes += [(table.lower(), _text(code)) for table, code in cursor.fetchall()]
        except Exception:  # until it succeeds, every statement counts as one that sets something
            logger.debug("The triggers of %r could not be read.", wrapper.alias, exc_info=True)
            return
        unclean = {table for table, code in codes if self._leaves(code)}
        # A view runs the code of its tables, and a trigger that of the tables that it writes to.
        while more := {table for table, code in codes if any(each in code.lower() for each in unclean)} - unclean:
            unclean |= more
        self._tables[name] = frozenset(unclean)

    # While it is lent

    def cursors_of(self, cursor: Any) -> tuple[Any, ...]:
        """Return Django's cursor, and the driver's inside it."""
        return cursor, getattr(cursor, "cursor", cursor)

    def stop(self, wrapper: BaseDatabaseWrapper) -> None:
        """Send KILL QUERY, on a separate connection."""
        opened = self._opened.get(wrapper.connection)
        if opened is None:
            return
        given: dict[str, Any] = wrapper.get_connection_params()
        parameters = {name: value for name, value in given.items() if name not in _OF_THE_SESSION}
        timeouts = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), math.ceil(CANCEL_TIMEOUT))
        connection = wrapper.get_new_connection(parameters | timeouts)
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"KILL QUERY {opened.number}")
        finally:
            connection.close()

    def socket_of(self, connection: Any) -> int:
        """Return the descriptor that was recorded, if it is still the connection's."""
        opened = self._opened.get(connection)
        if opened is None or opened.inode != _inode(opened.descriptor):
            return -1
        return opened.descriptor

    def is_closed(self, wrapper: BaseDatabaseWrapper) -> bool:
        """Return True if code or its driver has closed it; after an error, also if the server has hung up."""
        connection: Any = wrapper.connection
        if not connection.open:
            return True
        opened = self._opened.get(connection)
        if opened is None or opened.descriptor < 0:
            return False
        if opened.inode != _inode(opened.descriptor):
            return True
        return wrapper.errors_occurred and _has_hung_up(opened.descriptor)

    def effect_of(self, wrapper: BaseDatabaseWrapper, sql: Any) -> Effect:
        """Return a statement's effect, also by triggers of the tables that it names, and by views."""
        effect = super().effect_of(wrapper, sql)
        if effect is Effect.UNKNOWN or _RUNS_ANYTHING.match(sql):
            self.lose_track(wrapper)
            return Effect.UNKNOWN
        if _BEGINS.search(sql) or not (wrapper.autocommit or wrapper.in_atomic_block):
            self._unsure.add(wrapper.connection)
        if _DDL.search(sql):
            self._changing.add(wrapper.connection)
        if effect is Effect.NONE and not _OF_NO_TABLE.fullmatch(sql):
            self.learn(wrapper)
            tables, text = self._tables.get(_name_of(wrapper)), sql.lower()
            if tables is None or any(table in text for table in tables):
                return Effect.RESETTABLE
        return effect

    def lose_track(self, wrapper: BaseDatabaseWrapper) -> None:
        """Ask for the transaction and the triggers when the call has ended."""
        self._unsure.add(wrapper.connection)
        self._changing.add(wrapper.connection)

    def aborts_transaction(self, error: BaseException) -> bool:
        """Return True for a deadlock, by which InnoDB has rolled back more than the statement."""
        return error.args[:1] != () and error.args[0] in _ROLLED_BACK

    # Its end

    def in_transaction(self, wrapper: BaseDatabaseWrapper) -> bool | None:
        """Return the driver's last status; None where mysqlclient does not show it."""
        connection: Any = wrapper.connection
        if getattr(connection, "server_status", 0) & _STATUS_IN_TRANSACTION:  # PyMySQL
            return True
        if connection.get_autocommit() != wrapper.autocommit:
            return True
        return None if connection in self._unsure else False  # the answer to a statement that failed has no status

    def ask_transaction(self, wrapper: BaseDatabaseWrapper) -> bool | None:
        """Ask by a statement that is refused in a transaction. No other one works without a privilege."""
        connection: Any = wrapper.connection
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION READ WRITE")
                cursor.execute("ROLLBACK")  # so that it is not for the next transaction
        except Exception as error:  # if it cannot be asked, it is rolled back or closed
            if error.args[:1] != (_IN_TRANSACTION_ALREADY,):
                logger.debug(
                    "The server of %r could not be asked for an open transaction.", wrapper.alias, exc_info=True
                )
            return True
        self._unsure.discard(connection)
        return bool(connection.get_autocommit() != wrapper.autocommit)

    def roll_back(self, wrapper: BaseDatabaseWrapper) -> None:
        """Roll back, and undo a ``SET autocommit`` that Django does not know of."""
        connection: Any = wrapper.connection
        wrapper.rollback()
        if connection.get_autocommit() != wrapper.autocommit:
            connection.autocommit(wrapper.autocommit)

    def end_lease(self, wrapper: BaseDatabaseWrapper) -> None:
        """Ask for triggers again if they may have been changed."""
        if wrapper.connection in self._changing:
            self._changing.discard(wrapper.connection)
            self._tables.pop(_name_of(wrapper), None)

    def reset(self, wrapper: BaseDatabaseWrapper) -> bool:
        """Log in again, which ends all session state, and make the first settings of Django and the driver again."""
        connection: Any = wrapper.connection
        fresh: Any = type(wrapper)(wrapper.settings_dict, wrapper.alias)  # without the owner's changes
        parameters: dict[str, Any] = fresh.get_connection_params()
        if not hasattr(connection, "change_user") or parameters.keys() & _LOGIN_ELSEWHERE:  # PyMySQL; a file
            return False
        user, password, database = (
            next((parameters[name] for name in names if parameters.get(name)), "")
            for names in (("user",), ("password", "passwd"), ("database", "db"))
        )
        connection.change_user(user, password, database)
        connection.set_character_set(parameters["charset"], parameters.get("collation"))
        if parameters.get("sql_mode"):
            connection.set_sql_mode(parameters["sql_mode"])
        if parameters.get("init_command"):
            with connection.cursor() as cursor:
                cursor.execute(parameters["init_command"])
        connection.autocommit(wrapper.autocommit)
        fresh.mysql_server_data = wrapper.mysql_server_data  # type: ignore[attr-defined] # it would ask the server
        fresh.connection, fresh.autocommit = connection, wrapper.autocommit
        try:
            fresh.init_connection_state()
        finally:
            fresh.connection = None
        self._unsure.discard(connection)
        return True

    def _leaves(self, code: str) -> bool:
        # A body may begin with any word; it may set fields of its row, and its own variables.
        body = code.replace(";", " ")
        return (
            "@" in body
            or bool(_BEGINS.search(_BLOCK.sub(" ", body)))
            or (self.grammar.effect_of(f"INSERT {body}") is not Effect.NONE)
        )

    def _leave_to_parent(self) -> None:
        """Redirect the parent's sockets in the child of a fork, so that closing them sends the server nothing."""
        nowhere = os.open(os.devnull, os.O_RDWR)
        for opened in tuple(self._opened.values()):
            if opened.inode == _inode(opened.descriptor):
                os.dup2(nowhere, opened.descriptor, inheritable=False)
        os.close(nowhere)

    def _forget_tables(self, **_: object) -> None:
        self._tables.clear()


_BLOCK: Final = re.compile(r"\bBEGIN\b", re.IGNORECASE)
_OF_THE_SESSION: Final = frozenset({"init_command", "sql_mode", "cursorclass", "database", "db", "collation"})
"""Parameters of a connection that are left out where it only stops a statement."""
_LOGIN_ELSEWHERE: Final = frozenset({"read_default_file", "read_default_group"})


def _name_of(wrapper: BaseDatabaseWrapper) -> str:
    return "|".join(str(wrapper.settings_dict.get(key, "")) for key in ("HOST", "PORT", "NAME"))


def _text(code: Any) -> str:
    return code.decode(errors="replace") if isinstance(code, bytes) else str(code or "")


def _inode(descriptor: int) -> int:
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return -1


def _has_hung_up(descriptor: int) -> bool:
    """Return True if the peer has closed the connection and no more data can be read from it."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as copy:
            return not copy.recv(1, socket.MSG_PEEK | getattr(socket, "MSG_DONTWAIT", 0))
    except BlockingIOError:
        return False
    except OSError:
        return True
