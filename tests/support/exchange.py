"""One request, sent to an ASGI application in the caller's own context, so that its hops and queries are counted."""

import asyncio
from dataclasses import dataclass, field
from http.cookies import SimpleCookie


@dataclass
class Exchange:
    """The response of an application."""

    method: str = "GET"
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    is_complete: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def cookies(self) -> SimpleCookie:
        return SimpleCookie("\r\n".join(value for name, value in self.headers if name == "set-cookie"))

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name.lower())

    async def receive_from(self, message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = sorted(
                (name.decode().lower(), value.decode("latin-1")) for name, value in message["headers"]
            )
        else:
            self.chunks.append(message.get("body", b""))
            self.is_complete = not message.get("more_body", False)


def scope(*, method="GET", path="/", query=b"", headers=(), scheme="http", host="testserver"):
    names = [("Host", host), *headers]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "method": method,
        "path": path,
        "query_string": query,
        "scheme": scheme,
        "headers": [(name.lower().encode(), value.encode()) for name, value in names],
    }


async def exchange(application, *, body=b"", **request) -> Exchange:
    """Send a request and wait for the whole response."""
    answer, messages = Exchange(request.get("method", "GET")), [{"type": "http.request", "body": body}]

    async def receive():
        return messages.pop() if messages else await asyncio.Event().wait()

    await application(scope(**request), receive, answer.receive_from)
    return answer
