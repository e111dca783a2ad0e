"""What a service takes at most, and the work that it has in hand."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from starlette.exceptions import HTTPException

MEGABYTE = 2**20

_T = TypeVar("_T")


@dataclass(frozen=True)
class Limits:
    """Bounds of a service.

    Attributes:
        body: bytes of a request.
        seconds: for reading a request, and again for its answer.
        workers: requests that are computed at once.
        waiting: requests that wait for a worker.
        patients: of a request.
    """

    body: int = 16 * MEGABYTE
    seconds: float = 30.0
    workers: int = 1
    waiting: int = 64
    patients: int = 1000


class Desk:
    """Does work in threads, so many at once, and refuses what would wait too long."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="prime-serve")
        self.in_hand = 0  # waiting or computed; a timed-out computation counts until it ends

    async def do(self, work: Callable[[], _T]) -> _T:
        """The result of `work`. Raises HTTPException 503 where too much waits or it takes too long."""
        if self.in_hand >= self.limits.workers + self.limits.waiting:
            raise HTTPException(
                503, f"{self.in_hand} requests are in hand; try again later", headers={"Retry-After": "1"}
            )
        self.in_hand += 1
        loop = asyncio.get_running_loop()
        future = self.pool.submit(work)
        future.add_done_callback(lambda _: self._leave(loop))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.limits.seconds)
        except TimeoutError:  # work that has not begun is left out; what runs ends unseen
            raise HTTPException(
                503,
                f"no answer within {self.limits.seconds:g} seconds; send fewer patients, or try again later",
                headers={"Retry-After": "5"},
            ) from None

    def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._left)

    def _left(self) -> None:
        self.in_hand -= 1

    def close(self) -> None:
        """Wait for what is in hand."""
        self.pool.shutdown(wait=True)
