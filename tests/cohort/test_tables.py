"""Tables: identifiers stay text, an index is no feature, nulls are no words."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prime.cohort.patient_names import spelt_twice
from prime.cohort.readers import read_source
from prime.cohort.readers.facts import FactSource
from prime.cohort.readers.report_texts import ReportTable, report_texts
from prime.cohort.readers.vector import VectorSource
from prime.cohort.readers.words import WordSource
from prime.cohort.source import SourceRows
from prime.cohort.tables import patient_ids, read_table
from prime.errors import InputError
from prime.splits.folds import read_folds

IDS = ["00000", "00012", "7", "1e5"]
KINDS = ("csv", "tsv", "xlsx", "parquet")


def write(frame: pd.DataFrame, path: Path, **options: Any) -> Path:
    match path.suffix:
        case ".parquet":
            frame.to_parquet(path, **options)
        case ".xlsx":
            frame.to_excel(path, **options)
        case _:
            frame.to_csv(path, sep="\t" if path.suffix == ".tsv" else ",", **options)
    return path


def vector(path: Path, **options: Any) -> SourceRows:
    return read_source("x", VectorSource(reader="vector", path=path.name, **options), path.parent)


def rows_of(source: SourceRows) -> dict[str, list[float]]:
    return {patient: rows[0].tolist() for patient, rows in source.patients}


@pytest.mark.parametrize("kind", KINDS)
def test_ids_of_digits_stay_what_they_are(tmp_path: Path, kind: str) -> None:
    table = pd.DataFrame({"patient_id": IDS, "a": [1.5, 2.5, 3.5, 4.5]})
    found = rows_of(vector(write(table, tmp_path / f"t.{kind}", index=False)))
    assert found == dict(zip(IDS, [[1.5], [2.5], [3.5], [4.5]], strict=True))
    assert read_table(tmp_path / f"t.{kind}", "t", text=True)["patient_id"].tolist() == IDS


def test_ids_that_a_program_wrote_as_numbers_with_decimals_have_none(tmp_path: Path) -> None:
    for column in (pd.Series(["1.0", "20.0"], name="id"), pd.Series([1.0, 20.0], name="id")):
        assert patient_ids(column, tmp_path, "t").tolist() == ["1", "20"]
    assert patient_ids(pd.Series(["1.0", "B2"], name="id"), tmp_path, "t").tolist() == ["1.0", "B2"]


@pytest.mark.parametrize("word", ["None", "NA", "nan", " ", "'--", "Not Reported"])
def test_a_word_for_missing_is_no_patient(tmp_path: Path, word: str) -> None:
    write(pd.DataFrame({"patient_id": ["a", word], "v": [1, 2]}), tmp_path / "t.parquet", index=False)
    with pytest.raises(InputError, match="row 2 has no patient_id"):
        vector(tmp_path / "t.parquet")


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_that_pandas_wrote_is_no_feature(tmp_path: Path, kind: str) -> None:
    table = pd.DataFrame({"patient_id": ["a", "b", "c"], "v": [0.5, 1.5, 2.5]}, index=[4, 0, 9])
    source = vector(write(table, tmp_path / f"t.{kind}"))
    assert source.feature_names == ["v"]
    assert any("only numbers the rows (a table's index): left out" in note for note in source.notes)


@pytest.mark.parametrize("kind", KINDS)
def test_patients_in_an_index_without_a_name_are_found_by_its_name_in_the_message(
    tmp_path: Path, kind: str
) -> None:
    table = pd.DataFrame({f"v{i}": [0.5, 1.5] for i in range(30)}, index=["a", "b"])
    path = write(table, tmp_path / f"t.{kind}")
    name = "__index_level_0__" if kind == "parquet" else "Unnamed: 0"
    with pytest.raises(InputError, match=name):
        vector(path)
    assert list(rows_of(vector(path, patient_id=name))) == ["a", "b"]


def test_a_named_index_of_a_parquet_is_a_column(tmp_path: Path) -> None:
    table = pd.DataFrame({"v": [0.5, 1.5]}, index=pd.Index(["a", "b"], name="patient_id"))
    assert rows_of(vector(write(table, tmp_path / "t.parquet"))) == {"a": [0.5], "b": [1.5]}


def test_another_column_without_a_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(",patient_id,v\n0.5,a,1\n0.7,b,2\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"'Unnamed: 0' has no name in the file; name it, add it to ignore"):
        vector(tmp_path / "t.csv")
    assert vector(tmp_path / "t.csv", ignore=["Unnamed: 0"]).feature_names == ["v"]


def test_words_for_missing_among_numbers_are_missing_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "patient_id,v,w\na,'--,1\nb,2.5,Not Reported\nc,Unknown,3\n", encoding="utf-8"
    )
    found = rows_of(vector(tmp_path / "t.csv"))
    np.testing.assert_array_equal(list(found.values()), [[np.nan, 1], [2.5, np.nan], [np.nan, 3]])
    (tmp_path / "t.csv").write_text("patient_id,v,w\na,'--,1\nb,high,2\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"'v', row 2 \(patient b\) holds 'high', not a number"):
        vector(tmp_path / "t.csv")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_without_a_number_is_left_out_by_name(tmp_path: Path, kind: str) -> None:
    table = pd.DataFrame({"patient_id": ["a", "b"], "v": [1.0, 2.0], "void": [np.nan] * 2, "w": [3.0, 4.0]})
    source = vector(write(table, tmp_path / f"t.{kind}", index=False), group_size=1)
    assert (source.feature_names, source.empty, source.dim) == (["v", "w"], ["void"], 2)
    assert source.groups is not None
    assert source.groups.tolist() == [0, 1]
    assert any("1 columns hold no number at all (void): left out" in note for note in source.notes)
    with pytest.raises(InputError, match="no column holds a number"):
        vector(write(table[["patient_id", "void"]], tmp_path / f"t.{kind}", index=False))


@pytest.mark.parametrize("missing", [None, "", "None", "Not Available", "[Not Available]"])
def test_reports_that_are_not_there_are_no_reports(tmp_path: Path, missing: str | None) -> None:
    texts = ["grade 2 carcinoma", missing, "stage III carcinoma", missing]
    names = ["a.1", "b.1", "c.1", "d.1"]
    path = tmp_path / "r.parquet"
    pd.DataFrame({"patient_filename": names, "text": texts}).to_parquet(path, index=False)
    found = report_texts(ReportTable(reader="report", path="r.parquet"), tmp_path, "source r")
    assert list(found.texts) == ["a", "c"]
    assert "2 reports are empty" in found.notes[0]
    for settings in (
        WordSource(reader="words", path="r.parquet"),
        FactSource(reader="facts", path="r.parquet"),
    ):
        assert [patient for patient, _ in read_source("r", settings, tmp_path).patients] == ["a", "c"]


def test_a_report_of_nobody_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"patient_filename": ["a.1", None], "text": ["x", "y"]}).to_parquet(tmp_path / "r.parquet")
    with pytest.raises(InputError, match="row 2 has no patient in patient_filename"):
        report_texts(ReportTable(reader="report", path="r.parquet"), tmp_path, "source r")


def test_comments_above_the_header_are_left_out_where_they_are_expected(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text(
        "#Patient Identifier\tAge\n#STRING\tNUMBER\nid\tage\n#1\t5\n", encoding="utf-8"
    )
    assert read_table(tmp_path / "t.tsv", "t", text=True, comments=True).to_dict("list") == {
        "id": ["#1"],
        "age": ["5"],
    }
    assert read_table(tmp_path / "t.tsv", "t", text=True).columns[0] == "#Patient Identifier"


def test_ids_in_a_folds_file_are_text_like_any_others(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("patient_id,cohort,fold\n00012 ,A,0\n7,A,1\n", encoding="utf-8")
    assert read_folds(tmp_path / "f.csv")["patient_id"].tolist() == ["00012", "7"]


def test_two_spellings_of_one_id() -> None:
    assert spelt_twice(["007", "7", "a", "A ", "7.0", "70", "b"]) == [["007", "7", "7.0"], ["a", "A "]]
    assert spelt_twice(["0", "00000", "1", "10"]) == [["0", "00000"]]
    assert spelt_twice(["P1", "P01", "TCGA-AA-0001"]) == []
