"""`prime encode reports --facts`: the table, who is in it, and that it costs no finished work."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prime import cli
from prime.cohort.readers import read_source
from prime.cohort.readers.facts import FactSource
from prime.cohort.readers.vector import VectorSource
from prime.cohort.report_facts import FACTS

TEXTS = {
    "a.1": "Stage: pT2 N1 MX.",
    "a.2": "Tumor size:\n3 cm. The patient died of disease.",
    "b.1": "Received in a container.",
    "c.1": "Margins are free.",
}


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name, text in TEXTS.items():
        (tmp_path / "in" / f"{name}.txt").write_text(text, encoding="utf-8")
    return tmp_path / "in"


def run(*arguments: str | Path) -> int:
    return cli.run(["encode", "reports", *map(str, arguments)])


def test_a_row_for_each_patient_that_the_vector_reader_reads(
    tmp_path: Path, reports: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    out = tmp_path / "out"
    assert run(reports, "--out", out, "--facts") == 0
    said = capsys.readouterr().out
    assert "{reader: vector, path: facts.parquet}" in said
    table = pd.read_parquet(out / "facts.parquet")
    assert table.columns.tolist() == ["patient_id", *(fact.name for fact in FACTS)]
    assert table["patient_id"].tolist() == ["a", "b", "c"]
    assert set(table.dtypes.iloc[1:]) == {np.dtype(np.float32)}
    assert table.iloc[0, 1:].dropna().to_dict() == {"t_stage": 2, "n_stage": 1, "size_cm": 3}
    assert table.iloc[1, 1:].isna().all()
    source = read_source("facts", VectorSource(reader="vector", path="facts.parquet"), out)
    assert source.notes[-1] == "1 of 3 rows have no number at all: counted as missing"
    rows = dict(source.patients)
    of_texts = read_source("facts", FactSource(reader="facts", path="texts.csv"), out)
    texts = dict(of_texts.patients)
    assert sorted(rows) == sorted(texts) == ["a", "c"]
    # A table leaves out facts that nobody states; the reader of texts has all that there are.
    assert source.feature_names is not None
    assert of_texts.feature_names is not None
    stated = [of_texts.feature_names.index(name) for name in source.feature_names]
    assert set(of_texts.feature_names) - set(source.feature_names) == set(source.empty)
    for patient, row in rows.items():
        np.testing.assert_array_equal(row, texts[patient][..., stated])


def test_facts_later_do_no_finished_patient_again(tmp_path: Path, reports: Path) -> None:
    out = tmp_path / "out"
    assert run(reports, "--out", out) == 0
    assert not (out / "facts.parquet").exists()
    notes = {path: path.stat().st_mtime_ns for path in (out / ".encode").iterdir()}
    assert run(reports, "--out", out, "--facts") == 0
    assert {path: path.stat().st_mtime_ns for path in (out / ".encode").iterdir()} == notes
    before = (out / "facts.parquet").read_bytes()
    assert run(reports, "--out", out, "--facts", "--jobs", "2") == 0
    assert (out / "facts.parquet").read_bytes() == before
    assert not list(out.glob(".facts*"))


def test_a_table_of_reports_and_one_that_fails(tmp_path: Path) -> None:
    cells = pd.DataFrame({"patient_filename": ["x.1", "y.1"], "text": ["Gleason score 3+4=7.", " "]})
    cells.to_csv(tmp_path / "r.csv", index=False)
    assert run(tmp_path / "r.csv", "--out", tmp_path / "out", "--facts") == 1
    table = pd.read_parquet(tmp_path / "out" / "facts.parquet")
    assert table[["patient_id", "gleason_score"]].to_numpy().tolist() == [["x", 7.0]]


def test_without_any_finished_patient_the_table_has_no_row(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("", encoding="utf-8")
    assert run(tmp_path / "in", "--out", tmp_path / "out", "--facts") == 1
    assert len(pd.read_parquet(tmp_path / "out" / "facts.parquet")) == 0
