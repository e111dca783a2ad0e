"""Requests to the GDC over HTTP, repeated where a fault may be temporary."""

import random
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar, cast

import requests
import urllib3

from prime.encode.gdc.answer_time import timed_session
from prime.errors import InputError
from prime.parsing import parse_json

HITS_PER_REQUEST = 1000
LONGEST_WAIT_S = 120.0
CHUNK = 1 << 18  # bytes
ANSWER_BYTES = 64 << 20  # of JSON; a thousand cases have about 3 MB
MOST_HITS = 5_000_000  # the GDC has about a million files
SLOWEST = 1024.0  # bytes per second, over the time without a byte that is allowed
TRANSIENT_STATUSES = (408, 425, 429)  # and every 5xx: the same request may succeed later
T = TypeVar("T")


class TransientError(Exception):
    """A request failed, and the same one may succeed later.

    `retry_after_s` is the wait in seconds that the server asked for, None where it asked for none.
    """

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class TooSlowError(TransientError):
    """An answer comes slower than SLOWEST."""


class Stopped(Exception):
    """The user, or an error in another thread, ended the work."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long a request is tried.

    Attributes:
        retries: further attempts after one that received nothing.
        first_wait_s: wait before the second attempt. It doubles with each attempt up to two minutes, and is
            shortened by a random factor so that parallel downloads do not retry together. A wait that the
            server asks for (Retry-After) takes its place, where it is no longer than that.
        connect_timeout_s: for establishing the connection.
        read_timeout_s: without receiving a byte, with less than SLOWEST on average, or with headers that have
            not ended.
    """

    retries: int = 8
    first_wait_s: float = 1.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0


