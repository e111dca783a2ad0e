"""Reports as facts: which patients, what is missing, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prime.cohort.check.check import check, exit_status
from prime.cohort.config import CohortConfig
from prime.cohort.readers import read_source, source_files
from prime.cohort.readers.facts import FactSource
from prime.cohort.report_facts import FACTS, facts_of
from prime.cohort.source import SourceRows
from prime.errors import InputError
from prime.store.packing import pack
from prime.store.store import Store

REPORTS = [
    ("b.1", "Stage: pT2 N1 MX."),
    ("a.2", "Margins are free."),
    ("b.2", "Tumor size: 3 cm."),
    ("c", "Received in a container."),
]
NAMES = [fact.name for fact in FACTS]


def facts(folder: Path, reports: list[tuple[str, str]], **options: Any) -> SourceRows:
    pd.DataFrame(reports, columns=["patient_filename", "text"]).to_csv(folder / "r.csv", index=False)
    config = FactSource.model_validate({"reader": "facts", "path": "r.csv", **options})
    return read_source("facts", config, folder)


def test_facts_of_each_patient(tmp_path: Path) -> None:
    source = facts(tmp_path, REPORTS)
    assert (source.kind, source.dim, source.feature_names) == ("vector", len(FACTS), NAMES)
    rows = dict(source.patients)
    assert list(rows) == ["a", "b"]
    assert all(values.shape == (1, len(FACTS)) and values.dtype == np.float32 for values in rows.values())
    stated = {name: float(v) for name, v in zip(NAMES, rows["b"][0], strict=True) if not np.isnan(v)}
    assert stated == {"t_stage": 2, "n_stage": 1, "size_cm": 3}
    assert np.array_equal(rows["a"][0], facts_of("Margins are free."), equal_nan=True)
    assert source.notes == [
        "1 patients have several reports: joined",
        "1 reports state no fact (c): counted as missing",
    ]
    assert source.detected == f"csv table: 4 reports, {len(FACTS)} facts, 2.0 of them stated on average"


def test_groups_are_runs_of_facts(tmp_path: Path) -> None:
    found = facts(tmp_path, REPORTS, group_size=20).groups
    assert found is not None
    assert found.tolist() == [place // 20 for place in range(len(FACTS))]


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"source facts: .*no report states a fact; check the column 'text'"):
        facts(tmp_path, [("a", "Received."), ("b", "-")])
    with pytest.raises(InputError, match="row 2 has no patient in patient_filename"):
        facts(tmp_path, [("a", "pT2"), (".x", "pT3")])
    with pytest.raises(InputError, match="no column 'report'"):
        facts(tmp_path, REPORTS, text="report")
    with pytest.raises(InputError, match="every report is empty"):
        facts(tmp_path, [("a", ""), ("b", " ")])
    with pytest.raises(InputError, match="no such file"):
        source_files("facts", FactSource(reader="facts", path="none.csv"), tmp_path)


def test_checked_and_packed_it_is_a_vector_source(tmp_path: Path) -> None:
    facts(tmp_path, REPORTS)
    pd.DataFrame({"id": list("abcd"), "t": 10, "e": 1}).to_csv(tmp_path / "clinical.csv", index=False)
    config = CohortConfig.model_validate(
        {
            "name": "facts",
            "root": str(tmp_path),
            "clinical": {
                "format": "table", "path": "clinical.csv", "patient_id": "id",
                "endpoints": {"os": {"time": "t", "event": "e"}},
            },
            "modalities": {"report": {"facts": {"reader": "facts", "path": "r.csv"}}},
        }
    )  # fmt: skip
    assert exit_status(check(config)) == 0
    store = Store.open(pack(config, tmp_path / "store", progress=False))
    assert store.sources["facts"].kind == "vector"
    expected = np.stack([facts_of("Margins are free."), facts_of("Stage: pT2 N1 MX.\nTumor size: 3 cm.")])
    assert np.array_equal(np.asarray(store.values("facts")), expected, equal_nan=True)
    assert store.observed()[:, 0].tolist() == [True, True, False, False]
