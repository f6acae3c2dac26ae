"""Code that blocks an event loop without a database, and code that only looks so, to measure the I/O tier by.

``directory`` has a ``file``, a ``page.html`` that is a template, and, on the import path, ``reads_when_imported.py``.
"""

# ruff: noqa: ARG004, ASYNC221, ASYNC240, ASYNC251, PTH100, PTH109, PTH114, PTH116, PTH208
# A linter sees some of it too.

import asyncio
import contextlib
import importlib
import io
import logging
import mimetypes
import os
import queue
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zoneinfo
from concurrent.futures import Future
from pathlib import Path

import django
import pytest
from django.contrib.auth import hashers
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage
from django.core.mail import EmailMessage
from django.core.mail.backends import filebased, locmem
from django.core.management import call_command
from django.db.models.fields.files import FieldFile, FileField
from django.template import Context, Engine
from django.test import override_settings

from daf_orm import BlockingCallError


class QuickHasher(hashers.PBKDF2PasswordHasher):
    iterations = 1


PBKDF2 = override_settings(PASSWORD_HASHERS=[f"{__name__}.QuickHasher"])
ENCODED = "pbkdf2_sha256$1$salt$hash"


class Blocking:
    """Code that blocks, in the line that ends with its operation."""

    @staticmethod
    async def sleep(directory: Path) -> None:
        time.sleep(0.001)  # time.sleep

    @staticmethod
    async def read(directory: Path) -> None:
        (directory / "file").read_text()  # open

    @staticmethod
    async def write(directory: Path) -> None:
        with await asyncio.to_thread(open, directory / "file", "w") as file:
            file.write("x")  # io.TextIOWrapper.write

    @staticmethod
    async def list_directory(directory: Path) -> None:
        os.listdir(directory)  # os.listdir

    @staticmethod
    async def scan_directory(directory: Path) -> None:
        list(os.walk(directory))  # os.scandir

    @staticmethod
    async def remove(directory: Path) -> None:
        (directory / "file").unlink()  # os.unlink

    @staticmethod
    async def resolve(directory: Path) -> None:
        socket.getaddrinfo("localhost", 80)  # socket.getaddrinfo

    @staticmethod
    async def send(directory: Path) -> None:
        here, there = socket.socketpair()
        with here, there:
            here.send(b"x")  # socket.send

    @staticmethod
    async def fetch(directory: Path) -> None:
        with contextlib.suppress(OSError):
            urllib.request.build_opener().open("http://127.0.0.1:1/", timeout=1)  # socket.getaddrinfo

    @staticmethod
    async def start_a_process(directory: Path) -> None:
        subprocess.run([sys.executable, "-S", "-c", ""], check=True)  # subprocess.Popen

    @staticmethod
    async def query_sqlite(directory: Path) -> None:
        with contextlib.closing(sqlite3.connect(":memory:")) as other:
            other.execute("SELECT 1")  # sqlite3.Connection.execute

    @staticmethod
    async def wait_for_an_event(directory: Path) -> None:
        threading.Event().wait(0.001)  # Event.wait

    @staticmethod
    async def wait_for_a_queue(directory: Path) -> None:
        with pytest.raises(queue.Empty):
            queue.Queue().get(timeout=0.001)  # Queue.get

    @staticmethod
    async def wait_for_a_lock(directory: Path) -> None:
        lock = threading.Lock()
        lock.acquire()
        lock.acquire(timeout=0.001)  # threading.Lock.acquire

    @staticmethod
    async def wait_for_a_future(directory: Path) -> None:
        with pytest.raises(TimeoutError):
            Future().result(timeout=0.001)  # Future.result

    @staticmethod
    async def join_a_thread(directory: Path) -> None:
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait)
        thread.start()
        try:
            thread.join(0.001)  # Thread.join
        finally:
            stop.set()

    @staticmethod
    async def hash_a_password(directory: Path) -> None:
        with PBKDF2:
            hashers.make_password("secret")  # make_password

    @staticmethod
    async def set_a_password(directory: Path) -> None:
        with PBKDF2:
            User().set_password("secret")  # make_password

    @staticmethod
    async def check_a_password(directory: Path) -> None:
        with PBKDF2:
            hashers.check_password("secret", ENCODED)  # check_password

    @staticmethod
    async def cache_get(directory: Path) -> None:
        FileBasedCache(str(directory), {}).get("key")  # cache.get

    @staticmethod
    async def cache_get_or_set(directory: Path) -> None:
        FileBasedCache(str(directory), {}).get_or_set("key", 1)  # cache.get_or_set

    @staticmethod
    async def storage_save(directory: Path) -> None:
        FileSystemStorage(directory).save("name", ContentFile(b"x"))  # storage.save

    @staticmethod
    async def storage_open(directory: Path) -> None:
        FileSystemStorage(directory).open("file").close()  # storage.open

    @staticmethod
    async def storage_delete(directory: Path) -> None:
        FileSystemStorage(directory).delete("file")  # storage.delete

    @staticmethod
    async def field_file_open(directory: Path) -> None:
        FieldFile(User(), FileField(storage=FileSystemStorage(directory)), "file").open().close()  # FieldFile.open

    @staticmethod
    async def send_mail(directory: Path) -> None:
        backend = filebased.EmailBackend(file_path=str(directory))
        backend.send_messages([EmailMessage("subject", "body", "a@example.org", ["b@example.org"])])  # mail.send

    @staticmethod
    async def run_a_command(directory: Path) -> None:
        call_command("diffsettings", stdout=io.StringIO())  # call_command

    @staticmethod
    async def in_a_callback(directory: Path) -> None:
        done = asyncio.get_running_loop().create_future()

        def callback() -> None:
            try:
                time.sleep(0.001)  # time.sleep
            except BlockingCallError as error:
                done.set_exception(error)
            else:
                done.set_result(None)

        asyncio.get_running_loop().call_soon(callback)
        await done


