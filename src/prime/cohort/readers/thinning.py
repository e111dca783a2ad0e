"""Thinning a patient's tokens to a limit, the same way on every run."""

import numpy as np
from numpy.typing import NDArray


class Thinning:
    """Cuts patients' rows to a limit, and counts what that leaves out."""

    def __init__(self, limit: int) -> None:
        self.limit, self.patients, self.lengths = limit, 0, list[int]()

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """At most `limit` of the rows (n, d)."""
        self.patients += 1
        if len(rows) > self.limit:
            self.lengths.append(len(rows))
        return thin(rows, self.limit)

    def notes(self) -> list[str]:
        """Which share is kept, and what can be done; nothing where nobody was thinned."""
        if not self.lengths:
            return []
        kept = 100 * self.limit * len(self.lengths) / sum(self.lengths)
        return [
            f"{len(self.lengths):,} of {self.patients:,} patients had more than {self.limit} tokens "
            f"({np.median(self.lengths):,.0f} in the median): {self.limit} of each are kept, spaced evenly, "
            f"{kept:.1f} % of theirs; keep more with max_tokens, or cluster "
            f"the tiles first (prime encode slides FOLDER --out OTHER)"
        ]


def thin(rows: NDArray[np.float32], limit: int) -> NDArray[np.float32]:
    """At most `limit` of the rows (n, d), evenly spaced from the first to the last."""
    if len(rows) <= limit:
        return rows
    return rows[np.linspace(0, len(rows) - 1, limit).round().astype(np.int64)]
