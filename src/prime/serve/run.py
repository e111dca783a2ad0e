"""Running an application on this machine until it is told to stop."""

import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import uvicorn

from prime.errors import InputError
from prime.serve.guard import LOOPBACK
from prime.serve.limits import Limits

CONNECTIONS = 512  # at once
IDLE_S = 10  # that a connection is kept without a request
GRACE_S = 5  # beyond a request's own time


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one. Raises InputError where it can't be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=CONNECTIONS)
    except OverflowError:
        raise InputError(f"--port {port}: give a number from 0 to 65535") from None
    except OSError as error:
        raise InputError(f"--host {host} --port {port}: {error.strerror or error}") from None


def address(listening: socket.socket) -> str:
    """The address of a listening socket, for a browser."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    return host in LOOPBACK


def run(app: Any, listening: socket.socket, limits: Limits) -> None:
    """Answer requests until SIGTERM or Ctrl-C; those in hand are answered first.

    A second Ctrl-C ends at once.
    """
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=int(2 * limits.seconds) + GRACE_S,
    )
    with _ending_well():
        uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def _ending_well() -> Generator[None]:
    """Signals that uvicorn has dealt with, and raises again at its end, end nothing here."""

    def dealt_with(*_: object) -> None:
        return None

    before: dict[signal.Signals, Callable[..., Any] | int | None] = {
        one: signal.signal(one, dealt_with) for one in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
