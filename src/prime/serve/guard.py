"""What stands before every request: whose it is, how large it may be, and what is written about it.

A log line has the method, the route, the status and the time. Neither addresses nor bodies nor messages of
errors are logged: they may hold patients' ids and values.
"""

import asyncio
import hmac
import json
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException

from prime.serve.limits import Limits
from prime.serve.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
CLOSE = {"Connection": "close"}  # after an answer to a request that was not read to its end


class Guard:
    """An ASGI application around another one.

    Args:
        app: what answers.
        limits: bytes of a body, and seconds for reading it.
        say: takes a line of the log.
        metrics: counts requests; None where nothing is counted.
        hosts: names under which the service is asked; None for any. A page of another host that resolves to
            this machine is so kept out.
        token: what `Authorization: Bearer` must hold; None for no token.
        open_paths: that need no token.
    """

    def __init__(
        self,
        app: App,
        limits: Limits,
        say: Callable[[str], None],
        metrics: Metrics | None = None,
        hosts: tuple[str, ...] | None = LOOPBACK,
        token: str | None = None,
        open_paths: tuple[str, ...] = (),
    ) -> None:
        self.app, self.limits, self.say, self.metrics = app, limits, say, metrics
        self.hosts, self.token, self.open_paths = hosts, token, open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it with a reason."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._refuse(scope)
            await self.app(scope, self._bounded(receive), sent)
        except HTTPException as error:
            await _answer(sent, error.status_code, error.detail, error.headers)
        except Exception as error:
            self.say(f"fault: {places(error)}")
            if not status:
                await _answer(sent, 500, "a fault of the service; its log says where")
        finally:
            seconds, route = time.perf_counter() - began, _route(scope)
            self.say(f"{scope['method']:.10} {route} {status} {1000 * seconds:.0f} ms")
            if self.metrics is not None:
                self.metrics.answered(route, status, seconds)

    def _refuse(self, scope: Scope) -> None:
        """Raise HTTPException for what is not let in."""
        headers = Headers(scope=scope)
        if self.hosts is not None and _host(headers.get("host", "")) not in self.hosts:
            raise HTTPException(421, f"ask by the name {self.hosts[0]}")
        if self.token is not None and scope["path"] not in self.open_paths:
            given = headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, f"Bearer {self.token}".encode()):
                raise HTTPException(
                    401, "give the token: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"}
                )
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdecimal() and int(length) > self.limits.body:
            raise self._too_large()

    def _too_large(self) -> HTTPException:
        text = f"the request is larger than {self.limits.body:,} bytes; send fewer patients at once"
        return HTTPException(413, text, CLOSE)

    def _bounded(self, receive: Receive) -> Receive:
        """Receive a body of bounded size in bounded time."""
        left, until, whole = self.limits.body, time.monotonic() + self.limits.seconds, False

        async def received() -> Message:
            nonlocal left, whole
            if whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, until - time.monotonic()))
            except TimeoutError:
                text = f"the request did not come within {self.limits.seconds:g} seconds"
                raise HTTPException(408, text, CLOSE) from None
            left -= len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if left < 0:
                raise self._too_large()
            return message

        return received


def _host(text: str) -> str:
    """The name in a Host header, without the port."""
    name = text.rpartition(":")[0] if text.rpartition(":")[2].isdecimal() and ":" in text else text
    return name.strip("[]").lower()


def _route(scope: Scope) -> str:
    """The pattern of the path, in which nothing of a request stands, not even a token in front of it."""
    found = hasattr(scope.get("endpoint"), "__name__")
    return str(getattr(scope.get("route"), "path", "other")) if found else "other"


def places(error: BaseException) -> str:
    """What kind of fault, and where in the code; not what it says."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__} at {where}"


def reason(text: str) -> dict[str, str]:
    """The body of every refusal."""
    return {"reason": text}


async def _answer(send: Send, status: int, text: str, headers: Any = None) -> None:
    body = json.dumps(reason(text)).encode()
    own = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in dict(headers or {}).items()]
    start = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *own]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
