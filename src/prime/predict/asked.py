"""What a table of predictions shall say."""

from dataclasses import dataclass

import numpy as np

from prime.arrays import Floats
from prime.days import MONTH
from prime.errors import InputError


@dataclass(frozen=True)
class Asked:
    """The horizons and levels of predictions.

    Attributes:
        months: at which survival is given, rising.
        level: of intervals, and of the months that are outlived, in (0, 1).
        threshold: the probability of the event at which a decision turns; None for the average of the type.
        decision_months: by which an event counts for a decision; None for the middle of `months`.

    Raises InputError for values that no table can be made of.
    """

    months: tuple[float, ...] = (12.0, 36.0, 60.0)
    level: float = 0.9
    threshold: float | None = None
    decision_months: float | None = None

    def __post_init__(self) -> None:
        if not self.months or min(self.months) <= 0 or list(self.months) != sorted(set(self.months)):
            raise InputError(
                f"--horizons {' '.join(f'{m:g}' for m in self.months)}: give months, rising from 0"
            )
        if not 0 < self.level < 1:
            raise InputError(f"--level {self.level:g}: give a probability between 0 and 1, such as 0.9")
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise InputError(f"--threshold {self.threshold:g}: give a probability between 0 and 1")

    @property
    def days(self) -> Floats:
        """The months in days."""
        return np.array(self.months) * MONTH

    @property
    def decision_days(self) -> Floats:
        """(1,) by which an event counts for a decision."""
        middle = self.months[len(self.months) // 2]
        return np.array([middle if self.decision_months is None else self.decision_months]) * MONTH

    @property
    def outlived(self) -> str:
        """The column of the months that are outlived with the probability `level`."""
        return f"outlives_{100 * self.level:g}_months"
