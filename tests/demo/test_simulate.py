"""The simulated cohort: its formats, its truth, its missingness, and what it refuses."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from prime.cohort.config import load_cohort
from prime.cohort.endpoints import read_clinical
from prime.cohort.readers import read_source
from prime.demo.simulate import simulate
from prime.demo.simulated_world import FACTORS, HAZARD, MODALITIES, VISIBLE, draw_patients, make_world
from prime.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("simulated") / "cohort", 300, 0).parent


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def concordance(time: np.ndarray, event: np.ndarray, risk: np.ndarray) -> float:
    """Harrell's C by the plain double loop over comparable pairs, no tied risks."""
    earlier = (time[:, None] < time[None, :]) & event[:, None]
    return float((earlier & (risk[:, None] > risk[None, :])).sum() / earlier.sum())


def test_same_seed_same_bytes_and_other_seed_other_patients(folder: Path, tmp_path: Path) -> None:
    again = contents(simulate(tmp_path / "again", 300, 0).parent)
    assert again == contents(folder)
    other = pd.read_csv(simulate(tmp_path / "other", 40, 1).parent / "clinical.csv")
    assert not set(other["patient_id"]) & set(pd.read_csv(folder / "clinical.csv")["patient_id"])


def test_replaces_its_own_cohort_without_leftovers(tmp_path: Path) -> None:
    simulate(tmp_path / "a", 60, 3)
    fresh = contents(simulate(tmp_path / "b", 30, 4).parent)
    assert contents(simulate(tmp_path / "a", 30, 4).parent) == fresh


def test_true_log_hazard_orders_the_outcomes_within_each_type(folder: Path) -> None:
    truth = pd.read_csv(folder / "truth.csv")
    clinical = pd.read_csv(folder / "clinical.csv")
    assert list(truth["patient_id"]) == list(clinical["patient_id"])
    weights = np.array([HAZARD[name] for name in FACTORS])
    np.testing.assert_allclose(truth[list(FACTORS)].to_numpy() @ weights, truth["log_hazard"], atol=2e-5)
    for _, rows in clinical.groupby("cancer_type"):
        risk = truth.loc[rows.index, "log_hazard"].to_numpy()
        found = concordance(rows["os_days"].to_numpy(), rows["os_event"].to_numpy() == 1, risk)
        assert 0.72 < found < 0.85
    assert 0.4 < clinical["os_event"].mean() < 0.6


def test_no_modality_sees_every_factor_and_together_they_do() -> None:
    seen = [set(VISIBLE[name]) for name in MODALITIES]
    assert set.union(*seen) == set(FACTORS)
    assert all(len(names) < len(FACTORS) for names in seen)
    assert set.intersection(*seen)
    for number, name in enumerate(MODALITIES):
        others = set.union(*(s for i, s in enumerate(seen) if i != number))
        assert seen[number] - others, f"{name} alone shows nothing"


def test_progression_is_at_or_before_death_and_never_loses_a_death(folder: Path) -> None:
    table = pd.read_csv(folder / "clinical.csv").dropna(subset=["pfi_days"])
    assert (table["pfi_days"] <= table["os_days"]).all()
    assert (table["pfi_days"] < table["os_days"]).any()
    assert (table.loc[table["os_event"] == 1, "pfi_event"] == 1).all()
    assert table["os_days"].min() >= 1


def test_missingness_depends_on_type_and_site_and_few_have_nothing() -> None:
    drawn = draw_patients(make_world(), 20_000, 5)
    np.testing.assert_allclose(drawn.present.mean(axis=0), [0.70, 0.65, 0.60], atol=0.03)
    assert 0.02 < (~drawn.present.any(axis=1)).mean() < 0.05
    for labels in (drawn.type_index, drawn.site_index):
        share = np.stack([drawn.present[labels == k].mean(axis=0) for k in np.unique(labels)])
        assert (np.ptp(share, axis=0) > 0.1).all()


def test_missingness_and_formats_are_read_by_the_readers(folder: Path) -> None:
    config = load_cohort(folder / "cohort.yaml")
    clinical = read_clinical(config.clinical, config.root)
    assert clinical.endpoints == ["os", "pfi"]
    assert (
        clinical.frame["excluded"].sum()
        == (pd.read_csv(folder / "clinical.csv")["status"] == "redacted").sum()
        > 0
    )
    drawn = draw_patients(make_world(), 300, 0)
    sources = config.modalities["image"] | config.modalities["rna"]
    dims = {"tiles": 32, "slide_stats": 24, "genes": 200}
    found: dict[str, set[str]] = {}
    for name, options in sources.items():
        rows = read_source(name, options, config.root)
        assert rows.dim == dims[name]
        found[name] = {patient for patient, _ in rows.patients}
    ids = np.array(drawn.ids)
    assert found["tiles"] | found["slide_stats"] == set(ids[drawn.present[:, 0]])
    assert found["tiles"] & found["slide_stats"], "some hospitals have both"
    assert found["tiles"] - found["slide_stats"], "some have tiles only"
    assert found["slide_stats"] - found["tiles"], "some have statistics only"
    assert found["genes"] == set(ids[drawn.present[:, 1]])


def test_slides_are_trident_files(folder: Path) -> None:
    path = sorted((folder / "slides").iterdir())[0]
    with h5py.File(path, "r") as file:
        assert file["features"].dtype == np.float32
        assert file["features"].attrs["encoder"] == "simulated"
        assert file["coords"].shape == (len(file["features"]), 2)
        assert file["coords"].attrs["patch_size_level0"] == 512


def test_reports_follow_the_factors_and_never_state_the_outcome(folder: Path) -> None:
    reports = pd.read_csv(folder / "reports.csv")
    truth = pd.read_csv(folder / "truth.csv").set_index("patient_id")
    assert reports["text"].nunique() == len(reports)
    text = reports["text"].str.lower()
    assert not text.str.contains(r"surviv|death|died|alive|days|follow-up|censor|recurr", regex=True).any()
    factors = truth.loc[reports["patient_filename"].str.split(".").str[0]]
    for words, factor in (("grade 3", "grade"), ("inked margin", "margin"), ("extensive", "nodes")):
        said = text.str.contains(words).to_numpy()
        values = factors[factor].to_numpy()
        assert values[said].mean() > values[~said].mean() + 0.8
    unseen = factors["stroma"].to_numpy()
    said = text.str.contains("grade 3").to_numpy()
    assert abs(unseen[said].mean() - unseen[~said].mean()) < 0.5


@pytest.mark.parametrize("patients", [29, 0, -3, 100_000])
def test_refuses_too_few_or_too_many_patients(tmp_path: Path, patients: int) -> None:
    with pytest.raises(InputError, match=f"--patients {patients}"):
        simulate(tmp_path / "new", patients)
    assert not (tmp_path / "new").exists()


def test_refuses_a_folder_of_someone_else_and_leaves_it_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="prime simulate did not make"):
        simulate(tmp_path, 30)
    assert contents(tmp_path) == {"notes.txt": b"mine"}
    with pytest.raises(InputError, match="is a file"):
        simulate(tmp_path / "notes.txt", 30)
    with pytest.raises(InputError, match="--seed -1"):
        simulate(tmp_path / "new", 30, -1)


def test_names_the_encoder_it_is_given(tmp_path: Path) -> None:
    config = load_cohort(simulate(tmp_path / "c", 30, encoder="some/folder"))
    assert config.modalities["report"]["reports"].model_dump()["encoder"] == "some/folder"
