"""A request's body while it is being received: in memory, and from ``FILE_UPLOAD_MAX_MEMORY_SIZE`` on in a file."""

from __future__ import annotations

import tempfile
from io import BytesIO
from typing import IO

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import RequestDataTooBig

from daf_views._core.cancellation import shielded


class SpooledBody:
    """A body that grows by :meth:`add`. Work on the disk runs on a worker thread."""

    __slots__ = ("_limit", "_size", "file")

    def __init__(self, limit: int | None) -> None:
        self.file: IO[bytes] = BytesIO()
        self._limit = limit
        self._size = 0

    async def add(self, chunk: bytes) -> None:
        """Append a part. Raises RequestDataTooBig once there are more than ``limit`` bytes."""
        self._size += len(chunk)
        if self._limit is not None and self._size > self._limit:
            raise RequestDataTooBig(f"The request body is larger than {self._limit} bytes.")
        if isinstance(self.file, BytesIO) and self._size <= settings.FILE_UPLOAD_MAX_MEMORY_SIZE:
            self.file.write(chunk)
        else:  # to the end: a thread that writes must not meet a file that is being closed
            await shielded(sync_to_async(self._write_to_disk, thread_sensitive=False)(chunk))

    async def discard(self) -> None:
        """Close the file, which will not be read again."""
        if isinstance(self.file, BytesIO):
            self.file.close()
        else:
            await shielded(sync_to_async(self.file.close, thread_sensitive=False)())

    def _write_to_disk(self, chunk: bytes) -> None:
        if isinstance(self.file, BytesIO):
            before, self.file = self.file, tempfile.TemporaryFile()  # noqa: SIM115 - closed with the request
            self.file.write(before.getvalue())
        self.file.write(chunk)
