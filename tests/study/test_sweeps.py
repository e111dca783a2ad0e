"""Classes of patterns and their spread over seeds against plain loops; ticks of a sweep that can be read."""

import numpy as np
import pandas as pd
import pytest

from prime.study.ablations import class_means, class_spread
from prime.study.sweeps import _ticks

PATTERNS = {
    "all": ["all"],
    "leave one out": ["-image", "-rna", "-report"],
    "only one": ["image", "rna", "report"],
}


@pytest.fixture
def scores() -> pd.DataFrame:
    """Two arms, two cohorts of three folds, three seeds, every pattern."""
    rng = np.random.default_rng(8)
    return pd.DataFrame(
        [
            {"arm": arm, "task": "os", "cohort": cohort, "fold": fold, "seed": seed, "pattern": pattern,
             "value": rng.uniform(0.4, 0.8), "n": 20, "events": 5, "pairs": None, "note": None}
            for arm in ("bank=16", "bank=128")
            for cohort in ("A", "B")
            for fold in range(3)
            for seed in range(3)
            for names in PATTERNS.values()
            for pattern in names
        ]
    )  # fmt: skip


def of_seed(scores: pd.DataFrame, arm: str, seed: int) -> dict[str, float]:
    """The class means of one arm and seed, cohort by cohort."""
    found: dict[str, float] = {}
    for name, patterns in PATTERNS.items():
        macro: list[float] = []
        for pattern in patterns:
            rows = scores[(scores["arm"] == arm) & (scores["seed"] == seed) & (scores["pattern"] == pattern)]
            macro.append(float(np.mean([rows.loc[rows["cohort"] == c, "value"].mean() for c in "AB"])))
        found[name] = float(np.mean(macro))
    return found | {"mean": float(np.mean(list(found.values())))}


def test_class_means_and_spread_against_a_loop(scores: pd.DataFrame) -> None:
    means, spread = class_means(scores), class_spread(scores)
    assert spread.shape == means.shape == (2, 4)
    for arm in ("bank=16", "bank=128"):
        seeds = pd.DataFrame([of_seed(scores, arm, seed) for seed in range(3)])
        for name in seeds:
            assert means[name][arm, "os"] == pytest.approx(seeds[name].mean())
            assert spread[name][arm, "os"] == pytest.approx(seeds[name].std(ddof=1))


def test_one_seed_has_no_spread(scores: pd.DataFrame) -> None:
    assert class_spread(scores[scores["seed"] == 1]).isna().all(axis=None)


def test_ticks_beside_the_value_in_use_give_way() -> None:
    assert _ticks([0.0, 0.25, 0.5, 0.714, 0.75, 1.0], 5 / 7, log=False) == [0.0, 0.25, 0.5, 0.714, 1.0]
    assert _ticks([0.0, 0.5, 1.0], 0.5, log=False) == [0.0, 0.5, 1.0]
    assert _ticks([16.0, 32.0, 512.0], 32.0, log=True) == [16.0, 32.0, 512.0]