class Server:
    """A GDC server. Each thread has its own connections; setting `stop` ends all waiting and reading."""

    def __init__(self, url: str, policy: RetryPolicy | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise InputError(f"--server {url}: expected an address that begins with https:// or http://")
        self.url = url.rstrip("/")
        self.policy = policy or RetryPolicy()
        self.stop = threading.Event()
        self._local = threading.local()

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = timed_session()
            session.headers["Accept-Encoding"] = "identity"  # uncompressed, so that ranges and sizes agree
        return session

    @contextmanager
    def response(self, method: str, path: str, **options: Any) -> Generator[requests.Response]:
        """Make one request. The body is not read yet; a fault while the block reads it is raised here too.

        Status 416 (range not satisfiable) is returned like 200 and 206, for the caller to handle.

        Raises:
            TransientError: no connection, a broken or slow one, or a status that may be temporary.
            InputError: any other status.
        """
        timeout = (self.policy.connect_timeout_s, self.policy.read_timeout_s)
        try:
            with self._session().request(
                method, f"{self.url}/{path}", timeout=timeout, stream=True, **options
            ) as found:
                self._check_status(found)
                yield found
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise TransientError(f"{self.url}: {_described(error)}") from None

    def _check_status(self, found: requests.Response) -> None:
        status = found.status_code
        if status in (200, 206, 416):
            return
        reason = f"{self.url}: status {status} {found.reason or ''}".rstrip()
        if status in TRANSIENT_STATUSES or status >= 500:
            raise TransientError(reason, retry_after_s(found.headers.get("Retry-After")))
        hint = {403: "; not open access, which is all that is fetched here", 404: "; no such file or address"}
        said = next(self.chunks(found), b"")[:200].decode("utf-8", errors="replace")
        raise InputError(reason + hint.get(status, f" ({said})"))

    def chunks(self, found: requests.Response, decoded: bool = False) -> Generator[bytes]:
        """The body as it arrives, without waiting for more than is there.

        Raises:
            TooSlowError: it comes slower than SLOWEST.
            Stopped: the work was ended.
        """
        window = self.policy.read_timeout_s
        started, size = time.monotonic(), 0
        while chunk := found.raw.read1(CHUNK, decode_content=decoded):
            if self.stop.is_set():
                raise Stopped
            yield chunk
            size += len(chunk)
            now = time.monotonic()
            if now - started >= window:
                if size < SLOWEST * window:
                    raise TooSlowError(
                        f"{self.url}: {size} bytes in {now - started:.0f} s, too slow to go on"
                    )
                started, size = now, 0

    def _body(self, found: requests.Response) -> bytes:
        """The whole of an answer. Raises TooSlowError, and InputError where it has no end."""
        text = bytearray()
        for chunk in self.chunks(found, decoded=True):
            text += chunk
            if len(text) > ANSWER_BYTES:
                raise InputError(
                    f"{self.url}: an answer of more than {ANSWER_BYTES:,} bytes; is it a GDC server?"
                )
        return bytes(text)

    def wait_before_retry(self, attempt: int, asked_s: float | None) -> None:
        """Wait after failed attempt number `attempt` (from 1); `asked_s` is the wait the server asked for.

        Raises Stopped where the work was ended meanwhile, and InputError where the server asks for a wait of
        more than two minutes.
        """
        if asked_s is not None and asked_s > LONGEST_WAIT_S:
            raise InputError(
                f"{self.url}: the server asks to wait {asked_s:,.0f} s; run the same command again after that"
            )
        if asked_s is None:
            longest = min(LONGEST_WAIT_S, self.policy.first_wait_s * 2.0 ** (attempt - 1))
            asked_s = longest * random.uniform(0.5, 1)
        if self.stop.wait(asked_s):
            raise Stopped

    def with_retries(self, attempt: Callable[[], T]) -> T:
        """What `attempt` returns, repeated while it raises TransientError.

        Raises InputError after the last retry.
        """
        for number in range(1, self.policy.retries + 2):
            try:
                return attempt()
            except TransientError as fault:
                if number > self.policy.retries:
                    raise InputError(f"{fault} ({number} attempts)") from None
                self.wait_before_retry(number, fault.retry_after_s)
        raise AssertionError("unreachable")

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The `data` of the JSON answer. Raises InputError where the server does not give one."""

        def attempt() -> dict[str, Any]:
            with self.response("POST", path, json=body) as found:
                value = _parsed(self._body(found), self.url)
            data = cast(dict[str, Any], value).get("data") if isinstance(value, dict) else None
            if not isinstance(data, dict):
                raise InputError(f"{self.url}/{path}: an answer without `data`; is it a GDC server?")
            return cast(dict[str, Any], data)

        return self.with_retries(attempt)

    def hits(
        self, endpoint: str, filters: dict[str, Any], fields: Sequence[str], order: str
    ) -> Iterator[dict[str, Any]]:
        """Every record that a filter finds, page after page, sorted by the unique field `order`.

        Raises:
            InputError: the server gives no answer, or the pages do not add up to the total that it states.
        """
        body = {"filters": filters, "fields": ",".join(fields), "format": "JSON", "sort": f"{order}:asc"}
        seen: set[str] = set()
        totals: set[int] = set()
        start = 0
        while not totals or start < max(totals):
            data = self.post(endpoint, {**body, "size": HITS_PER_REQUEST, "from": start})
            try:
                found: list[dict[str, Any]] = list(data["hits"])
                totals.add(int(data["pagination"]["total"]))
                seen.update(str(hit[order]) for hit in found)
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{self.url}/{endpoint}: an answer that can't be read ({error!r})") from None
            start += len(found)
            if len(totals) > 1 or start > len(seen) or not found or max(totals) > MOST_HITS:
                break
            yield from found
        if len(totals) > 1 or not start == len(seen) == max(totals):
            raise InputError(
                f"{self.url}/{endpoint}: {start} hits, {len(seen)} different, of {sorted(totals)} stated; "
                f"the list changed while it was read: run again"
            )


def _parsed(body: bytes, url: str) -> object:
    try:
        return parse_json(body, url)
    except InputError as error:
        raise TransientError(f"{url}: the answer is not JSON, or no plain one") from error


def retry_after_s(header: str | None) -> float | None:
    """Seconds to wait by a Retry-After header: a number, or a date (RFC 9110, 10.2.3). None: unreadable."""
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _described(error: Exception) -> str:
    """A fault of the connection in a few words."""
    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, requests.Timeout) or "Read timed out" in str(error):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return f"the secure connection failed ({str(error)[:150]})"
    if isinstance(error, requests.ConnectionError | urllib3.exceptions.HTTPError):
        return "not reached, or the connection broke"
    return f"{type(error).__name__}: {str(error)[:150]}"
