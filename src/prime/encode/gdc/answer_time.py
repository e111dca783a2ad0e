"""HTTP connections whose status line and headers must come in time, however slowly a server sends them.

A socket's own timeout begins anew with each byte, so a server that sends a byte now and then would hold it
for days.
"""

import socket
import threading
from contextlib import suppress
from typing import Any, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import HTTPResponse


class _Timed(HTTPConnection):
    """A connection that is cut where its answer has not begun, headers included, within its read timeout."""

    def getresponse(self) -> HTTPResponse:
        """The answer. Raises TimeoutError where its headers take longer than the read timeout."""
        wired, limit, cut = self.sock, self.timeout, threading.Event()
        if not limit or wired is None:
            return super().getresponse()

        def end() -> None:
            cut.set()
            with suppress(OSError):  # it ended by itself meanwhile
                wired.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(limit, end)
        timer.daemon = True
        timer.start()
        try:
            return super().getresponse()
        except Exception as error:
            if cut.is_set():
                raise TimeoutError("the headers came too slowly") from error
            raise
        finally:
            timer.cancel()


class _TimedSecure(_Timed, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = cast(Any, _Timed)


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = cast(Any, _TimedSecure)


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """A pool manager that makes these connections."""
        super().init_poolmanager(*args, **options)
        own: dict[str, Any] = {"http": _Pool, "https": _SecurePool}
        self.poolmanager.pool_classes_by_scheme = {**self.poolmanager.pool_classes_by_scheme, **own}


def timed_session() -> requests.Session:
    """A session in which an answer must begin, headers included, within the read timeout of its request."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter())
    return session
