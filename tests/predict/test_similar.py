"""Similar patients: who they are, who they never are, and that they are kept only where it was asked for."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from prime.devices import device_of
from prime.errors import InputError
from prime.predict.fit import fit
from prime.predict.model_folder import load_model
from prime.predict.patients import read_patients
from prime.predict.predict import predict, score_patients
from prime.store.store import Store
from tests.made_up import evaluation_settings, write_checkpoint, write_store

SETTINGS: dict[str, Any] = {
    "tasks": [{"name": "os", "endpoint": "os"}],
    "probe": {"components": 3, "ridge": [0.1], "missing_heads": "shared"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("similar")
    store = write_store(folder / "cohort", 150)
    write_checkpoint(folder / "run", store, [str(p) for p in store.patients["patient_id"]])
    config = evaluation_settings(**SETTINGS)
    fit(store, config, folder / "run", ("A", "B"), folder / "kept", with_patients=True)
    fit(store, config, folder / "run", ("A", "B"), folder / "bare")
    return folder


@pytest.fixture(scope="module")
def new(folder: Path) -> Store:
    """Other patients: the features of the cohort, under other ids."""
    store = write_store(folder / "new", 40, seed=0)
    frame = store.patients.copy()
    frame["patient_id"] = ["n" + str(p)[1:] for p in frame["patient_id"]]
    return Store(store.path, store.manifest, frame, store.modalities, store.sources)


def test_neighbours_are_the_nearest_by_a_naive_search(folder: Path, new: Store) -> None:
    model = load_model(folder / "kept")
    kept = model.patients
    assert kept is not None
    found = score_patients(model, new, similar=3).similar
    assert found is not None
    ids = new.patients["patient_id"].to_numpy(dtype=object)
    checked = 0
    for patients, _ in read_patients(model, new, device_of("cpu")):
        for pattern in patients.patterns:
            space = kept.spaces[pattern]
            for row in patients.seen(pattern):
                mine = found[found["patient_id"] == ids[patients.rows[row]]]
                kind = str(patients.types[row])
                if kind == "C":  # nobody of the type was fitted on
                    assert mine.empty
                    continue
                x = patients.read(np.array([row]), pattern)[0]
                apart: dict[str, float] = {}
                for number, point in zip(space.rows, space.points, strict=True):
                    if kept.types[number] == kind:
                        away = np.linalg.norm((x - space.centre) @ space.loadings - point)
                        apart[kept.ids[number]] = float(away) / space.unit[kind]
                nearest = sorted(apart, key=lambda name: apart[name])[:3]
                assert mine["similar_id"].tolist() == nearest
                np.testing.assert_allclose(mine["distance"], [apart[name] for name in nearest])
                assert mine["rank"].tolist() == [1, 2, 3][: len(mine)]
                checked += 1
    assert checked > 20


def test_outcomes_are_those_of_the_clinical_table(folder: Path, new: Store) -> None:
    found = score_patients(load_model(folder / "kept"), new, similar=2).similar
    assert found is not None
    table = pd.read_csv(folder / "cohort" / "clinical.csv").set_index("id").loc[found["similar_id"]]
    np.testing.assert_allclose(found["months"], table["t"].to_numpy() / (365.25 / 12))
    np.testing.assert_array_equal(found["event"], table["e"])


def test_a_fitted_patient_under_another_id_is_the_nearest(folder: Path) -> None:
    model, store = load_model(folder / "kept"), Store.open(folder / "cohort" / "store")
    frame = store.patients.assign(patient_id=["x" + str(p) for p in store.patients["patient_id"]])
    found = score_patients(
        model, Store(store.path, store.manifest, frame, store.modalities, store.sources), similar=1
    ).similar
    assert found is not None
    assert len(found) == 100
    assert (found["patient_id"] == "x" + found["similar_id"]).all()
    assert (found["distance"] < 0.1).all()  # normal scores step at the fitted patients' own values


def test_nobody_of_the_scored_set_is_a_neighbour(folder: Path) -> None:
    model, store = load_model(folder / "kept"), Store.open(folder / "cohort" / "store")
    some = store.patients.copy()
    hidden = some["patient_id"].isin(some["patient_id"][::2])
    some.loc[~hidden, "patient_id"] = "x" + some.loc[~hidden, "patient_id"]
    some.loc[hidden, "patient_id"] = some.loc[hidden, "patient_id"].str.upper() + " "
    scored = Store(store.path, store.manifest, some, store.modalities, store.sources)
    found = score_patients(model, scored, similar=150).similar
    assert found is not None
    here = {str(name).strip().lower() for name in some["patient_id"]}
    assert not {name.lower() for name in found["similar_id"]} & here
    assert len(found)


def test_patients_are_kept_only_where_it_was_asked_for(folder: Path, new: Store, tmp_path: Path) -> None:
    bare, kept = (load_file(folder / name / "head.safetensors") for name in ("bare", "kept"))
    assert not [name for name in bare if name.startswith("patients")]
    assert [name for name in kept if name.startswith("patients")]
    assert "patients" not in json.loads((folder / "bare" / "head.json").read_text())
    assert load_model(folder / "bare").patients is None
    with pytest.raises(InputError, match="the model holds no patients; fit it again with prime fit"):
        predict(folder / "bare", new, tmp_path / "p.csv", similar=3)
    predict(folder / "kept", new, tmp_path / "q.csv")
    assert not (tmp_path / "q.similar.csv").exists()
    predict(folder / "kept", new, tmp_path / "r.csv", similar=2)
    assert pd.read_csv(tmp_path / "r.similar.csv").columns.tolist() == [
        "patient_id", "rank", "similar_id", "distance", "months", "event",
    ]  # fmt: skip


def test_the_same_fit_with_and_without_patients_are_two_models(folder: Path) -> None:
    store, config = Store.open(folder / "cohort" / "store"), evaluation_settings(**SETTINGS)
    with pytest.raises(InputError, match="differs in with_patients"):
        fit(store, config, folder / "run", ("A", "B"), folder / "bare", with_patients=True)
