"""A cohort as MuData and back: the same arrays bit by bit, the same patients, the same features."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData, read_h5mu, set_options

import prime
from prime.api.cohorts import Cohort
from prime.cohort.config import CohortConfig, load_cohort
from prime.errors import InputError
from prime.store.packing import pack
from prime.store.store import Store
from tests.made_up import write_store
from tests.small_model import made_cohort


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Slides, statistics of slides, genes and reports of a simulated cohort."""
    return prime.load(made_cohort(tmp_path_factory.mktemp("made") / "c", 60, 1))


@pytest.fixture
def made_up(tmp_path: Path) -> Cohort:
    """Gaps in the features, rows kept apart, groups of four, and three patients who have nothing."""
    store = write_store(tmp_path / "made", patients=40)
    value: dict[str, Any] = dict(store.manifest["config"])
    value["modalities"]["report"]["words"]["instances"] = "tokens"
    table = pd.read_csv(tmp_path / "made" / "words.csv")
    table = pd.concat([table, table.iloc[:6].assign(words_0=9.5)])
    table.to_csv(tmp_path / "made" / "words.csv", index=False)
    clinical = pd.read_csv(tmp_path / "made" / "clinical.csv")
    nobody = clinical.iloc[:3].assign(id=["000x", "z1", "z2"])
    pd.concat([clinical, nobody]).to_csv(tmp_path / "made" / "clinical.csv", index=False)
    config = CohortConfig.model_validate(value)
    store = Store.open(pack(config, tmp_path / "again", progress=False))
    return Cohort(store, tmp_path / "made" / "cohort.yaml", config)


def require_same_store(found: Store, expected: Store) -> None:
    assert found.patients["patient_id"].tolist() == expected.patients["patient_id"].tolist()
    assert found.modalities == expected.modalities
    for name, facts in expected.sources.items():
        own = found.sources[name]
        for fact in ("modality", "kind", "dim", "rows", "patients", "max_rows", "dtype", "feature_names",
                     "groups", "attributes", "sha256"):  # fmt: skip
            assert getattr(own, fact) == getattr(facts, fact), (name, fact)
        assert found.values(name).tobytes() == expected.values(name).tobytes()
        np.testing.assert_array_equal(found.index(name), expected.index(name))


@pytest.mark.parametrize("which", ["simulated", "made_up"])
def test_out_and_in_gives_the_same_store(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    cohort: Cohort = request.getfixturevalue(which)
    with set_options(pull_on_update=False):
        cohort.to_mudata().write(tmp_path / "out.h5mu")
        mdata = read_h5mu(tmp_path / "out.h5mu")
    named = {c.removeprefix("x_"): c for c in cohort.patients if c.startswith("x_")}
    again = prime.from_mudata(
        tmp_path / "in", mdata, time="os_time_days", event="os_event", cancer_type="cohort", covariates=named
    )
    require_same_store(again.store, cohort.store)
    same = ["cohort", "os_time_days", "os_event", *named.values()]
    pd.testing.assert_frame_equal(again.patients[same], cohort.patients[same])
    assert load_cohort(again.file) == again.config  # the file serves the commands
    if which == "made_up":
        assert set(again.store.patients["patient_id"]) >= {"000x", "z1", "z2"}
        assert mdata["unobserved"].obs_names.tolist() == ["000x", "z1", "z2"]
        assert cohort.store.sources["words"].max_rows == 2
    else:
        assert {"vector", "sequence"} == {source.kind for source in cohort.store.sources.values()}
        assert again.store.sources["tiles"].attributes["encoder"] == "simulated"


def test_a_mudata_is_what_the_cohort_has(made_up: Cohort) -> None:
    mdata = made_up.to_mudata()
    assert set(mdata.obs_names) == set(made_up.patients.index)
    pd.testing.assert_series_equal(
        mdata.obs["os_time_days"].sort_index(), made_up.patients["os_time_days"], check_names=False
    )
    for name, source in made_up.sources.iterrows():
        data = mdata[name]
        expected = made_up.values(str(name))
        assert data.obs_names.tolist() == expected.index.tolist()
        np.testing.assert_allclose(data.X, expected, rtol=1e-6)
        assert data.uns["prime"]["modality"] == source["modality"]
        mask = mdata.obsm[name]  # MuData's own
        has = made_up.observed.index[made_up.observed[source["modality"]]]
        assert sorted(mdata.obs_names[mask.ravel()]) == has.tolist()
    assert mdata["genes"].var_names.tolist() == [f"genes_{i}" for i in range(12)]
    assert mdata["genes"].var["group"].tolist() == [i // 4 for i in range(12)]
    rows = mdata["tiles"].obsm["rows"]
    assert rows.shape[1:] == (4, 6)
    there = ~np.isnan(rows).all(axis=2)
    np.testing.assert_array_equal(there.sum(axis=1), mdata["tiles"].obs["rows"])
    means = made_up.to_mudata(rows=False)
    assert "rows" not in means["tiles"].obsm
    np.testing.assert_array_equal(means["tiles"].X, mdata["tiles"].X)


def of_two(ids: list[str], **obs: Any) -> MuData:
    """A plain MuData as others make it: sparse genes, and no mark of ours."""
    from scipy import sparse

    rng = np.random.default_rng(0)
    genes = sparse.random(len(ids), 5, 0.4, "csr", rng=rng)
    image = AnnData(
        rng.normal(size=(len(ids) - 1, 3)), pd.DataFrame(index=ids[1:]), pd.DataFrame(index=["x", "y", "z"])
    )
    with set_options(pull_on_update=False):
        made = MuData({"rna": AnnData(genes, pd.DataFrame(index=ids)), "image": image})
        made.obs = pd.DataFrame(obs, index=ids)
    return made


def test_a_mudata_of_others_is_a_cohort(tmp_path: Path) -> None:
    ids = ["00012", "a", "b", "c"]
    mdata = of_two(ids, days=[3.0, 4, 5, 6], dead=[True, False, True, True])
    cohort = prime.from_mudata(tmp_path, mdata, time="days", event="dead")
    assert cohort.patients.index.tolist() == ids
    np.testing.assert_array_equal(cohort.values("rna"), mdata["rna"].X.toarray().astype(np.float32))
    np.testing.assert_array_equal(cohort.values("image"), mdata["image"].X.astype(np.float32))
    assert cohort.observed["image"].tolist() == [False, True, True, True]
    assert cohort.patients["os_event"].tolist() == [1, 0, 1, 1]


def test_a_second_call_takes_up_what_is_there(tmp_path: Path) -> None:
    mdata = of_two(["a", "b", "c"], days=[3.0, 4, 5], dead=[1, 0, 1])
    first = prime.from_mudata(tmp_path, mdata, time="days", event="dead")
    before = (first.store.path / "manifest.json").stat().st_mtime_ns
    second = prime.from_mudata(tmp_path, mdata, time="days", event="dead")
    assert (second.store.path / "manifest.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (AnnData(np.ones((2, 2))), "give a MuData, not AnnData"),
        (lambda: MuData({"a": AnnData(np.ones((2, 2)))}, axis=1), "share variables"),
        (lambda: MuData({"a": AnnData(np.ones((2, 0)))}), "no modality has a variable"),
        (lambda: of_two(["a", "b"]), "clinical: no column days, dead; it has"),
    ],
)
def test_what_is_no_cohort_is_said(tmp_path: Path, given: Any, said: str) -> None:
    with set_options(pull_on_update=False):
        mdata = given() if callable(given) else given
    with pytest.raises(InputError, match=said):
        prime.from_mudata(tmp_path, mdata, time="days", event="dead")
