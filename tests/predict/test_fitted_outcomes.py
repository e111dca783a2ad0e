"""Fitted models of delayed entry, of a landmark, and of competing events."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from prime.evaluation.competing_risks import aalen_johansen
from prime.evaluation.metrics import concordance_within
from prime.predict.asked import MONTH, Asked
from prime.predict.fit import fit
from prime.predict.model_folder import load_model
from prime.predict.predict import score_patients
from prime.store.store import Store
from tests.late_outcomes import with_deaths, with_entry
from tests.made_up import evaluation_settings, write_checkpoint, write_store

PROBE = {"components": 3, "ridge": [0.1], "missing_heads": "shared"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outcomes")


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    store = write_store(folder / "cohort", 300, present=0.8)
    write_checkpoint(folder / "run", store, [str(p) for p in store.patients["patient_id"]])
    return store


def fitted(folder: Path, store: Store, name: str, **task: Any) -> Path:
    config = evaluation_settings(tasks=[{"name": "os", "endpoint": "os", **task}], probe=PROBE)
    fit(store, config, folder / "run", ("A", "B"), folder / name)
    return folder / name


def test_risk_sets_baselines_and_scores_know_of_delayed_entry(folder: Path, store: Store) -> None:
    plain, late = fitted(folder, store, "plain"), fitted(folder, with_entry(store), "late")
    before, after = (load_model(path).prognosis for path in (plain, late))
    assert not np.allclose(before.head.shared, after.head.shared)
    # who enters late was not at risk before, so hazards are higher than they look without it
    hazards = [p.calibrations["A"].scores["all"].model.hazard[0] for p in (before, after)]
    assert hazards[1] > hazards[0]
    manifest = json.loads((late / "manifest.json").read_text())["cross_validation"]["all"]
    assert 0 < manifest["c_index"] < 1


def test_the_cross_validated_c_index_counts_pairs_under_observation(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[NDArray[np.float64] | None] = []

    def spy(*arrays: Any, entry: NDArray[np.float64] | None = None) -> Any:
        seen.append(entry)
        return concordance_within(*arrays, entry=entry)

    monkeypatch.setattr("prime.predict.fit.concordance_within", spy)
    fitted(folder, with_entry(store), "spied")
    assert seen
    assert all(entry is not None for entry in seen)


def test_a_model_from_a_landmark_says_so(folder: Path, store: Store) -> None:
    model = load_model(fitted(folder, store, "landmark", landmark_days=100))
    assert model.description.task.landmark_days == 100
    time = store.patients["os_time_days"].to_numpy()
    types = store.patients["cohort"].to_numpy(dtype=str)
    members = (time > 100) & np.isin(types, ["A", "B"])
    assert model.checkpoint.manifest["patients_fitted"] == members.sum()
    last = model.prognosis.calibrations["A"].ends[-1]
    event = members & (store.patients["os_event"].to_numpy() == 1) & (types == "A")
    assert last == pytest.approx(time[event].max() - 100)
    table = score_patients(model, store).patients
    np.testing.assert_allclose(table["from_months"], 100 / MONTH)


def test_competing_events_have_cumulative_incidences(folder: Path, store: Store) -> None:
    changed = with_deaths(store)
    path = fitted(folder, changed, "competing", competing=["death"])
    model = load_model(path)
    asked = Asked((6.0, 12.0, 24.0))
    found = score_patients(model, changed, asked=asked)
    table = found.patients
    assert not [c for c in table if str(c).startswith(("survival_", "median", "outlives"))]
    scored = table[(table["status"] == "scored") & table["cohort"].isin(["A", "B"])]
    for months in (6, 12, 24):
        own, low, high, other, free = (
            scored[name.format(months)].to_numpy(dtype=float)
            for name in (
                "incidence_os_{}m", "incidence_os_{}m_low", "incidence_os_{}m_high", "incidence_death_{}m",
                "free_{}m",
            )
        )  # fmt: skip
        known = ~np.isnan(own)
        assert known.mean() > 0.9
        np.testing.assert_allclose((own + other + free)[known], 1, atol=1e-9)
        assert ((low < own) & (own < high))[known].all()
    assert found.tests["gain"].isna().all()
    # the mean of patients of a type is near Aalen-Johansen's estimate
    time, event = changed.patients["os_time_days"].to_numpy(), changed.patients["os_event"].to_numpy() == 1
    death = changed.patients["death_time_days"].to_numpy()
    died = changed.patients["death_event"].to_numpy() == 1
    first = died & np.where(event, death < time, death <= time)
    cause = np.where(first, 2, event.astype(int))
    rows = scored.index[scored["cohort"] == "A"].to_numpy()
    observed = aalen_johansen(np.where(first, death, time)[rows], cause[rows], 2).at(np.array([12 * MONTH]))
    for name, value in zip(("os", "death"), observed[:, 0], strict=True):
        assert scored.loc[rows, f"incidence_{name}_12m"].mean() == pytest.approx(value, abs=0.06)


def test_the_saved_causes_are_the_fitted_ones(folder: Path, store: Store) -> None:
    changed = with_deaths(store)
    config = evaluation_settings(
        tasks=[{"name": "os", "endpoint": "os", "competing": ["death"]}], probe=PROBE
    )
    model = fit(changed, config, folder / "run", ("A", "B"), folder / "again")
    competing = model.prognosis.competing
    assert competing is not None
    assert competing.names == ("os", "death")
    assert set(competing.hazards) >= {"", "A", "B"}
    assert len(competing.heads) == 1
    slopes = np.stack([hazards["all"].slope for hazards in competing.hazards.values()])
    assert (slopes > 0).all()
    reloaded = load_model(folder / "again").prognosis.competing
    assert reloaded is not None
    one, two = (c.hazards["A"]["all"] for c in (competing, reloaded))
    pd.testing.assert_frame_equal(pd.DataFrame(one.odds), pd.DataFrame(two.odds))
