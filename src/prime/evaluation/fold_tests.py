"""Is one method better than another over folds: a corrected t test and Wilcoxon's signed-rank test.

Where a figure is undefined it is NaN with the reason. Folds of one cross-validation share training patients
and are not independent, so these tests say less than their number of folds suggests; `corrected_paired_test`
allows for it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NAN = float("nan")


@dataclass(frozen=True)
class PairedTest:
    """A test of whether paired differences centre on 0.

    Attributes:
        mean: mean difference; NaN where there is none.
        low, high: interval of the mean; NaN for a rank test, which gives none.
        statistic: t, or the smaller of Wilcoxon's rank sums.
        p_value: two-sided.
        n: pairs used.
        undefined: pairs left out because a value was NaN.
        reason: why the p value is NaN; None where it is defined.
    """

    mean: float
    low: float
    high: float
    statistic: float
    p_value: float
    n: int
    undefined: int
    reason: str | None = None


def corrected_paired_test(
    differences: NDArray[np.floating], test_share: float, level: float = 0.95
) -> PairedTest:
    """Student's t test over folds, its variance enlarged because folds share training patients.

    The variance of the mean of k differences is taken as (1/k + test/train) times their sample variance, with
    k - 1 degrees of freedom. Source: Nadeau & Bengio, "Inference for the generalization error", Machine
    Learning 2003.

    Args:
        differences: (k,) a less b, one a fold (repeat); NaN is left out and counted.
        test_share: test patients over test and training patients together, in (0, 1): 0.2 for five folds.
            Validation patients count on neither side.
        level: coverage of the interval, in (0, 1).

    Returns:
        The test; NaN with a reason for fewer than two differences, or for equal ones other than 0. Where all
        are 0 the p value is 1.

    Raises:
        ValueError: differences not one vector or infinite, test_share or level outside (0, 1).
    """
    if not 0.0 < test_share < 1.0 or not 0.0 < level < 1.0:
        raise ValueError(f"test_share and level must be in (0, 1), found {test_share} and {level}")
    values, undefined = _defined(np.asarray(differences, dtype=np.float64))
    n = len(values)
    mean = float(values.mean()) if n else _NAN
    if n < 2:
        return PairedTest(mean, _NAN, _NAN, _NAN, _NAN, n, undefined, "fewer than two differences")
    if not values.any():
        return PairedTest(0.0, 0.0, 0.0, 0.0, 1.0, n, undefined)
    variance = float(values.var(ddof=1))
    if np.ptp(values) == 0.0 or variance == 0.0:
        return PairedTest(mean, _NAN, _NAN, _NAN, _NAN, n, undefined, "all differences are equal")
    from scipy.stats import t

    error = float(np.sqrt((1.0 / n + test_share / (1.0 - test_share)) * variance))
    reach = float(t.ppf((1.0 + level) / 2.0, n - 1)) * error
    p_value = float(2.0 * t.sf(abs(mean) / error, n - 1))
    return PairedTest(mean, mean - reach, mean + reach, mean / error, p_value, n, undefined)


def wilcoxon_folds(a: NDArray[np.floating], b: NDArray[np.floating]) -> PairedTest:
    """Wilcoxon's signed-rank test over cohort-folds, two-sided; pairs with equal values say nothing.

    The p value is exact for up to 50 differences without ties or zeros (13 with them), else by the normal
    approximation. Source: Wilcoxon, "Individual comparisons by ranking methods", Biometrics 1945.

    Args:
        a, b: (k,) values of the two methods on the same cohort-folds; pairs with a NaN are left out and
            counted.

    Returns:
        The test; NaN with a reason where there is no pair. Where all pairs are equal the p value is 1.

    Raises:
        ValueError: shapes that disagree, or an infinite value.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"a {first.shape} must be as long as b {second.shape}")
    values, undefined = _defined(first - second)
    n = len(values)
    if not n:
        return PairedTest(_NAN, _NAN, _NAN, _NAN, _NAN, 0, undefined, "no pair with both values")
    if not values.any():
        return PairedTest(0.0, _NAN, _NAN, 0.0, 1.0, n, undefined)
    from scipy.stats import wilcoxon

    found: Any = wilcoxon(values, zero_method="wilcox", alternative="two-sided", method="auto")
    statistic, p_value = float(found.statistic), float(found.pvalue)
    return PairedTest(float(values.mean()), _NAN, _NAN, statistic, p_value, n, undefined)


def _defined(differences: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    if differences.ndim != 1 or np.isinf(differences).any():
        raise ValueError(f"need one vector without infinite values, found shape {differences.shape}")
    values = differences[~np.isnan(differences)]
    return values, len(differences) - len(values)
