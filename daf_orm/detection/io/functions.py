"""Functions that block besides the database: blockbuster's table, and DAF's rows for those that it lacks.

A row is silent off the loop's thread. It is silent too if the call has nothing to wait for, such as a non-blocking
socket, a free lock, or a file in memory.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.contrib.auth import hashers
from django.core.cache.backends import filebased, memcached, redis
from django.core.files.storage import FileSystemStorage, InMemoryStorage, Storage
from django.core.mail.backends import filebased as mail_filebased
from django.core.mail.backends import smtp
from django.core.management import BaseCommand
from django.db.models.fields.files import FieldFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


class Row(NamedTuple):
    """One function that blocks."""

    owner: Any
    """The module or class that has it itself. A class that only inherits it would differ from its base afterwards."""
    name: str
    operation: str
    is_harmless: Callable[..., bool] = lambda *_, **__: False
    """Takes the call's arguments. Returns True if it has nothing to wait for."""
    allowed_in: Sequence[tuple[str, Iterable[str]]] = ()
    """Ends of file names, and the functions there that may call it."""
    named_after: tuple[str, ...] = ()
    """Ends of file names: the outermost function from there has the name that users know."""


TRIVIA: Final = frozenset({"os.getcwd", "os.stat", "os.access", "os.readlink"})
"""Functions of blockbuster that are left out, with all of ``os.path``, since the kernel's memory answers them."""
_SHORT: Final = {"socket.socket.": "socket.", "ssl.SSLSocket.": "ssl.", "builtins.": ""}
_EXECUTORS: Final = ("/concurrent/futures/_base.py", "/concurrent/futures/thread.py", "/concurrent/futures/process.py")
_WAITS: Final = ("/threading.py", "/queue.py", *_EXECUTORS)
_CACHES: Final = (filebased.FileBasedCache, memcached.BaseMemcachedCache, redis.RedisCache)
_CACHE_METHODS: Final = (
    *("add", "get", "set", "touch", "delete", "get_many", "get_or_set", "has_key", "incr", "decr", "set_many"),
    *("delete_many", "clear", "incr_version", "decr_version"),
)
_HASHERS: Final = (
    *(hashers.PBKDF2PasswordHasher, hashers.Argon2PasswordHasher),
    *(hashers.BCryptSHA256PasswordHasher, hashers.ScryptPasswordHasher),
)


def rows() -> Iterator[Row]:
    """Yield every row. Raise ImportError without blockbuster."""
    yield from _of_blockbuster()
    yield from _of_the_standard_library()
    yield from _of_django()


def _of_blockbuster() -> Iterator[Row]:
    """Read its functions' public attributes. DAF replaces them and raises errors in its own way."""
    for name, function in import_module("blockbuster").BlockBuster().functions.items():
        # A __next__ in C can be replaced, but not restored: DAF has a row for os.scandir.
        if name in TRIVIA or name == "os.scandir" or name.startswith("os.path.") or function.original_func is None:
            continue
        yield Row(
            _defining(function.module, function.func_name),
            function.func_name,
            _shorten(name),
            function.can_block_predicate,
            function.can_block_functions,
            _WAITS if name.startswith("threading.Lock.") else (),
        )


def _shorten(name: str) -> str:
    return next((name.replace(long, short) for long, short in _SHORT.items() if name.startswith(long)), name)


def _defining(owner: Any, name: str) -> Any:
    """Return the class that a method of ``owner`` comes from; a module unchanged."""
    return next((cls for cls in getattr(owner, "__mro__", ()) if name in vars(cls)), owner)


def _of_the_standard_library() -> Iterator[Row]:
    yield Row(import_module("builtins"), "open", "open", _is_descriptor)
    yield Row(import_module("io"), "open", "open", _is_descriptor)  # pathlib's
    yield Row(import_module("_io"), "open", "open", _is_descriptor)  # pickle looks for it there
    yield Row(import_module("os"), "scandir", "os.scandir")
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo"):
        yield Row(import_module("socket"), name, f"socket.{name}")
    popen = import_module("subprocess").Popen
    yield Row(popen, "__init__", "subprocess.Popen")
    yield Row(popen, "wait", "Popen.wait", _has_ended)
    yield Row(popen, "communicate", "Popen.communicate", _has_ended)
    thread = import_module("threading").Thread
    yield Row(thread, "join", "Thread.join", _is_over, named_after=_EXECUTORS)


def _is_over(thread: Any, timeout: float | None = None) -> bool:
    return timeout == 0 or not thread.is_alive()


def _is_descriptor(file: object = None, *_: Any, **__: Any) -> bool:
    return isinstance(file, int)


def _has_ended(process: Any, *_: Any, **__: Any) -> bool:
    return process.returncode is not None


def _of_django() -> Iterator[Row]:
    for cache in _CACHES:
        for name in _CACHE_METHODS:
            # Django asks for a backend's own methods; inherited ones call those.
            if name in vars(cache):
                yield Row(cache, name, f"cache.{name}", named_after=("/django/core/cache/backends/base.py",))
    for hasher in _HASHERS:
        for name in ("encode", "verify"):
            yield Row(hasher, name, f"PasswordHasher.{name}", named_after=("/django/contrib/auth/hashers.py",))
    yield Row(Storage, "open", "storage.open", _is_in_memory)
    yield Row(Storage, "save", "storage.save", _is_in_memory)
    yield Row(FileSystemStorage, "delete", "storage.delete")
    yield Row(FileSystemStorage, "listdir", "storage.listdir")
    for name in ("open", "save", "delete"):
        yield Row(FieldFile, name, f"FieldFile.{name}", lambda file, *_, **__: _is_in_memory(file.storage))
    yield Row(smtp.EmailBackend, "open", "mail.open")
    yield Row(smtp.EmailBackend, "send_messages", "mail.send")
    yield Row(_defining(mail_filebased.EmailBackend, "send_messages"), "send_messages", "mail.send", _writes_to_no_file)
    yield Row(BaseCommand, "execute", "call_command")


def _writes_to_no_file(backend: object, *_: Any, **__: Any) -> bool:
    return not isinstance(backend, mail_filebased.EmailBackend)  # the console's, which it inherits


def _is_in_memory(storage: object, *_: Any, **__: Any) -> bool:
    return isinstance(storage, InMemoryStorage)
