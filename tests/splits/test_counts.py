"""Counts of a cohort by hand on a small store, and on the real set against its README."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prime.cohort.config import CohortConfig
from prime.errors import InputError
from prime.splits.counts import FlowStep, cohort_counts, cohort_flow, horizon_counts
from prime.store.packing import pack
from prime.store.store import Store

CHECKOUT = Path(__file__).resolve().parents[2]
TCGA = CHECKOUT / ".." / "shared" / "tcga"

CLINICAL = """\
id,type,site,t,e,status
a1,A,X,1095,1,
a2,A,X,1096,1,
a3,A,Y,1095,0,
a4,A,Y,2000,0,
a5,A,Z,0,1,
a6,A,Z,500,1,out
a7,A,,,,
b1,B,X,100,1,
b2,B,X,100,0,
b3,B,X,100,1,
"""
HAVE = {"image": "a1 a2 a3 a5 a6 b1 n1", "rna": "a1 a2 a4 a5 a7 b1 b2", "report": "a1 a2 a6"}


def small_config(folder: Path, **clinical: Any) -> CohortConfig:
    (folder / "clinical.csv").write_text(CLINICAL, encoding="utf-8")
    for name, patients in HAVE.items():
        rows = "".join(f"{patient},1.5\n" for patient in patients.split())
        (folder / f"{name}.csv").write_text(f"patient_id,x\n{rows}", encoding="utf-8")
    table = {
        "format": "table",
        "path": "clinical.csv",
        "patient_id": "id",
        "cohort": "type",
        "site": "site",
        "endpoints": {"os": {"time": "t", "event": "e"}},
        "exclude": [{"column": "status", "values": ["out"], "reason": "withdrawn"}],
    }
    return CohortConfig.model_validate(
        {
            "name": "small",
            "root": str(folder),
            "clinical": table | clinical,
            "modalities": {n: {f"{n}_x": {"reader": "vector", "path": f"{n}.csv"}} for n in HAVE},
        }
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("small")
    return Store.open(pack(small_config(folder), folder / "store", progress=False))


def test_counts_by_hand(store: Store) -> None:
    columns = (
        "cohort patients has_image has_rna has_report complete partial any excluded os_patients os_events"
    )
    expected = pd.DataFrame(
        [
            ["A", 7, 5, 5, 3, 2, 5, 7, 1, 6, 4],
            ["B", 3, 1, 2, 0, 0, 2, 2, 0, 3, 2],
            ["", 1, 1, 0, 0, 0, 1, 1, 0, 0, 0],
            ["total", 11, 7, 7, 3, 2, 8, 10, 1, 9, 6],
        ],
        columns=columns.split(),
    )
    pd.testing.assert_frame_equal(cohort_counts(store), expected)


def test_horizon_counts_by_hand(store: Store) -> None:
    columns = ["cohort", "patients", "events", "censored", "positive", "negative", "censored_early"]
    expected = pd.DataFrame(
        [["A", 4, 2, 2, 1, 2, 1], ["B", 2, 1, 1, 1, 0, 1], ["total", 6, 3, 3, 2, 2, 2]], columns=columns
    )
    pd.testing.assert_frame_equal(horizon_counts(store, "os", 1095), expected)
    complete = pd.DataFrame([["A", 2, 2, 0, 1, 1, 0], ["total", 2, 2, 0, 1, 1, 0]], columns=columns)
    pd.testing.assert_frame_equal(horizon_counts(store, "os", 1095, complete=True), complete)


def test_flow_by_hand(store: Store) -> None:
    assert cohort_flow(store, "os", 1095) == [
        FlowStep("in the clinical table", 10, "features only, no clinical row", 1),
        FlowStep("at least one modality", 9, "no modality", 1),
        FlowStep("not excluded", 8, "withdrawn", 1),
        FlowStep("os known", 7, "no os time or event", 1),
        FlowStep("time above zero", 6, "time not above zero", 1),
        FlowStep("label known at 1095 days", 4, "censored within 1095 days", 2),
    ]
    assert [step.patients for step in cohort_flow(store, "os", cohort="B")] == [3, 2, 2, 2, 2]


def test_a_clinical_row_without_a_type_still_is_one(tmp_path: Path) -> None:
    config = small_config(tmp_path, cohort=None, site=None)
    store = Store.open(pack(config, tmp_path / "store", progress=False))
    assert cohort_flow(store, "os")[0].patients == 9  # a7 has nothing but an id, n1 not even that
    assert cohort_counts(store)["cohort"].tolist() == [config.name, "total"]


def test_what_can_not_be_counted_is_one_clear_error(store: Store) -> None:
    for call in (lambda: horizon_counts(store, "pfi", 1095), lambda: cohort_flow(store, "pfi")):
        with pytest.raises(InputError, match="no endpoint 'pfi'; the cohort has os"):
            call()
    for days in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="must be above 0"):
            horizon_counts(store, "os", days)
        with pytest.raises(InputError, match="must be above 0"):
            cohort_flow(store, "os", days)
    with pytest.raises(InputError, match="no cohort 'C'; it has A, B"):
        cohort_flow(store, "os", cohort="C")
    renamed = replace(store, patients=store.patients.assign(cohort="total"))
    with pytest.raises(InputError, match="a cancer type is named 'total'"):
        cohort_counts(renamed)


@settings(max_examples=30)
@given(st.data())
def test_the_parts_add_up_and_the_flow_ends_where_evaluation_begins(
    store: Store, data: st.DataObject
) -> None:
    number = len(store.patients)

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return data.draw(st.lists(values, min_size=number, max_size=number))

    known = np.array(column(st.booleans()))
    drawn = replace(
        store,
        patients=store.patients.assign(
            cohort=column(st.sampled_from(["A", "B", "C"])),
            excluded=column(st.booleans()),
            os_time_days=np.where(known, column(st.sampled_from([0.0, 1.0, 10.0, 11.0, 99.0])), np.nan),
            os_event=np.where(known, column(st.sampled_from([0.0, 1.0])), np.nan),
        ),
    )
    counts, labels = cohort_counts(drawn), horizon_counts(drawn, "os", 10)
    for table in (counts, labels):
        assert (table.iloc[:-1, 1:].sum() == table.iloc[-1, 1:]).all()
    assert (counts["complete"] + counts["partial"] == counts["any"]).all()
    assert (labels["positive"] + labels["negative"] + labels["censored_early"] == labels["patients"]).all()
    assert (labels["events"] + labels["censored"] == labels["patients"]).all()
    flow = cohort_flow(drawn, "os", 10)
    left = [number, *(step.patients for step in flow)]
    assert [step.left_out for step in flow] == [before - after for before, after in pairwise(left)]
    usable = 0
    for row, has_any in zip(drawn.patients.itertuples(), drawn.observed().any(axis=1), strict=True):
        usable += bool(has_any and not row.excluded and row.os_time_days > 0 and row.os_event in (0, 1))
    assert flow[-2].patients == usable == labels["patients"].iloc[-1]
    assert flow[-1].patients == labels["positive"].iloc[-1] + labels["negative"].iloc[-1]
    names = set(drawn.patients["cohort"])
    parts = [[step.patients for step in cohort_flow(drawn, "os", 10, cohort=name)] for name in names]
    assert np.sum(parts, axis=0).tolist() == left[1:]


@pytest.fixture(scope="module")
def real_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The real set; of the reports only their length, which says who has one and needs no text encoder."""
    folder = tmp_path_factory.mktemp("tcga")
    reports = pd.read_csv(TCGA / "reports.csv")
    patient = reports["patient_filename"].str.split(".").str[0]
    pd.DataFrame({"patient_id": patient, "length": reports["text"].str.len()}).to_csv(
        folder / "reports.csv", index=False
    )
    vector = {"reader": "vector", "instances": "mean"}
    config = CohortConfig.model_validate(
        {
            "name": "tcga",
            "root": str(TCGA.resolve()),
            "clinical": {"format": "tcga-cdr", "path": "TCGA-CDR.xlsx"},
            "modalities": {
                "image": {
                    "hif": {**vector, "path": "image_hif.parquet", "ignore": ["slide_id"]},
                    "xception": {**vector, "path": "image_blca_xception.parquet"},
                    "nuclei": {"reader": "h5", "path": "image_lgg_tiles", "max_tokens": 4},
                    "reads": {
                        **vector,
                        "path": "image_slide_reads.parquet",
                        "ignore": ["slide_id", "section_location"],
                    },
                },
                "rna": {
                    "genes": {**vector, "path": "rna_genes.parquet"},
                    "signatures": {**vector, "path": "rna_signatures.parquet"},
                },
                "report": {"text": {**vector, "path": str(folder / "reports.csv")}},
            },
        }
    )
    return Store.open(pack(config, folder / "store", progress=False))


