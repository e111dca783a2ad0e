"""What spreadsheets, editors and other programs do to ids, numbers and text before a table comes here."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from prime.cohort.cells import code_for_missing, finite_number, number
from prime.cohort.check.check import check
from prime.cohort.check.report import CheckReport
from prime.cohort.config import CohortConfig
from prime.cohort.patient_names import changed_by_spreadsheet, patient_in, spellings, spelt_twice
from prime.cohort.readers import read_source
from prime.cohort.readers.report_texts import ReportTable, report_texts
from prime.cohort.readers.tokens import TokenSource, slide_stem
from prime.cohort.readers.vector import VectorSource
from prime.cohort.tables import patient_ids, read_table, require_columns
from prime.errors import InputError
from prime.files import read_text
from prime.settings.strict import Strict
from prime.store.packing import pack

PATIENTS = 24


def cohort(
    folder: Path, clinical: dict[str, Any] | None = None, ids: list[str] | None = None
) -> CohortConfig:
    """A cohort of one table of features; `ids` are those of the features."""
    rng = np.random.default_rng(0)
    names = [f"H-{i:03d}" for i in range(PATIENTS)]
    table = pd.DataFrame(
        {"id": names, "t": rng.integers(100, 3000, PATIENTS), "e": [0, 1] * (PATIENTS // 2)}
        | {"age": rng.integers(30, 90, PATIENTS), "type": "LUAD"}
    )
    for column, values in (clinical or {}).items():
        table[column] = values
    table.to_csv(folder / "clinical.csv", index=False)
    features = pd.DataFrame(rng.normal(size=(PATIENTS, 3)), columns=["a", "b", "c"])
    features.insert(0, "patient_id", ids or names)
    features.to_csv(folder / "genes.csv", index=False)
    return CohortConfig.model_validate(
        {
            "name": "made-up",
            "root": str(folder),
            "clinical": {
                "format": "table", "path": "clinical.csv", "patient_id": "id", "cohort": "type",
                "endpoints": {"os": {"time": "t", "event": "e"}}, "covariates": ["age"],
            },
            "modalities": {"rna": {"genes": {"reader": "vector", "path": "genes.csv"}}},
        }
    )  # fmt: skip


def checked(
    folder: Path, clinical: dict[str, Any] | None = None, ids: list[str] | None = None
) -> CheckReport:
    return check(cohort(folder, clinical, ids), progress=False)


@pytest.mark.parametrize(
    "other",
    [
        "H\u2011001", "H\u2013001", "H\u2212001", "H-001\u200b", "\ufeffH-001", "H_001", "h-001", "'H-001",
        '="H-001"', "\u041d-001", "H-\uff10\uff101", "H -001",
    ],
)  # fmt: skip
def test_one_id_in_two_spellings_is_an_error_of_check_and_of_packing(tmp_path: Path, other: str) -> None:
    names = [f"H-{i:03d}" for i in range(PATIENTS)]
    config = cohort(tmp_path, ids=[other if name == "H-001" else name for name in names])
    found = [line for line in check(config, progress=False).errors if "two spellings" in line]
    assert len(found) == 1
    assert found[0].isascii()
    with pytest.raises(InputError, match="two spellings"):
        pack(config, tmp_path / "store", progress=False)


def test_letters_with_accents_are_one_however_they_are_composed() -> None:
    assert spelt_twice(["M\u00fcller", "Mu\u0308ller", "Muller"]) == [["M\u00fcller", "Mu\u0308ller"]]
    assert spellings(["a", "A"]) == "a = A"
    assert spelt_twice(["1-23", "12-3", "A1", "A-1", "P1", "P01", "\u0411", "B"]) == []


@pytest.mark.parametrize("name", ["2.02E+11", "1E+05", "01-Mar", "Sep-02", "2024-03-01 00:00:00", "#REF!"])
def test_what_a_spreadsheet_made_of_an_id_is_refused(tmp_path: Path, name: str) -> None:
    assert changed_by_spreadsheet(name)
    with pytest.raises(InputError, match="spreadsheets"):
        patient_ids(pd.Series(["a", name], name="id"), tmp_path / "t.csv", "t")
    with pytest.raises(InputError, match="spreadsheets"):
        patient_in(name, "t")


@pytest.mark.parametrize("name", ["1e5", "12E5", "A-Mar", "2024-03-01", "03-12", "E+11", "MAR-1"])
def test_ids_that_only_look_so_are_ids(name: str) -> None:
    assert changed_by_spreadsheet(name) is None


@pytest.mark.parametrize("kind", ["xlsx", "parquet"])
@pytest.mark.parametrize("text", [False, True])
def test_numbers_that_lost_their_last_digits_are_no_ids(tmp_path: Path, kind: str, text: bool) -> None:
    ids = [9007199254740993, 9007199254740994]
    path = tmp_path / f"t.{kind}"
    if kind == "xlsx":
        pd.DataFrame({"id": ids, "v": [1.0, 2.0]}).to_excel(path, index=False)
    else:
        pd.DataFrame({"id": np.array(ids, dtype=float), "v": [1.0, 2.0]}).to_parquet(path)
    table = read_table(path, "t", text=text, ids=("id",))
    with pytest.raises(InputError, match="without its last digits"):
        patient_ids(table["id"], path, "t")
    exact = pd.Series([9007199254740993], name="id")
    assert patient_ids(exact, tmp_path / "t.parquet", "t").tolist() == ["9007199254740993"]


def test_cancer_types_and_sites_in_two_spellings_are_said(tmp_path: Path) -> None:
    found = checked(tmp_path, {"type": ["LUAD", "luad"] * (PATIENTS // 2)})
    assert any("cancer types in two spellings (LUAD = luad)" in line for line in found.warnings)


def test_underscores_are_no_part_of_a_number(tmp_path: Path) -> None:
    assert number("1_000") is None
    assert finite_number("1_0") is None
    assert number("1e3") == 1000.0
    (tmp_path / "t.csv").write_text("patient_id,a\np1,1_000\np2,2\n")
    with pytest.raises(InputError, match="'1_000', not a number"):
        read_source("x", VectorSource(reader="vector", path="t.csv"), tmp_path)


def test_lists_in_cells_are_no_numbers(tmp_path: Path) -> None:
    pd.DataFrame({"patient_id": ["p"], "a": [[1.0, 2.0]]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="not a number"):
        read_source("x", VectorSource(reader="vector", path="t.parquet"), tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id;a\np1;1\n", "separated by ';'"),
        ("id;a\np1;1,5\np2;2,5\n", "separated by ';'"),
        ("id\ta\np1\t1\n", r"separated by '\\t'"),
        ("# made in 2024\nid,a\np1,1\n", "first line is '# made in 2024', not the header"),
        ("sep=,\nid,a,b\np1,1,2\n", "first line is 'sep=', not the header"),
        ("id,a,b\np1,1,2\np2,1", "last line has 2 of 3 fields"),
    ],
)
def test_a_table_of_another_layout_says_what_it_is(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        require_columns(read_table(path, "t"), ["id"], path, "t")


@pytest.mark.parametrize("text", ["id,a\np1,1\np2,2", 'id,a\np1,"x\ny"', "id,a\n\np1,1\n", "id\np1"])
def test_a_whole_table_without_a_last_line_feed_is_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert "p1" in read_table(tmp_path / "t.csv", "t")["id"].tolist()


def test_utf_16_without_its_mark_is_said_in_tables_and_texts(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("id,a\np1,1\n".encode("utf-16-le"))
    with pytest.raises(InputError, match="UTF-16"):
        read_table(path, "t")
    with pytest.raises(InputError, match="UTF-16"):
        read_text(path)


@pytest.mark.parametrize(
    "start", [r"{\rtf1\ansi ", "<html><body>", "<!DOCTYPE html>", "%PDF-1.4 ", "<?xml ?>"]
)
def test_layout_is_not_read_as_words(tmp_path: Path, start: str) -> None:
    table = pd.DataFrame({"patient_filename": ["p1", "p2"], "text": ["plain <2 cm>", f"{start}tumour"]})
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match=r"row 2 \(patient p2\): text: is .*, not plain text"):
        report_texts(ReportTable(reader="words", path="t.csv"), tmp_path, "x")


def test_calendar_years_are_no_times(tmp_path: Path) -> None:
    years = list(range(1999, 1999 + PATIENTS))
    assert any("calendar years" in line for line in checked(tmp_path, {"t": years}).warnings)
    assert not any("calendar" in line for line in checked(tmp_path).warnings)


def test_a_code_for_missing_is_said_of_times_covariates_and_features(tmp_path: Path) -> None:
    times, ages = [9999, 9999, *range(100, 98 + PATIENTS)], [999, 999, *range(30, 28 + PATIENTS)]
    found = checked(tmp_path, {"t": times, "age": ages}).warnings
    assert any("2 patients have the time 9999" in line for line in found)
    assert any("covariate age: 2 patients have 999" in line for line in found)
    config = cohort(tmp_path)
    table = pd.read_csv(tmp_path / "genes.csv")
    table.loc[:3, "b"] = -999.0
    table.to_csv(tmp_path / "genes.csv", index=False)
    assert any("least value such as -999 (b)" in line for line in check(config, progress=False).warnings)
    assert code_for_missing(np.array([998.0, 999.0, 999.0])) is None
    assert code_for_missing(np.array([1.0, 2.0, 999.0])) is None


def test_names_that_would_be_those_of_our_own_columns_and_files_are_refused(tmp_path: Path) -> None:
    value = cohort(tmp_path).model_dump(mode="json")
    genes = {"reader": "vector", "path": "genes.csv"}
    for modalities in (
        {"rna": {"manifest": genes}},
        {"all": {"genes": genes}},
        {"nothing": {"genes": genes}},
    ):
        with pytest.raises(ValueError, match="rename it"):
            CohortConfig.model_validate(value | {"modalities": modalities})
    clinical = value["clinical"] | {"endpoints": {"x": {"time": "t", "event": "e"}}}
    with pytest.raises(ValueError, match="rename it"):
        CohortConfig.model_validate(value | {"clinical": clinical})


def test_yes_is_no_number() -> None:
    class Settings(Strict):
        count: int = 1
        share: float | None = None
        flag: bool | int = False

    for key in ("count", "share"):
        with pytest.raises(ValueError, match="should be a number"):
            Settings.model_validate({key: True})
    assert Settings.model_validate({"flag": True, "count": 2}).flag is True


def slides(folder: Path, files: dict[str, tuple[NDArray[Any], NDArray[Any] | None]]) -> TokenSource:
    for name, (features, coords) in files.items():
        with h5py.File(folder / name, "w") as file:
            file["features"] = features.astype(np.float32)
            if coords is not None:
                file["coords"] = coords
    return TokenSource(reader="h5", path=".")


def test_coordinates_of_another_number_of_tiles_are_refused(tmp_path: Path) -> None:
    config = slides(tmp_path, {"p.h5": (np.ones((4, 3)), np.zeros((6, 2)))})
    with pytest.raises(InputError, match="coords has 6 rows, features has 4"):
        read_source("x", config, tmp_path)
    slides(tmp_path, {"p.h5": (np.ones(3), np.zeros((6, 2)))})
    assert read_source("x", config, tmp_path).dim == 3
    slides(tmp_path, {"p.h5": (np.ones((1, 4, 3)), np.zeros((1, 4, 2)))})
    assert read_source("x", config, tmp_path).dim == 3


def test_a_copy_of_a_slide_counts_once_and_is_named(tmp_path: Path) -> None:
    tokens = np.arange(12.0).reshape(4, 3)
    config = slides(
        tmp_path, {"p.h5": (tokens, None), "p.copy.h5": (tokens, None), "p.2.h5": (-tokens, None)}
    )
    source = read_source("x", config, tmp_path)
    assert [len(rows) for _, rows in source.patients] == [8]
    assert any("holds the same tokens" in note for note in source.notes)


def test_feature_files_of_another_kind_are_counted(tmp_path: Path) -> None:
    config = slides(tmp_path, {"p.h5": (np.ones((4, 3)), None)})
    (tmp_path / "q.pt").write_bytes(b"")
    assert any("1 files of another kind" in note for note in read_source("x", config, tmp_path).notes)


def test_folders_in_a_table_of_slides_do_not_count() -> None:
    assert slide_stem("features/a.b.h5") == slide_stem("C:\\slides\\a.b.svs") == "a.b"
