"""A model fitted on some cancer types is validated on another: what is counted, judged, written and drawn."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter
from lifelines.utils import concordance_index

from prime.cli import main
from prime.errors import InputError
from prime.predict.model_folder import load_model
from prime.predict.predict import score_patients
from prime.validation.labelled import SERVED, from_landmark, read_labelled
from prime.validation.performance import Draws, horizon_name
from prime.validation.validate import usable_horizons, validate
from tests.validation.conftest import Work, with_covariates

YEAR = 365.25


@pytest.fixture(scope="module")
def out(work: Work, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    store = replace(work.store, patients=with_covariates(work.store))
    validate(work.model_dir, store, folder, (0.5, 1, 30), draws=Draws(20, 0))
    return folder


def test_only_patients_whom_the_model_did_not_fit_are_judged(work: Work, out: Path) -> None:
    judged = pd.read_csv(out / "predictions.csv")
    assert set(judged["cohort"]) == {"C"}
    assert len(judged) == 140
    steps = json.loads((out / "flow.json").read_text(encoding="utf-8"))["tasks"]["os"]
    assert [step["patients"] for step in steps] == [420, 140]
    assert steps[1]["reason"] == SERVED
    scored = score_patients(work.model, work.store, any_type=True).patients.set_index("patient_id")
    np.testing.assert_allclose(judged["risk"], scored.loc[judged["patient_id"], "risk"], rtol=1e-5)


def test_the_numbers_are_those_of_libraries_on_the_written_predictions(work: Work, out: Path) -> None:
    found = pd.read_csv(out / "performance" / "performance.csv").set_index(["horizon_days", "metric"])
    labelled = read_labelled(work.model, work.store)
    c = concordance_index(labelled.time, -labelled.risk, labelled.event)
    np.testing.assert_allclose(found.loc[(YEAR, "c_index"), "value"], c)
    fitted = KaplanMeierFitter().fit(labelled.time, labelled.event)
    ratio = (1 - fitted.predict(YEAR)) / labelled.chance(YEAR).mean()
    np.testing.assert_allclose(found.loc[(YEAR, "observed_expected"), "value"], ratio)
    row = found.loc[(YEAR, "auc")]
    assert row["low"] < row["value"] < row["high"]
    assert row["events"] == (labelled.event & (labelled.time <= YEAR)).sum()


def test_a_horizon_beyond_the_predictions_is_left_out_and_said(work: Work, out: Path) -> None:
    found = pd.read_csv(out / "performance" / "performance.csv")
    assert sorted(set(found["horizon_days"])) == [YEAR / 2, YEAR]
    notes = json.loads((out / "performance" / "manifest.json").read_text(encoding="utf-8"))["notes"]
    assert any("30 years" in note for note in notes)
    with pytest.raises(InputError, match=r"no horizon can be judged.*--horizons"):
        usable_horizons(read_labelled(work.model, work.store), (50,))


def test_patterns_groups_decisions_and_the_checklist_have_their_tables(out: Path) -> None:
    patterns = pd.read_csv(out / "patterns" / "patterns.csv")
    assert {"image+rna+report", "image+rna"} <= set(patterns["group"])
    c_index = patterns[patterns["metric"] == "c_index"]
    assert c_index["n"].sum() == 140
    groups = pd.read_csv(out / "subgroups" / "subgroups.csv")
    assert {"age", "sex"} == set(groups["variable"])
    assert {"0 to 50", "75 and above"} <= set(groups["group"])
    decisions = pd.read_csv(out / "decisions" / "decisions.csv")
    everyone = decisions[decisions["pattern"] == "everyone"]
    assert (everyone.groupby("horizon_days")["threshold"].count() == 40).all()
    known = everyone.dropna(subset=["low", "net_benefit"])
    assert (known["low"] <= known["high"]).all()
    clinical = pd.read_csv(out / "performance" / "beyond_clinical.csv").set_index("name")["value"]
    assert clinical["gain"] == pytest.approx(clinical["both"] - clinical["clinical"])
    items = pd.read_csv(out / "reporting" / "tripod_ai.csv", keep_default_na=False).set_index("item")
    assert "140 patients" in items.loc["10", "text"]
    assert not items.loc["17", "filled_in"]


def test_one_page_shows_it_all_without_a_word_on_pretraining(out: Path) -> None:
    page = (out / "report.html").read_text(encoding="utf-8")
    for text in (
        "Clinical usefulness",
        "Predicted and observed risk",
        "TRIPOD+AI",
        "Beyond clinical",
        SERVED[:6],
    ):
        assert text in page
    assert 'class="protocol"' not in page
    assert " sections" in page
    assert "preset full" not in page
    assert "[to be written by the authors]" in page


def test_the_same_seed_gives_the_same_tables(work: Work, out: Path, tmp_path: Path) -> None:
    store = replace(work.store, patients=with_covariates(work.store))
    validate(work.model_dir, store, tmp_path, (0.5, 1), draws=Draws(20, 0))
    name = Path("subgroups") / "subgroups.csv"
    assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_a_binary_model_is_judged_at_its_own_horizon(work: Work, tmp_path: Path) -> None:
    validate(work.binary_dir, work.store, tmp_path, draws=Draws(0))
    found = pd.read_csv(tmp_path / "performance" / "performance.csv").set_index("metric")
    assert set(found["horizon_days"]) == {400}
    assert found.loc["auc", "n"] == 140  # also who was censored before: nobody is lost
    assert np.isnan(found.loc["auc", "low"])


def test_risks_are_those_of_the_predictions(work: Work) -> None:
    labelled = read_labelled(work.model, work.store)
    known = labelled.table["survival_12m"].to_numpy()
    np.testing.assert_allclose(labelled.chance(YEAR), 1 - known)
    assert np.isnan(labelled.chance(1e6)).all()
    time, event, expected = labelled.followed()
    whole = labelled.time <= time
    assert (event == (labelled.event & whole)).all()
    for i in range(0, 140, 13):
        one = replace(labelled, table=labelled.table.iloc[[i]], time=time[[i]], event=event[[i]])
        np.testing.assert_allclose(expected[i], -np.log1p(-one.chance(float(time[i]))[0]))


def test_from_a_landmark_on_risks_are_conditional_on_having_reached_it(work: Work, tmp_path: Path) -> None:
    whole = read_labelled(work.model, work.store)
    late = from_landmark(whole, 200.0)
    kept = whole.time > 200
    assert len(late.time) == kept.sum() < 140
    assert late.left_out["event or end of follow-up by the landmark"] == (~kept).sum()
    np.testing.assert_array_equal(late.time, whole.time[kept] - 200)
    alive = [1 - whole.chance(day)[kept] for day in (200.0, 500.0)]
    np.testing.assert_allclose(late.chance(300.0), 1 - alive[1] / alive[0])
    _, event, expected = late.followed()
    _, whole_event, before = whole.followed()
    earlier = -np.log1p(-whole.chance(200.0)[kept])
    np.testing.assert_allclose(expected, before[kept] - earlier, atol=1e-9)
    assert (event == whole_event[kept]).all()
    validate(work.model_dir, work.store, tmp_path, (1,), draws=Draws(0), landmark_years=0.5)
    notes = json.loads((tmp_path / "performance" / "manifest.json").read_text(encoding="utf-8"))["notes"]
    assert any("followed beyond 0.5 years" in note for note in notes)


def test_a_landmark_that_cannot_be_is_refused(work: Work, tmp_path: Path) -> None:
    labelled = read_labelled(work.model, work.store)
    with pytest.raises(InputError, match="no event later"):
        from_landmark(labelled, 1e6)
    with pytest.raises(InputError, match="says nothing of later times"):
        from_landmark(read_labelled(load_model(work.binary_dir), work.store), 100)
    with pytest.raises(InputError, match="one of the two"):
        validate(work.model_dir, work.store, tmp_path, competing="pfi", landmark_years=1)


def test_a_cohort_without_an_event_or_the_type_is_refused(work: Work) -> None:
    with pytest.raises(InputError, match="--cohort-name: no patient of X"):
        read_labelled(work.model, work.store, ("X",))
    with pytest.raises(InputError, match=r"none with the event.*140 served"):
        read_labelled(work.model, work.store, ("A",))


def test_the_command_writes_the_page(work: Work, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["validate", "--model", str(work.model_dir), "--cohort", str(work.cohort), "--out", str(tmp_path)]
    words += ["--store", str(work.store.path), "--bootstrap", "0", "--horizons", "1", "--threads", "1"]
    assert main(words) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize(
    ("days", "name"),
    [(YEAR, "1 year"), (3 * YEAR, "3 years"), (1095, "3 years"), (183, "0.5 years"), (400, "400 days")],
)
def test_horizons_have_names(days: float, name: str) -> None:
    assert horizon_name(days) == name


def test_time_is_counted_once(out: Path) -> None:
    """All sections are made together."""
    seconds = [json.loads(path.read_text())["wall_seconds"] for path in out.glob("*/manifest.json")]
    assert len(seconds) > 3
    assert sorted(seconds)[-2] == 0 < max(seconds)
