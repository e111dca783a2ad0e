"""One ridge over several groups: shared weights and each group's own deviation, in closed form.

A group (a cohort) gives the score u and the information H of its log likelihood at zero weights; the log
likelihood is taken as u'w - w'Hw / 2, so the fit is one Newton step from zero. Sums of scores and
informations of several endpoints are the score and information of their weighted sum. The fit maximises

    sum over groups c of  u_c'(w + d_c) - (w + d_c)' H_c (w + d_c) / 2
    - shared / 2 * w'Pw - deviation / 2 * sum over c of d_c'P d_c,     P = diag(1 / scale^2).

Source: Efron and Morris, "Stein's estimation rule and its competitors", JASA 1973, for the idea of shrinking
groups towards what they share; le Cessie and van Houwelingen 1992 for the penalties.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from prime.arrays import Flags, Floats
from prime.evaluation.cox import partial_likelihood


@dataclass(frozen=True)
class Evidence:
    """What the labels of a group say of p weights, near zero: score (p,) and information (p, p)."""

    score: Floats
    information: Floats

    def __add__(self, other: "Evidence") -> "Evidence":
        return Evidence(self.score + other.score, self.information + other.information)

    def times(self, weight: float) -> "Evidence":
        """The evidence counted `weight` times."""
        return Evidence(weight * self.score, weight * self.information)


def cox_evidence(x: Floats, time: Floats, event: Flags, entry: Floats | None = None) -> Evidence:
    """Of features x (n, p) on the time to an event, times and events (n,); none where nobody has an event.

    entry (n,): delayed entry, before the time.
    """
    if not event.any():
        return no_evidence(x.shape[1])
    found = partial_likelihood(x, time, event, entry=entry)(np.zeros(x.shape[1]))
    return Evidence(found.gradient, found.information)


def logistic_evidence(x: Floats, label: Flags) -> Evidence:
    """Of features x (n, p) on a label (n,), the intercept at its maximum; none where all labels agree."""
    if label.all() or not label.any():
        return no_evidence(x.shape[1])
    centred, chance = x - x.mean(axis=0), label.mean()
    return Evidence(centred.T @ (label - chance), chance * (1 - chance) * centred.T @ centred)


def no_evidence(size: int) -> Evidence:
    """Of a group without labels."""
    return Evidence(np.zeros(size), np.zeros((size, size)))


def own_weights(evidence: Evidence, penalty: float, scale: Floats) -> Floats:
    """Weights (p,) of one group alone; `scale` (p,) above zero."""
    return _solve(evidence.information + np.diag(penalty / scale**2), evidence.score)


def shared_weights(
    groups: dict[str, Evidence], shared: float, deviation: float, scale: Floats
) -> tuple[Floats, dict[str, Floats]]:
    """The shared weights (p,), and shared weights plus deviation (p,) of every group.

    `shared`, `deviation`: penalties, above zero; `scale` (p,) above zero.
    """
    prior = np.diag(1 / scale**2)
    left, right = shared * prior, np.zeros(len(scale))
    solved: dict[str, tuple[Floats, Floats]] = {}
    for name, group in groups.items():
        own = _solve(
            group.information + deviation * prior, np.column_stack([group.score, group.information])
        )  # (p, 1 + p)
        solved[name] = own[:, 0], own[:, 1:]
        left = left + group.information - group.information @ own[:, 1:]
        right = right + group.score - group.information @ own[:, 0]
    weight = _solve(left, right)
    return weight, {name: weight + own - pull @ weight for name, (own, pull) in solved.items()}


def _solve(left: Floats, right: Floats) -> Floats:
    """left @ x = right for a symmetric positive definite matrix."""
    return cho_solve(cho_factor(left), right)