class Harmless:
    """Code that only looks so, or that is not to be reported."""

    @staticmethod
    async def trivia(directory: Path) -> None:
        os.getcwd()
        os.stat(directory)
        assert (directory / "file").exists()
        assert os.access(directory, os.R_OK)
        os.path.abspath("x")
        os.path.ismount("/")
        os.path.islink(directory)

    @staticmethod
    async def importing(directory: Path) -> None:
        importlib.import_module("reads_when_imported")

    @staticmethod
    async def logging(directory: Path) -> None:
        logging.getLogger("tests.io").error("to a file")

    @staticmethod
    async def printing(directory: Path) -> None:
        print("x")
        sys.stderr.write("x")

    @staticmethod
    async def traceback(directory: Path) -> None:
        try:
            raise ValueError
        except ValueError:
            logging.getLogger("tests.io").exception("with its source")

    @staticmethod
    async def time_zone(directory: Path) -> None:
        zoneinfo.ZoneInfo.no_cache("Europe/Madrid")

    @staticmethod
    async def mime_types(directory: Path) -> None:
        mimetypes.init()

    @staticmethod
    async def memory(directory: Path) -> None:
        io.BytesIO(b"x").read()
        io.TextIOWrapper(io.BytesIO()).write("x")
        with tempfile.SpooledTemporaryFile() as file:
            file.write(b"x")

    @staticmethod
    async def asyncio_itself(directory: Path) -> None:
        loop = asyncio.get_running_loop()
        await loop.getaddrinfo("localhost", 80)
        process = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", "", stdout=subprocess.PIPE)
        await process.communicate()
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        server.close()
        await asyncio.sleep(0.001)

    @staticmethod
    async def free_locks_and_done_futures(directory: Path) -> None:
        lock = threading.Lock()
        lock.acquire()
        assert not lock.acquire(blocking=False)
        (future := Future()).set_result(1)
        assert future.result() == 1
        (queued := queue.Queue()).put(1)
        assert queued.get() == 1

    @staticmethod
    async def starting_a_thread(directory: Path) -> None:
        await asyncio.to_thread(time.sleep, 0.001)
        threading.Thread(target=time.sleep, args=[0]).start()

    @staticmethod
    async def cache_in_memory(directory: Path) -> None:
        cache.set("key", 1)
        assert cache.get("key") == 1

    @staticmethod
    async def asynchronous_twins(directory: Path) -> None:
        await FileBasedCache(str(directory), {}).aget("key")
        if django.VERSION >= (6, 0):  # Django 5.2's hashes on the event loop
            with PBKDF2:
                await hashers.acheck_password("secret", ENCODED)

    @staticmethod
    async def storage_in_memory(directory: Path) -> None:
        storage = InMemoryStorage()
        storage.open(storage.save("name", ContentFile(b"x"))).read()
        FieldFile(User(), FileField(storage=storage), "name").open()

    @staticmethod
    async def mail_in_memory(directory: Path) -> None:
        locmem.EmailBackend().send_messages([])

    @staticmethod
    async def cheap_hashing(directory: Path) -> None:
        hashers.check_password("secret", hashers.make_password("secret"))

    @staticmethod
    async def loading_a_template(directory: Path) -> None:
        engine = Engine(dirs=[directory])
        engine.get_template("page.html").render(Context())

    @staticmethod
    async def in_a_thread(directory: Path) -> None:
        await asyncio.to_thread((directory / "file").read_text)
        await asyncio.get_running_loop().run_in_executor(None, os.listdir, directory)
