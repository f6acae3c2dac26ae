"""Functions outside the project, by their dotted names: those that block, and those that decide where others run."""

from __future__ import annotations

from typing import Final, NamedTuple


class Blocking(NamedTuple):
    """A function that blocks."""

    code: str
    operation: str
    twin: str = ""
    """Its asynchronous twin, importable from where it is itself."""
    instead: str = ""
    """The remedy, if it is neither a twin nor a hop."""


_AUTH: Final = "django.contrib.auth"
_THREAD: Final = "Do it in a thread: await asyncio.to_thread(…)."
_PROCESS: Final = "Use await asyncio.create_subprocess_exec(…), or do it in a thread: await asyncio.to_thread(…)."
HTTP: Final = "Use an async client (httpx.AsyncClient), or do it in a thread: await asyncio.to_thread(…)."

BLOCKING: Final[dict[str, Blocking]] = {
    "django.shortcuts.get_object_or_404": Blocking("DAF012", "get_object_or_404", "aget_object_or_404"),
    "django.shortcuts.get_list_or_404": Blocking("DAF012", "get_list_or_404", "aget_list_or_404"),
    "django.db.models.prefetch_related_objects": Blocking(
        "DAF012", "prefetch_related_objects", "aprefetch_related_objects"
    ),
    "django.db.models.query.prefetch_related_objects": Blocking(
        "DAF012", "prefetch_related_objects", "aprefetch_related_objects"
    ),
    **{
        f"{_AUTH}.{name}": Blocking("DAF052", name, f"a{name}")
        for name in ("authenticate", "login", "logout", "get_user", "update_session_auth_hash")
    },
    "django.contrib.sites.shortcuts.get_current_site": Blocking("DAF053", "get_current_site"),
    "django.core.management.call_command": Blocking("DAF063", "call_command"),
    "django.core.management.base.call_command": Blocking("DAF063", "call_command"),
    "django.db.close_old_connections": Blocking("DAF060", "close_old_connections"),
    "django.db.connections.close_all": Blocking("DAF060", "connections.close_all"),
    "time.sleep": Blocking("DAF080", "time.sleep", instead="Use await asyncio.sleep(…)."),
    **{
        f"{library}.{name}": Blocking("DAF081", f"{library}.{name}", instead=HTTP)
        for library in ("requests", "httpx")
        for name in ("get", "post", "put", "patch", "delete", "head", "options", "request")
    },
    "urllib3.request": Blocking("DAF081", "urllib3.request", instead=HTTP),
    "requests.api.request": Blocking("DAF081", "requests.request", instead=HTTP),
    "httpx.stream": Blocking("DAF081", "httpx.stream", instead=HTTP),
    "urllib.request.urlopen": Blocking("DAF081", "urllib.request.urlopen", instead=HTTP),
    "urllib.request.urlretrieve": Blocking("DAF081", "urllib.request.urlretrieve", instead=HTTP),
    "builtins.open": Blocking("DAF082", "open", instead=_THREAD),
    "io.open": Blocking("DAF082", "open", instead=_THREAD),
    **{
        f"subprocess.{name}": Blocking("DAF083", "subprocess.Popen", instead=_PROCESS)
        for name in ("run", "call", "check_call", "check_output", "getoutput", "getstatusoutput", "Popen")
    },
    **{
        f"{_AUTH}.hashers.{name}": Blocking("DAF084", name, instead=_THREAD)
        for name in ("make_password", "check_password")
    },
    "os.system": Blocking("DAF083", "os.system", instead=_PROCESS),
}
OPENING: Final = frozenset("open read_text read_bytes write_text write_bytes".split())
"""Methods of ``pathlib.Path`` that open the file."""
READING: Final = frozenset("read readline readlines write writelines".split())
"""Methods of an open file that wait for its storage."""
WAITING: Final[dict[str, dict[str, str]]] = {
    "threading.Thread": {"join": "Thread.join"},
    "threading.Event": {"wait": "Event.wait"},
    "threading.Condition": {"wait": "Condition.wait", "wait_for": "Condition.wait_for"},
    "threading.Barrier": {"wait": "Barrier.wait"},
    "queue.Queue": {"get": "Queue.get", "join": "Queue.join"},
    "subprocess.Popen": {"wait": "Popen.wait", "communicate": "Popen.communicate"},
    "concurrent.futures.Future": {"result": "Future.result"},
}
"""Methods that wait for another thread or process, by the class that has them."""
CLIENTS: Final = frozenset({"requests.Session", "requests.sessions.Session", "httpx.Client", "urllib3.PoolManager"})
"""Classes of synchronous HTTP clients."""
REQUESTS: Final = frozenset("get post put patch delete head options request send urlopen stream".split())
"""Their methods that wait for an answer."""
OF_RUFF: Final = frozenset({"DAF080", "DAF081", "DAF082"})
OPERATIONS_OF_RUFF: Final = frozenset({"subprocess.Popen", "os.system"})
"""Left to ruff where its ASYNC rules are selected."""

ATOMIC: Final = frozenset({"django.db.transaction.atomic", "django.db.transaction.Atomic"})
OUR_ATOMIC: Final = frozenset({"daf_orm.transaction.atomic"})

HOPS: Final = frozenset(
    {
        "asgiref.sync.sync_to_async",
        "asgiref.sync.SyncToAsync",
        "channels.db.database_sync_to_async",
        "daf_orm.database_sync_to_async",
        "daf_orm.sync.database_sync_to_async",
        "daf_orm.await_safe",
        "daf_orm.sync.await_safe",
        "daf_views.tasks.async_task",
    }
)
"""Make of a function one that runs in a thread when it is awaited; also as decorators."""
UNHOPS: Final = frozenset({"asgiref.sync.async_to_sync", "asgiref.sync.AsyncToSync"})
THREADS: Final = frozenset({"asyncio.to_thread", "anyio.to_thread.run_sync", "starlette.concurrency.run_in_threadpool"})
"""Run their first argument in a thread."""
THREAD_METHODS: Final = frozenset({"run_in_executor", "submit"})
TASKS: Final = "asyncio.TaskGroup"
STACKS: Final = frozenset({"contextlib.ExitStack", "contextlib.AsyncExitStack"})
CALLBACKS: Final = frozenset({"call_soon", "call_later", "call_at", "call_soon_threadsafe", "add_done_callback"})
"""Methods of loops and futures that call an argument on the loop."""
TRANSPARENT: Final = frozenset(
    """staticmethod classmethod wraps contextmanager asynccontextmanager lru_cache cache receiver simple_tag
    inclusion_tag filter login_required permission_required user_passes_test require_POST require_GET
    require_http_methods require_safe csrf_exempt csrf_protect
    singledispatch singledispatchmethod
    never_cache override final overload abstractmethod api_view
    permission_classes authentication_classes shared_task task action
    method_decorator sensitive_variables sensitive_post_parameters
    fixture mark django_db asyncio register display vary_on_headers vary_on_cookie cache_control""".split()
)
"""Decorators of others after which a function still does what its body says, where it is called."""
PURE: Final = frozenset({"functools.wraps", "functools.update_wrapper"})
