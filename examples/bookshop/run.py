#!/usr/bin/env python
"""Open the bookshop: migrate, seed, serve. With ``--smoke``, drive every endpoint once and exit 0 or 1."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import NoReturn

from demo.clerk import Clerk
from demo.database import fresh_sqlite, prepare, token_of
from demo.progress import step
from demo.server import Server, ServerFailedError, serve, supplier
from demo.smoke import smoke
from demo.tour import show

INTERRUPTED = 130


def main() -> int:
    """Run what the command line asks for; returns the exit status."""
    arguments = _arguments()
    # A supervisor that ends us with SIGTERM gets the same clean stop as Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _smoke_run(arguments.port) if arguments.smoke else _demo(arguments.port)
    except ServerFailedError as error:
        sys.exit(f"The bookshop is closed. {error}")
    except KeyboardInterrupt:
        print("\nClosed.")
        # A demo ends this way; a smoke run that was interrupted has shown nothing.
        return INTERRUPTED if arguments.smoke else 0


def _demo(port: int) -> NoReturn:
    clerk = Clerk.for_this_run("clerk")
    prepare(clerk=clerk.name)
    token = token_of(clerk.name)
    with supplier(), _opened(port) as server:
        show(server.url, clerk, token)


def _smoke_run(port: int) -> int:
    with fresh_sqlite():
        prepare()
        with supplier(), _opened(port) as server:
            return smoke(server)


@contextmanager
def _opened(port: int) -> Iterator[Server]:
    with ExitStack() as stack:
        with step("Opening the shop, in a separate process"):
            server = stack.enter_context(serve(port))
        yield server


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="drive every endpoint over HTTP, then exit 0 or 1")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    return parser.parse_args()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
