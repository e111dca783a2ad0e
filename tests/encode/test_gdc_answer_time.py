"""A server that sends its headers a byte at a time, faster than the socket's own timeout can tell."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from prime.encode.gdc.server import RetryPolicy, Server
from prime.errors import InputError

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"data":{}}'


def drip(listener: socket.socket, wait_s: float, over: threading.Event) -> None:
    """Send the answer to each connection, byte by byte."""
    while not over.is_set():
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                for byte in ANSWER:
                    connection.sendall(bytes([byte]))
                    over.wait(wait_s)


@pytest.fixture
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        thread = threading.Thread(target=drip, args=(listener, request.param, over))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        thread.join()


POLICY = RetryPolicy(retries=1, first_wait_s=0.01, connect_timeout_s=5, read_timeout_s=0.5)


@pytest.mark.parametrize("url", [0.1], indirect=True)
def test_headers_that_do_not_end_in_time_are_given_up(url: str) -> None:
    with pytest.raises(InputError, match=r"no answer in time \(2 attempts\)"):
        Server(url, POLICY).post("files", {})


@pytest.mark.parametrize("url", [0.0], indirect=True)
def test_headers_in_pieces_that_end_in_time_are_read(url: str) -> None:
    assert Server(url, POLICY).post("files", {}) == {}
