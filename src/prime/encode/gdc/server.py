"""Asking the GDC over HTTP: one attempt, and attempts with patience."""

import random
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar, cast

import requests
import urllib3

from prime.errors import InputError

PAGE = 1000  # hits a request
LONGEST_WAIT_S = 120.0
LONGEST_TOLD_WAIT_S = 3600.0
PASSING = (408, 425, 429)  # and every 5xx: the same request may succeed later
T = TypeVar("T")


class Passing(Exception):
    """An attempt failed in a way that may pass; `wait_s` is how long the server asks to wait, if it does."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Stopped(Exception):
    """The user, or an error elsewhere, ended the work."""


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        retries: further attempts after one that brought nothing.
        wait_s: before the second attempt; doubles each time up to two minutes, with chance so that parallel
            downloads do not return together. A wait that the server asks for (Retry-After) goes first.
        connect_s: to connect.
        read_s: without a single byte.
    """

    retries: int = 8
    wait_s: float = 1.0
    connect_s: float = 10.0
    read_s: float = 60.0


class Server:
    """A GDC server. Each thread has its own connections; `stop` ends all waiting and reading."""

    def __init__(self, url: str, patience: Patience | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise InputError(f"--server {url}: expected an address that begins with https:// or http://")
        self.url = url.rstrip("/")
        self.patience = patience or Patience()
        self.stop = threading.Event()
        self._local = threading.local()

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.headers["Accept-Encoding"] = "identity"  # ranges and sizes are of the bytes as they are
        return session

    @contextmanager
    def answer(self, method: str, path: str, **options: Any) -> Generator[requests.Response]:
        """One attempt; the answer's body is still to be read, and any fault while reading it is told too.

        Status 416 is handed back like 200 and 206, for the caller to judge.

        Raises:
            Passing: no connection, a broken or slow one, or a status that may pass.
            InputError: any other status.
        """
        timeout = (self.patience.connect_s, self.patience.read_s)
        try:
            with self._session().request(
                method, f"{self.url}/{path}", timeout=timeout, stream=True, **options
            ) as found:
                self._judge(found)
                yield found
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise Passing(f"{self.url}: {_short(error)}") from None

    def _judge(self, found: requests.Response) -> None:
        status = found.status_code
        if status in (200, 206, 416):
            return
        reason = f"{self.url}: status {status} {found.reason or ''}".rstrip()
        if status in PASSING or status >= 500:
            raise Passing(reason, told_wait(found.headers.get("Retry-After")))
        hint = {403: "; not open access, which is all that is fetched here", 404: "; no such file or address"}
        raise InputError(reason + hint.get(status, f" ({found.text[:200]})"))

    def rest(self, attempt: int, told_s: float | None) -> None:
        """Wait before attempt `attempt` (from 1). Raises Stopped where the work was ended meanwhile."""
        if told_s is None:
            told_s = min(LONGEST_WAIT_S, self.patience.wait_s * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1)
        if self.stop.wait(min(told_s, LONGEST_TOLD_WAIT_S)):
            raise Stopped

    def patiently(self, attempt: Callable[[], T]) -> T:
        """What `attempt` returns, tried again where it raises Passing. Raises InputError at the end."""
        for number in range(1, self.patience.retries + 2):
            try:
                return attempt()
            except Passing as trouble:
                if number > self.patience.retries:
                    raise InputError(f"{trouble} ({number} attempts)") from None
                self.rest(number, trouble.wait_s)
        raise AssertionError("unreachable")

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The JSON answer's `data`. Raises InputError where the server does not give one."""

        def attempt() -> dict[str, Any]:
            with self.answer("POST", path, json=body) as found:
                value: object = found.json()
            data = cast(dict[str, Any], value).get("data") if isinstance(value, dict) else None
            if not isinstance(data, dict):
                raise InputError(f"{self.url}/{path}: an answer without `data`; is it a GDC server?")
            return cast(dict[str, Any], data)

        return self.patiently(attempt)

    def hits(
        self, endpoint: str, filters: dict[str, Any], fields: Sequence[str], order: str
    ) -> Iterator[dict[str, Any]]:
        """Every hit of a filter, page after page, in the order of the unique field `order`.

        Raises:
            InputError: the server gives no answer, or the pages do not add up to the total that it states.
        """
        body = {"filters": filters, "fields": ",".join(fields), "format": "JSON", "sort": f"{order}:asc"}
        seen: set[str] = set()
        totals: set[int] = set()
        start = 0
        while not totals or start < max(totals):
            data = self.post(endpoint, {**body, "size": PAGE, "from": start})
            found: list[dict[str, Any]] = data["hits"]
            totals.add(int(data["pagination"]["total"]))
            seen.update(str(hit[order]) for hit in found)
            start += len(found)
            yield from found
            if not found:
                break
        if len(totals) > 1 or not start == len(seen) == max(totals):
            raise InputError(
                f"{self.url}/{endpoint}: {start} hits, {len(seen)} different, of {sorted(totals)} stated; "
                f"the list changed while it was read: run again"
            )


def told_wait(header: str | None) -> float | None:
    """The seconds that a Retry-After header asks for: a number, or a date (RFC 9110, 10.2.3)."""
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


def _short(error: Exception) -> str:
    """What went wrong, in a few words."""
    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, requests.Timeout) or "Read timed out" in str(error):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return f"the secure connection failed ({str(error)[:150]})"
    if isinstance(error, requests.exceptions.JSONDecodeError):
        return "the answer is not JSON"
    if isinstance(error, requests.ConnectionError | urllib3.exceptions.HTTPError):
        return "not reached, or the connection broke"
    return f"{type(error).__name__}: {str(error)[:150]}"
