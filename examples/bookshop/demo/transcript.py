"""The responses of the server, printed for a person, with the expectations of the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

EXCERPT = 110


class Transcript:
    """Sends requests, prints each answer, and remembers every expectation that was not met."""

    def __init__(self, client: httpx.AsyncClient, token: str) -> None:
        self.client = client
        self.bearer = {"Authorization": f"Bearer {token}"}
        """Headers of a request that the clerk's program sends."""
        self.failures: list[str] = []

    def section(self, title: str) -> None:
        """Begin a new part."""
        print(f"\n{title}\n{'-' * len(title)}")

    def note(self, text: str) -> None:
        """Print something that is neither good nor bad."""
        print(f"      {text}")

    def expect(self, met: bool, fact: str) -> None:  # noqa: FBT001 (reads as a sentence where it is called)
        """Print whether a fact holds; one that does not fails the run."""
        if met:
            print(f"  ok   {fact}")
        else:
            self.fail(fact)

    def fail(self, fact: str) -> None:
        """Print that a fact does not hold; the run fails."""
        print(f"  FAIL {fact}")
        self.failures.append(fact)

    async def get(self, path: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Any:
        """GET `path`, expect `status`, return the JSON; None when the answer is not JSON."""
        return json_of(self.show(await self.client.get(path, headers=headers), status=status))

    async def post(self, path: str, body: object, *, status: int) -> Any:
        """POST `body`, expect `status`, return the JSON."""
        return json_of(await self.send("POST", path, body, status=status))

    async def send(
        self, method: str, path: str, body: object, *, status: int, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send `body` (bytes as they are, anything else as JSON), expect `status`, return the answer."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.note(f"sending {_excerpt(content.decode(errors='replace'))}")
        headers = {"Content-Type": "application/json", **(headers or {})}
        return self.show(await self.client.request(method, path, content=content, headers=headers), status=status)

    def show(self, response: httpx.Response, *, status: int) -> httpx.Response:
        """Print an answer, expect `status`."""
        sent = response.request
        milliseconds = response.elapsed.total_seconds() * 1000
        print(f"{response.status_code} {sent.method} {sent.url.raw_path.decode()} ({milliseconds:.1f} ms)")
        if text := _excerpt(response.text):
            self.note(text)
        if response.status_code != status:
            self.fail(f"{sent.method} {sent.url.path} answers {status}, not {response.status_code}")
        return response


def json_of(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT else f"{line[:EXCERPT]}…"
