"""The clinical table: every spelling of missing, units, polarity, exclusions, and each error."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prime.cohort.cells import is_missing, value_key
from prime.cohort.config import ClinicalConfig, ExcludeConfig
from prime.cohort.endpoints import ClinicalTable, read_clinical
from prime.errors import InputError

TCGA = Path(__file__).resolve().parents[2] / ".." / "shared" / "tcga"


def cdr_frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "bcr_patient_barcode": ["TCGA-AA-0001", "TCGA-AB-0002", "TCGA-AC-0003", "TCGA-AD-0004"],
            "type": ["BRCA", "BRCA", "LUAD", "LUAD"],
            "OS": ["1", "0", "#N/A", "[Not Available]"],
            "OS.time": ["100", "0", "5", "[Unknown]"],
            "PFI": ["0", "[Not Applicable]", "1", ""],
            "PFI.time": ["90", "[Discrepancy]", "[Not Evaluated]", ""],
            "Redaction": ["", "Redacted", "", ""],
        }
    )


def write_cdr(folder: Path, kind: str) -> ClinicalConfig:
    if kind == "xlsx":
        with pd.ExcelWriter(folder / "cdr.xlsx") as book:
            pd.DataFrame({"other": [1]}).to_excel(book, sheet_name="First", index=False)
            cdr_frame().to_excel(book, sheet_name="TCGA-CDR", index=False)
    else:
        cdr_frame().to_csv(folder / "cdr.csv", index=False)
    return ClinicalConfig(format="tcga-cdr", path=f"cdr.{kind}")


@pytest.mark.parametrize("kind", ["xlsx", "csv"])
def test_cdr(tmp_path: Path, kind: str) -> None:
    table = read_clinical(write_cdr(tmp_path, kind), tmp_path)
    frame = table.frame
    assert table.endpoints == ["os", "pfi"]
    assert list(frame["patient_id"]) == list(cdr_frame()["bcr_patient_barcode"])
    assert list(frame["cohort"]) == ["BRCA", "BRCA", "LUAD", "LUAD"]
    assert list(frame["site"]) == ["AA", "AB", "AC", "AD"]
    assert list(frame["excluded"]) == [False, True, False, False]
    assert frame["exclude_reason"][1] == "redacted"
    np.testing.assert_array_equal(frame["os_time_days"], [100, 0, np.nan, np.nan])
    np.testing.assert_array_equal(frame["os_event"], [1, 0, np.nan, np.nan])
    np.testing.assert_array_equal(frame["pfi_time_days"], [90, np.nan, np.nan, np.nan])
    assert any("os: 1 patients have a time but no event (first TCGA-AC-0003)" in note for note in table.notes)
    assert any(
        "pfi: 1 patients have an event but no time (first TCGA-AC-0003)" in note for note in table.notes
    )


def generic(folder: Path, rows: dict[str, list[Any]] | None = None, **endpoint: Any) -> ClinicalTable:
    rows = rows or {}
    base: dict[str, list[Any]] = {
        "id": ["a", "b", "c"],
        "t": [1, 2, 3],
        "e": [1, 0, 0],
        "type": ["X", "X", "Y"],
        "age": [50, "", 70.5],
        "status": ["ok", "withdrawn", "ok"],
    }
    pd.DataFrame(base | rows).to_csv(folder / "clinical.csv", index=False)
    config = ClinicalConfig.model_validate(
        {
            "format": "table",
            "path": "clinical.csv",
            "patient_id": "id",
            "cohort": "type",
            "endpoints": {"relapse": {"time": "t", "event": "e"} | endpoint},
            "exclude": [{"column": "status", "values": ["withdrawn"], "reason": "consent"}],
            "covariates": ["age"],
        }
    )
    return read_clinical(config, folder)


def test_generic_table_with_its_own_endpoint(tmp_path: Path) -> None:
    frame = generic(tmp_path).frame
    np.testing.assert_array_equal(frame["relapse_time_days"], [1, 2, 3])
    np.testing.assert_array_equal(frame["relapse_event"], [1, 0, 0])
    np.testing.assert_array_equal(frame["x_age"], [50, np.nan, 70.5])
    assert list(frame["excluded"]) == [False, True, False]
    assert frame["exclude_reason"][1] == "consent"
    assert list(frame["site"]) == ["", "", ""]


@pytest.mark.parametrize(("unit", "days"), [("weeks", 7.0), ("months", 30.4375), ("years", 365.25)])
def test_units(tmp_path: Path, unit: str, days: float) -> None:
    frame = generic(tmp_path, unit=unit).frame
    np.testing.assert_allclose(frame["relapse_time_days"], [days, 2 * days, 3 * days])


def test_censorship_polarity_is_turned(tmp_path: Path) -> None:
    frame = generic(tmp_path, event_values=[0], censored_values=[1]).frame
    np.testing.assert_array_equal(frame["relapse_event"], [0, 1, 1])


def test_worded_events(tmp_path: Path) -> None:
    words = {"e": ["Dead", "alive", "Not Reported"]}
    values = {"event_values": ["dead"], "censored_values": ["Alive", "not reported"]}
    np.testing.assert_array_equal(generic(tmp_path, words, **values).frame["relapse_event"], [1, 0, 0])


def test_equal_values_have_one_key() -> None:
    assert len({value_key(v) for v in (1, 1.0, "1", " 1.0 ", True, "TRUE")}) == 1
    assert value_key(1) != value_key(0)
    assert value_key("Dead") == value_key("dead ")


@pytest.mark.parametrize(
    "value", ["#N/A", "", " ", "[Not Available]", "[unknown]", float("nan"), None, pd.NA]
)
def test_missing_spellings(value: object) -> None:
    assert is_missing(value)


def test_zero_is_not_missing() -> None:
    assert not is_missing(0)
    assert not is_missing("0")


def test_shared_values_are_refused() -> None:
    with pytest.raises(ValueError, match="must not share a value"):
        ClinicalConfig.model_validate(
            {
                "format": "table",
                "path": "x.csv",
                "patient_id": "id",
                "endpoints": {"os": {"time": "t", "event": "e", "event_values": [1], "censored_values": [1]}},
            }
        )


def test_generic_table_needs_its_patient_column() -> None:
    with pytest.raises(ValueError, match="needs patient_id"):
        ClinicalConfig(format="table", path="x.csv")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"e": [1, 2, 0]}, r"row 2 \(patient b\): e is '2', neither an event value"),
        ({"t": [1, -4, 3]}, r"row 2 \(patient b\): t is negative \(-4\)"),
        ({"t": [1, "soon", 3]}, r"row 2 \(patient b\): t is 'soon', not a finite number"),
        ({"t": [1, "inf", 3]}, r"row 2 \(patient b\): t is 'inf', not a finite number"),
        ({"age": [1, "old", 3]}, r"row 2 \(patient b\): age is 'old'"),
        ({"id": ["a", "b", "a"]}, r"patient a occurs twice, in rows 1 and 3"),
        ({"id": ["a", "", "c"]}, r"row 2 has no id"),
    ],
)
def test_bad_cells_name_row_and_patient(tmp_path: Path, rows: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        generic(tmp_path, rows)
    assert "clinical.csv" in str(error.value)


def test_missing_column_lists_those_found(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no column 'nope'; found 'id', 't', 'e'"):
        generic(tmp_path, time="nope")


def test_missing_exclusion_column(tmp_path: Path) -> None:
    config = write_cdr(tmp_path, "csv")
    rule = ExcludeConfig(column="consent", values=("no",))
    with pytest.raises(InputError, match="no column 'consent'"):
        read_clinical(config.model_copy(update={"exclude": (rule,)}), tmp_path)


def test_cdr_without_any_endpoint(tmp_path: Path) -> None:
    (tmp_path / "cdr.csv").write_text("bcr_patient_barcode,type\nTCGA-AA-0001,BRCA\n")
    with pytest.raises(InputError, match="is it TCGA-CDR"):
        read_clinical(ClinicalConfig(format="tcga-cdr", path="cdr.csv"), tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"bcr_patient_barcode,type\nTCGA-AA-0001,M\xfcnchen\n", "not UTF-8"),
        (b"", "the file is empty"),
        (b"bcr_patient_barcode,type\n", "the table has no rows"),
        (b"type,type\n1,2\n", "column 'type' occurs twice"),
        (b"a,b\n1,2\n1,2,3,4\n", "malformed table"),
        (b"a,b\n1,2,\n3,4,\n", "more fields than the header has names"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "cdr.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_clinical(ClinicalConfig(format="tcga-cdr", path="cdr.csv"), tmp_path)


def test_missing_file_sheet_and_damaged_workbook(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_clinical(ClinicalConfig(format="tcga-cdr", path="none.xlsx"), tmp_path)
    config = write_cdr(tmp_path, "xlsx")
    with pytest.raises(InputError, match=r"no sheet 'Nope'; found 'First', 'TCGA-CDR'"):
        read_clinical(config.model_copy(update={"sheet": "Nope"}), tmp_path)
    (tmp_path / "cdr.xlsx").write_bytes((tmp_path / "cdr.xlsx").read_bytes()[:200])
    with pytest.raises(InputError, match="not a readable xlsx"):
        read_clinical(config, tmp_path)
    (tmp_path / "cdr.json").write_text("{}")
    with pytest.raises(InputError, match=r"unknown kind of table '\.json'"):
        read_clinical(ClinicalConfig(format="tcga-cdr", path="cdr.json"), tmp_path)


@pytest.mark.tcga
@pytest.mark.skipif(not TCGA.is_dir(), reason="the TCGA evaluation set is not beside the checkout")
def test_real_cdr() -> None:
    table = read_clinical(ClinicalConfig(format="tcga-cdr", path="TCGA-CDR.xlsx"), TCGA)
    assert len(table.frame) == 11160
    assert table.endpoints == ["os", "pfi", "dss", "dfi"]
    assert int(table.frame["excluded"].sum()) == 57
    assert int((table.frame["cohort"] == "BRCA").sum()) == 1097
    with_os = set(table.frame["cohort"][table.frame["os_event"].notna()])
    assert with_os == {"BRCA", "LUAD", "LUSC", "LGG", "BLCA", "UCEC"}


def entered(folder: Path, **columns: list[Any]) -> ClinicalTable:
    return generic(folder, columns, entry="first_seen", unit="months")


def test_delayed_entry_is_read_in_the_unit_of_the_time(tmp_path: Path) -> None:
    table = entered(tmp_path, t=[10, 20, 30], first_seen=[0, 5, 29])
    np.testing.assert_allclose(table.frame["relapse_entry_days"], np.array([0, 5, 29]) * 30.4375)
    assert any("2 of 3 patients came under observation late (first_seen)" in note for note in table.notes)
    assert not table.warnings


def test_who_was_never_seen_at_risk_has_no_outcome(tmp_path: Path) -> None:
    table = entered(tmp_path, t=[10, 20, 30], first_seen=["", 20, 31])
    frame = table.frame
    for column in ("relapse_time_days", "relapse_event", "relapse_entry_days"):
        assert frame[column].isna().all()
    assert any("1 patients have no entry (first_seen) (first a)" in line for line in table.warnings)
    late = "2 patients have an entry (first_seen) that is not before the time (first b)"
    assert any(late in line for line in table.warnings)


def test_a_negative_entry_and_one_in_another_unit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="first_seen is negative"):
        entered(tmp_path, t=[10, 20, 30], first_seen=[0, -1, 2])
    with pytest.raises(InputError, match="'entry_months' is named for months, but no unit is stated"):
        generic(tmp_path, {"entry_months": [0, 0, 0]}, entry="entry_months")
    with pytest.raises(InputError, match="nowhere"):
        generic(tmp_path, entry="nowhere")


def test_time_is_counted_from_a_stated_zero(tmp_path: Path) -> None:
    """Who entered before it was under observation then; who left before it has no follow-up."""
    columns: dict[str, list[Any]] = {"t": [100, 200, 30], "surgery": [10, -5, 40], "seen": [5, 20, 0]}
    table = generic(tmp_path, columns, zero="surgery", entry="seen")
    np.testing.assert_array_equal(table.frame["relapse_time_days"], [90, 205, np.nan])
    np.testing.assert_array_equal(table.frame["relapse_entry_days"], [0, 25, np.nan])
    assert any("no follow-up beyond time zero (surgery) (first c)" in line for line in table.warnings)
    missing = generic(tmp_path, columns | {"surgery": [10, "", 0]}, zero="surgery")
    assert any("1 patients have no time zero (surgery) (first b)" in line for line in missing.warnings)
    assert "relapse_entry_days" not in missing.frame


def test_a_cohort_file_without_entry_is_packed_as_it_was() -> None:
    """Stores compare what the cohort file says with what they were made of."""
    config = ClinicalConfig.model_validate(
        {
            "format": "table",
            "path": "t.csv",
            "patient_id": "id",
            "endpoints": {"os": {"time": "t", "event": "e"}},
        }
    )
    assert set(config.model_dump(mode="json")["endpoints"]["os"]) == {
        "time", "event", "event_time", "event_values", "censored_values", "unit",
    }  # fmt: skip