def counts_of(store: Store, **modalities: list[str]) -> pd.DataFrame:
    """The counts as if only these sources existed."""
    return cohort_counts(replace(store, modalities=modalities)).set_index("cohort")


@pytest.mark.tcga
@pytest.mark.skipif(not TCGA.is_dir(), reason="the TCGA evaluation set is not beside the checkout")
def test_real_counts_are_those_of_the_readme(real_store: Store) -> None:
    rows = re.findall(r"^\|([A-Z]{2,4})\|([\d|]+)\|$", (TCGA / "README.md").read_text(), re.MULTILINE)
    assert len(rows) == 33
    sources = ("hif", "xception", "nuclei", "reads", "genes", "signatures", "text")
    single = [counts_of(real_store, only=[name])["has_only"] for name in sources]
    computed = counts_of(real_store, image=["hif", "xception", "nuclei"], rna=["genes"], report=["text"])
    for kind, cells in rows:
        expected = [int(cell) for cell in cells.split("|")]
        found = [computed["patients"][kind], *(s[kind] for s in single), computed["complete"][kind]]
        assert found == expected, kind
    assert computed["complete"]["total"] == 1151
    hif = counts_of(real_store, image=["hif"], rna=["genes"], report=["text"])
    assert hif["complete"]["total"] == 995
    every = cohort_counts(real_store).set_index("cohort")
    assert (every["any"]["total"], every["any"]["total"] - every["any"][""]) == (10779, 10700)
    assert every["excluded"]["total"] == 57
    assert set(every.index[every["os_patients"] > 0]) == {
        "BRCA", "LUAD", "LUSC", "LGG", "BLCA", "UCEC", "total",
    }  # fmt: skip


