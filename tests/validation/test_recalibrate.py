"""Recalibration to local patients: its numbers, what it leaves as it is, and when it is refused."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prime.cli import main
from prime.errors import InputError
from prime.evaluation.horizon_scores import observed_expected
from prime.predict.model_folder import load_model
from prime.predict.predict import score_patients
from prime.validation.labelled import Labelled, read_labelled
from prime.validation.recalibrate import fit_recalibration, isotonic_map, recalibrate
from tests.validation.conftest import Work

RANKS = ["risk", "percentile"]


def command(work: Work, out: Path, *more: str) -> list[str]:
    words = ["recalibrate", "--model", str(work.model_dir), "--cohort", str(work.cohort), "--out", str(out)]
    return [*words, "--store", str(work.store.path), "--threads", "1", *more]


@pytest.mark.parametrize("method", ["intercept", "slope"])
def test_the_new_folder_predicts_with_other_survival_and_the_same_order(
    work: Work, tmp_path: Path, method: str
) -> None:
    assert main(command(work, tmp_path / "new", "--method", method)) == 0
    new = load_model(tmp_path / "new")
    assert new.recalibration is not None
    before, after = score_patients(work.model, work.store).patients, score_patients(new, work.store).patients
    pd.testing.assert_frame_equal(before[RANKS], after[RANKS])
    assert before.columns.tolist() == after.columns.tolist()
    days = [name for name in before if re.fullmatch(r"survival_[\d.]+m", str(name))]
    old, bent = before[days].to_numpy(dtype=float), after[days].to_numpy(dtype=float)
    assert (np.isnan(old) == np.isnan(bent)).all()
    assert np.nanmax(np.abs(old - bent)) > 1e-3
    assert (np.diff(bent, axis=1)[~np.isnan(bent[:, 1:])] <= 0).all()


def test_events_expected_become_those_observed(work: Work, tmp_path: Path) -> None:
    recalibrate(work.model_dir, work.store, tmp_path / "new", "intercept")
    labelled = read_labelled(load_model(tmp_path / "new"), work.store)
    _, event, own = labelled.followed()
    old_event, old_own = read_labelled(work.model, work.store).followed()[1:]
    off = abs(-np.log(own).sum() / event.sum() - 1)
    assert off < 0.03  # exact at the days of the curve, nearly so in between
    assert off < abs(-np.log(old_own).sum() / old_event.sum() - 1)


def test_a_recalibrated_folder_is_whole_and_is_not_recalibrated_again(work: Work, tmp_path: Path) -> None:
    out = tmp_path / "new"
    recalibrate(work.model_dir, work.store, out)
    with pytest.raises(InputError, match="recalibrated already"):
        recalibrate(out, work.store, tmp_path / "third")
    with pytest.raises(InputError, match="holds something"):
        recalibrate(work.model_dir, work.store, out)
    text = (out / "recalibration.json").read_text(encoding="utf-8")
    (out / "recalibration.json").write_text(text.replace("slope", "slop", 1), encoding="utf-8")
    with pytest.raises(InputError, match=r"damaged model folder: recalibration\.json"):
        load_model(out)


def test_too_few_events_are_refused_with_what_would_do(
    work: Work, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(work, tmp_path / "new", "--method", "isotonic")) == 2
    message = capsys.readouterr().err
    assert "at least 100 are needed" in message
    assert "--method" in message
    assert not (tmp_path / "new").exists()
    few = read_labelled(work.model, work.store)
    few = replace(few, event=few.event & (np.arange(len(few.event)) < 20))
    with pytest.raises(InputError, match="gather more patients"):
        fit_recalibration(few, "intercept", "x")


def test_a_model_that_ranks_the_wrong_way_round_is_not_recalibrated(work: Work) -> None:
    labelled = read_labelled(work.model, work.store)
    order, back = np.argsort(labelled.risk), np.argsort(-labelled.risk)
    table = labelled.table.copy()
    table.iloc[order] = table.iloc[back].to_numpy()
    days = [name for name in table if re.fullmatch(r"survival_[\d.]+m", str(name))]
    table[days] = table[days].astype(float)
    wrong = Labelled(labelled.task, table, labelled.rows, 50 + 100 * order.argsort(), np.ones(140, bool), {})
    right = replace(wrong, table=labelled.table, time=3000.0 - 20 * np.argsort(order))
    assert fit_recalibration(right, "slope", "x").slope > 0
    with pytest.raises(InputError, match="the lower their predicted risk"):
        fit_recalibration(replace(right, time=100.0 + 20 * np.argsort(order)), "slope", "x")


def test_a_binary_model_gets_other_probabilities(work: Work, tmp_path: Path) -> None:
    found = recalibrate(work.binary_dir, work.store, tmp_path / "new", "intercept", ("C",))
    assert found.horizon_days == 400
    before = score_patients(load_model(work.binary_dir), work.store).patients
    after = score_patients(load_model(tmp_path / "new"), work.store).patients
    pd.testing.assert_frame_equal(before[RANKS], after[RANKS])
    odds = [p["probability"] / (1 - p["probability"]) for p in (before, after)]
    np.testing.assert_allclose(odds[1] / odds[0], np.exp(found.intercept))
    labelled = read_labelled(load_model(tmp_path / "new"), work.store)
    known = (labelled.time > 400) | labelled.event
    share = (labelled.event & (labelled.time <= 400))[known].mean()
    assert labelled.chance(400)[known].mean() == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize("binary", [False, True])
def test_isotonic_maps_calibrate_at_their_horizons(work: Work, binary: bool) -> None:
    """Many copies of the patients, with times drawn anew, are enough for the method."""
    model = load_model(work.binary_dir) if binary else work.model
    few = read_labelled(model, work.store)
    rng, many = np.random.default_rng(0), np.tile(np.arange(len(few.time)), 8)
    chance = few.chance(400 if binary else 365.25)[many]
    time = rng.exponential(365 / -np.log1p(-np.sqrt(chance)))
    censored = rng.exponential(1500, len(many))
    labelled = Labelled(
        few.task, few.table.iloc[many].reset_index(drop=True), few.rows[many], np.minimum(time, censored),
        time <= censored, {},
    )  # fmt: skip
    found = fit_recalibration(labelled, "isotonic", "x")
    assert len(found.maps) == (1 if binary else 2)
    days = found.maps[0].horizon_days
    before, _ = labelled.cases(days)
    bent = replace(before, chance=found.maps[0](before.chance))
    assert observed_expected(bent).value == pytest.approx(1, abs=0.05)
    assert abs(observed_expected(before).value - 1) > 0.2
    assert (np.diff(found.maps[0].observed) >= 0).all()
    assert min(found.maps[0].observed) > 0
    assert max(found.maps[0].observed) < 1
    edges, curve = (np.array([-np.inf, np.inf]), 1 - chance[:, None]) if binary else _curve(few)
    bent_curve = found(edges, curve)
    assert (np.diff(bent_curve, axis=1) <= 1e-12).all()


def _curve(labelled: Labelled) -> tuple[np.ndarray, np.ndarray]:
    from prime.validation.labelled import curves

    ((_, edges, curve),) = curves(labelled.table)
    return edges, curve


def test_an_isotonic_map_pools_those_out_of_order() -> None:
    time = np.array([1.0, 9.0, 1.0, 9.0, 1.0, 1.0])
    found = isotonic_map(time, time < 5, np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), 5.0)
    chance = found(np.array([0.1, 0.2, 0.3, 0.4, 0.55]))
    np.testing.assert_allclose(chance, [0.5, 0.5, 0.5, 0.5, 1 - 1 / 12])
