"""Recalibration to local patients: its numbers, what it leaves as it is, and when it is refused."""

import json
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
from prime.predict.recalibration import Method
from prime.validation.labelled import Labelled, read_labelled
from prime.validation.performance import Draws
from prime.validation.recalibrate import fit_recalibration, isotonic_map, recalibrate
from prime.validation.validate import validate
from tests.validation.conftest import Work


def command(work: Work, out: Path, *more: str) -> list[str]:
    words = ["recalibrate", "--model", str(work.model_dir), "--cohort", str(work.cohort), "--out", str(out)]
    return [*words, "--store", str(work.store.path), "--threads", "1", *more]


@pytest.mark.parametrize("method", ["intercept", "slope"])
def test_the_new_folder_predicts_with_other_survival_and_the_same_order(
    work: Work, tmp_path: Path, method: str
) -> None:
    assert main(command(work, tmp_path / "new", "--method", method)) == 0
    new = load_model(tmp_path / "new")
    facts = new.checkpoint.manifest["recalibration"]
    assert facts["patients"] == 140
    before = score_patients(work.model, work.store, any_type=True).patients
    after = score_patients(new, work.store, any_type=True).patients
    assert before.columns.tolist() == after.columns.tolist()
    risks = facts["slope"] * before["risk"]
    np.testing.assert_allclose(after["risk"], risks, atol=0.2)  # softened beyond training patients
    np.testing.assert_allclose(after["percentile"], before["percentile"], atol=2)
    hazard = [-np.log(table["survival_12m"]) for table in (before, after)]
    ratio = np.exp(facts["intercept"] + after["risk"] - before["risk"])
    np.testing.assert_allclose(hazard[1], hazard[0] * ratio, rtol=1e-6)
    assert abs(facts["intercept"]) > 1e-3
    for low, high in (("risk_low", "risk_high"), ("survival_12m_low", "survival_12m_high")):
        assert (after[low] <= after[high]).all()


@pytest.mark.parametrize("method", ["intercept", "slope"])
def test_events_expected_become_those_observed(work: Work, tmp_path: Path, method: Method) -> None:
    frame = work.store.patients
    harsher = replace(work.store, patients=frame.assign(os_time_days=0.6 * frame["os_time_days"]))
    recalibrate(work.model_dir, harsher, tmp_path / "new", method)
    _, event, expected = read_labelled(load_model(tmp_path / "new"), harsher).followed()
    assert expected.sum() == pytest.approx(event.sum(), rel=0.02)
    _, old_event, old = read_labelled(work.model, harsher).followed()
    assert old.sum() < 0.8 * old_event.sum()


def test_a_recalibrated_folder_is_whole_and_is_not_recalibrated_again(work: Work, tmp_path: Path) -> None:
    out = tmp_path / "new"
    recalibrate(work.model_dir, work.store, out)
    with pytest.raises(InputError, match="recalibrated already"):
        recalibrate(out, work.store, tmp_path / "third")
    with pytest.raises(InputError, match="holds something"):
        recalibrate(work.model_dir, work.store, out)
    whole = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "manifest.json").unlink()  # as a kill before the end leaves it
    recalibrate(work.model_dir, work.store, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == whole
    validate(out, work.store, tmp_path / "val", (1,), draws=Draws(0))
    notes = json.loads((tmp_path / "val" / "performance" / "manifest.json").read_text(encoding="utf-8"))
    assert any("recalibrated on 140 of these" in note for note in notes["notes"])


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
    place = np.argsort(np.argsort(labelled.risk))
    everyone = np.ones(140, dtype=bool)
    right = replace(labelled, time=500.0 - 3 * place, event=everyone)
    assert fit_recalibration(right, "slope", "x")[0].slope > 0
    with pytest.raises(InputError, match="the lower their predicted risk"):
        fit_recalibration(replace(right, time=80.0 + 3 * place), "slope", "x")


def test_a_binary_model_gets_other_probabilities(work: Work, tmp_path: Path) -> None:
    found = recalibrate(work.binary_dir, work.store, tmp_path / "new", "intercept", ("C",))
    before = score_patients(load_model(work.binary_dir), work.store, any_type=True).patients
    after = score_patients(load_model(tmp_path / "new"), work.store, any_type=True).patients
    np.testing.assert_allclose(before["risk"], after["risk"])
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
    days = 400 if binary else 365.25
    rng, many = np.random.default_rng(0), np.tile(np.arange(140), 8)
    time = rng.exponential(days / -np.log1p(-np.sqrt(few.chance(days)[many])))
    censored = rng.exponential(1500, len(many))
    labelled = Labelled(
        model, few.table.iloc[many].reset_index(drop=True), few.rows[many], np.minimum(time, censored),
        time <= censored, {},
    )  # fmt: skip
    found, prognosis = fit_recalibration(labelled, "isotonic", "x")
    assert found.map_days[0] == days
    new = replace(model, prognosis=prognosis)
    bent = score_patients(new, work.store, any_type=True).patients
    names = [name for name in bent if str(name).startswith(("risk", "percentile", "why_"))]
    before, _ = labelled.cases(days)
    pd.testing.assert_frame_equal(
        bent[names], score_patients(model, work.store, any_type=True).patients[names]
    )
    table = bent.iloc[labelled.rows].reset_index(drop=True)
    after, _ = replace(labelled, model=new, table=table).cases(days)
    assert observed_expected(after).value == pytest.approx(1, abs=0.05)
    assert abs(observed_expected(before).value - 1) > 0.2
    if not binary:
        curve = bent[["survival_12m", "survival_36m"]].to_numpy()
        assert (curve[:, 0] >= curve[:, 1]).all()
        half = bent["median_months"] < 12
        assert half.any()
        assert (bent.loc[half, "survival_12m"] <= 0.5 + 1e-9).all()
        assert (bent.loc[bent["median_months"] > 12, "survival_12m"] >= 0.5 - 1e-9).all()


def test_an_isotonic_map_pools_those_out_of_order() -> None:
    time = np.array([1.0, 9.0, 1.0, 9.0, 1.0, 1.0])
    found = isotonic_map(time, time < 5, np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), 5.0)
    chance = found(np.array([0.1, 0.2, 0.3, 0.4, 0.55]))
    np.testing.assert_allclose(chance, [0.5, 0.5, 0.5, 0.5, 1 - 1 / 12])
