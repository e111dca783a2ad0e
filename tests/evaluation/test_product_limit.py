"""The product-limit curve of events and of censorings, against scikit-survival and by hand."""

import numpy as np
from sksurv.nonparametric import kaplan_meier_estimator

from prime.evaluation.product_limit import product_limit
from tests.evaluation.every_seed import every_seed


def outcomes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Tied times; from hardly any events to hardly any censoring, and every seventh without one of them."""
    generator = np.random.default_rng(seed)
    n = int(generator.integers(1, 40))
    time = generator.integers(1, int(generator.integers(2, 50)), n).astype(float)
    share = float(seed % 2) if seed % 7 == 0 else generator.random()
    return time, generator.random(n) < share


@every_seed(30)
def test_curve_equals_scikit_survival(seed: int) -> None:
    time, event = outcomes(seed)
    found = product_limit(time, event)
    times, curve = kaplan_meier_estimator(event, time)
    np.testing.assert_array_equal(found.times, times)
    np.testing.assert_allclose(found.curve, curve, atol=1e-12)
    after = found.at(np.array([0.0, time.max(), time.max() + 1]))
    assert after[0] == 1.0
    assert after[1] == found.curve[-1]
    np.testing.assert_equal(after[2], 0.0 if found.curve[-1] == 0 else np.nan)


def test_censorings_leave_after_the_events_of_their_time() -> None:
    """Events at 1 and 2, censored at 2 and 3: two are at risk of censoring at 2, one at 3."""
    found = product_limit(
        np.array([1.0, 2.0, 2.0, 3.0]), np.array([True, True, False, False]), censoring=True
    )
    assert found.times.tolist() == [1.0, 2.0, 3.0]
    assert found.curve.tolist() == [1.0, 0.5, 0.0]
    assert found.variance.tolist() == [0.0, 0.5, np.inf]
    assert found.at(np.array([0.5, 1.9, 2.0, 2.5, 9.0])).tolist() == [1.0, 1.0, 0.5, 0.5, 0.0]


def test_of_nobody_nothing_is_known() -> None:
    nobody = product_limit(np.zeros(0), np.zeros(0, dtype=bool))
    assert np.isnan(nobody.at(np.array([0.0, 1.0]))).all()