@pytest.mark.tcga
@pytest.mark.skipif(not TCGA.is_dir(), reason="the TCGA evaluation set is not beside the checkout")
def test_real_evaluation_patients_are_those_of_the_reference(real_store: Store) -> None:
    reference = (TCGA / "reference.md").read_text().split("\n## ")
    rows = {
        title: re.findall(r"^\|([A-Z]{3,4})\|(\d+)\|(\d+)\|", text, re.MULTILINE)
        for title in ("Overall survival", "3-year mortality")
        for text in reference
        if text.startswith(title)
    }
    labels = horizon_counts(real_store, "os", 1095).set_index("cohort")
    assert len(rows["Overall survival"]) == len(rows["3-year mortality"]) == 6
    for kind, n, events in rows["Overall survival"]:
        assert (labels["patients"][kind], labels["events"][kind]) == (int(n), int(events))
    for kind, n, _ in rows["3-year mortality"]:
        alone = 1 if kind == "BLCA" else 0  # has only a report, which the reference does not score in BLCA
        assert labels["positive"][kind] + labels["negative"][kind] - alone == int(n)
    assert [(step.patients, step.left_out) for step in cohort_flow(real_store, "os", 1095)] == [
        (11160, 79), (10700, 460), (10645, 55), (3567, 7078), (3544, 23), (1848, 1696),
    ]  # fmt: skip
    tested = pd.read_csv(TCGA / "folds.csv")["cohort"].value_counts()
    assert all(labels["patients"][kind] == number for kind, number in tested.items())
