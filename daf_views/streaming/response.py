"""The response of a stream: Django's own, closed by the task that sends it."""

from collections.abc import AsyncIterator, Iterator, Mapping

from django.http import StreamingHttpResponse

from daf_views._django.responses import iterator_of
from daf_views.streaming.sources import close


class StreamResponse(StreamingHttpResponse):
    """A streaming response whose iterator is closed at once, in the task that reads it, when that stops early.

    Django's ``__aiter__`` closes itself only; the iterators within are left to the garbage collector, which closes
    them some time later, in another task.
    """

    def __init__(self, content: AsyncIterator[bytes], *, content_type: str, headers: Mapping[str, str] | None) -> None:
        super().__init__(content, content_type=content_type)
        for name, value in (headers or {}).items():
            self.headers[name] = value

    async def __aiter__(self) -> AsyncIterator[bytes]:
        iterator = iterator_of(self)
        try:
            async for part in iterator:
                yield self.make_bytes(part)
        finally:
            await close(iterator)

    def __iter__(self) -> Iterator[bytes]:
        # Django would first collect all there is, which for an endless stream never ends.
        raise TypeError("This response streams from an async iterator: serve it through ASGI.")
