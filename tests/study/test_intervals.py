"""Bounds and the worth of tests on held-out predictions of simulated patients whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from prime.evaluation.missingness import patterns
from prime.study.intervals import bounds_of, coverage, label_coverage, read_curves
from prime.study.next_test import log_hazards, pairs, worth

PATTERNS = patterns(["image", "rna"])
ENDS = (200.0, 500.0, 1000.0, 2000.0)
RATE = 1 / 1500


def held_out(count: int = 3000, binary: bool = False) -> pd.DataFrame:
    """Two cohorts, five folds; rna tells half of the risk, image a quarter, and a third lack the image."""
    rng = np.random.default_rng(0)
    image, rna, rest = rng.normal(size=(3, count))
    line = 0.5 * image + 0.7 * rna + 0.5 * rest
    death, end = rng.exponential(1 / RATE / np.exp(line)), rng.exponential(3000, count)
    facts = pd.DataFrame(
        {"patient_id": [f"p{i}" for i in range(count)], "cohort": rng.choice(["A", "B"], count), "seed": 0,
         "fold": np.arange(count) % 5, "time_days": np.minimum(death, end), "event": death <= end}
    )  # fmt: skip
    if binary:
        facts["event"] = death <= 1000
    has = {"image": rng.random(count) < 2 / 3, "rna": np.ones(count, dtype=bool)}
    parts = {"image": 0.5 * image, "rna": 0.7 * rna}
    frames: list[pd.DataFrame] = []
    for name, keep in PATTERNS.items():
        seen = [m for m, flag in zip(parts, keep, strict=True) if flag]
        some = np.logical_or.reduce([has[m] for m in seen])
        risk = np.sum([np.where(has[m], parts[m], 0.0) for m in seen], axis=0)
        own = facts[some].assign(pattern=name, risk=risk[some])
        ends = (1000.0,) if binary else (*ENDS[:-1], np.inf)
        for k, edge in enumerate(ends):
            at = edge if np.isfinite(edge) else ENDS[-1]
            own[f"edge_days_{k + 1}"] = edge
            own[f"survival_{k + 1}"] = np.exp(-RATE * at * np.exp(risk[some]))
        frames.append(own)
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def survival() -> pd.DataFrame:
    return held_out()


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_bounds_calibrated_by_pattern_are_kept(survival: pd.DataFrame, level: float) -> None:
    found = coverage(survival, level).set_index(["pattern", "calibrated"])
    assert set(found.index.get_level_values("pattern")) == set(PATTERNS)
    kept = found.xs("by pattern", level="calibrated")["covered"]
    assert (abs(kept - level) < 0.02).all()
    assert found.loc[("image", "by pattern"), "n"] == (survival["pattern"] == "image").sum()
    wider = found.xs("by pattern", level="calibrated")["width"]
    assert (wider > 0).all()


def test_a_fold_does_not_calibrate_its_own_bounds(survival: pd.DataFrame) -> None:
    own = survival[survival["pattern"] == "all"].reset_index(drop=True)
    changed = own.copy()
    first = own["fold"] == 0
    changed.loc[first, "time_days"] = 1.0
    changed.loc[first, "event"] = True
    before, after = bounds_of(own, 0.9, own), bounds_of(changed, 0.9, changed)
    # The hazard at the last time is part of a curve's open end alone.
    np.testing.assert_allclose(before[first], after[first], rtol=1e-6)
    assert (before[~first] > after[~first]).all()


def test_curves_rise_between_their_ends(survival: pd.DataFrame) -> None:
    own = survival[survival["pattern"] == "all"].head(3)
    curves = read_curves(own)
    risk = own["risk"].to_numpy()
    np.testing.assert_allclose(curves.height(np.full(3, 350.0)), RATE * 350 * np.exp(risk), rtol=1e-6)
    np.testing.assert_allclose(curves.height(curves.reach(0.01)), 0.01)
    np.testing.assert_allclose(np.diff(log_hazards(own)), np.diff(risk))


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_possible_labels_hold_the_true_one(level: float) -> None:
    found = label_coverage(held_out(binary=True), level).set_index(["pattern", "calibrated"])
    kept = found.xs("by pattern", level="calibrated")
    assert (abs(kept["covered"] - level) < 0.025).all()
    assert kept.loc["all", "width"] >= kept.loc["image", "width"]


def test_what_a_test_adds_is_predicted_and_real(survival: pd.DataFrame) -> None:
    found = {(pair.without, pair.having): worth(pair) for pair in pairs(survival, PATTERNS)}
    assert set(found) == {("image", "all"), ("rna", "all")}
    for row in found.values():
        assert row is not None
        assert row["n"] == (survival["pattern"] == "image").sum()  # nobody lacks rna
        assert 0.95 < float(str(row["spread"])) < 1.05
        assert abs(float(str(row["inside"])) - 0.8) < 0.03
        nobody, chance, chosen, everybody = (
            float(str(row[way])) for way in ("nobody", "random", "crossing", "everybody")
        )
        assert nobody < everybody
        assert max(chance, chosen) < everybody
    rna = found["image", "all"]  # which tells most of the risk, so that choosing by it pays
    assert rna is not None
    assert float(str(rna["random"])) < float(str(rna["crossing"]))


def test_few_patients_tell_nothing_of_a_test(survival: pd.DataFrame) -> None:
    few = survival[survival["patient_id"].isin(["p0", "p1", "p2"])]
    assert all(worth(pair) is None for pair in pairs(few, PATTERNS))
