"""Report texts by patient, as packing, counting words and checking all read them."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from prime.cohort.check.check import CheckReport, check
from prime.cohort.config import load_cohort
from prime.cohort.readers import read_source
from prime.cohort.readers.report_texts import ReportTable, report_texts
from prime.cohort.source import SourceTexts
from prime.errors import InputError

ROWS = [
    ("b.1", " second "),
    ("a.x.y", "first"),
    ("c.1", None),
    ("b.2", "  "),
    ("b.3", "third"),
    ("d.1", ""),
]


def write(folder: Path, rows: list[tuple[str | None, str | None]], name: str = "r.parquet") -> ReportTable:
    frame = pd.DataFrame(rows, columns=["patient_filename", "text"])
    if name.endswith(".csv"):
        frame.to_csv(folder / name, index=False)
    elif name.endswith(".xlsx"):
        frame.to_excel(folder / name, index=False)
    else:
        frame.to_parquet(folder / name, index=False)
    return ReportTable(reader="report", path=name)


def texts(folder: Path, config: ReportTable) -> SourceTexts:
    return report_texts(config, folder, "source text")


@pytest.mark.parametrize("name", ["r.parquet", "r.csv", "r.xlsx"])
def test_texts_are_joined_by_patient_and_a_missing_cell_is_no_text(tmp_path: Path, name: str) -> None:
    found = texts(tmp_path, write(tmp_path, ROWS, name))
    assert list(found.texts.items()) == [("a", "first"), ("b", "second\nthird")]
    assert found.count == 6
    assert found.notes == [
        "1 patients have several reports: joined",
        "2 reports are empty (c, d): counted as missing",
    ]


@pytest.mark.parametrize("name", ["r.parquet", "r.csv", "r.xlsx"])
@pytest.mark.parametrize("patient", [".x", " .1", None])
def test_a_row_without_a_patient_is_refused(tmp_path: Path, name: str, patient: str | None) -> None:
    config = write(tmp_path, [("a", "one"), (patient, "two")], name)
    with pytest.raises(InputError, match=rf"source text: .*{name}: row 2 has no patient in patient_filename"):
        texts(tmp_path, config)


def test_the_patient_of_a_tcga_report_is_that_of_its_barcode(tmp_path: Path) -> None:
    rows: list[tuple[str | None, str | None]] = [("TCGA-BP-5195.25C0", "one"), ("TCGA-BP-5195-01A.2", "two")]
    assert texts(tmp_path, write(tmp_path, rows)).texts == {"TCGA-BP-5195": "one\ntwo"}


def test_no_text_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="every report is empty; check the column 'text'"):
        texts(tmp_path, write(tmp_path, [("a", " "), ("b", None)]))


def checked(folder: Path, rows: list[tuple[str | None, str | None]], **options: str) -> CheckReport:
    write(folder, rows)
    (folder / "clinical.csv").write_text("id,t,e\na,10,1\nb,20,0\n")
    value = {
        "name": "reports",
        "clinical": {
            "format": "table", "path": "clinical.csv", "patient_id": "id",
            "endpoints": {"os": {"time": "t", "event": "e"}},
        },
        "modalities": {"report": {"text": {"path": "r.parquet", **options}}},
    }  # fmt: skip
    (folder / "cohort.yaml").write_text(yaml.safe_dump(value))
    return check(load_cohort(folder / "cohort.yaml"), progress=False)


@pytest.mark.parametrize("options", [{"reader": "report", "encoder": "minilm"}, {"reader": "words"}])
def test_the_check_refuses_what_packing_refuses(tmp_path: Path, options: dict[str, str]) -> None:
    report = checked(tmp_path, [("a", "one"), (".b", "two")], **options)
    assert any("row 2 has no patient in patient_filename" in line for line in report.errors)


@pytest.mark.parametrize("options", [{"reader": "report", "encoder": "minilm"}, {"reader": "words"}])
def test_the_check_and_packing_note_the_same(tmp_path: Path, options: dict[str, str]) -> None:
    report = checked(tmp_path, ROWS, **options)
    config = load_cohort(tmp_path / "cohort.yaml")
    source = read_source("text", config.modalities["report"]["text"], config.root)
    assert report.sources[0].notes == source.notes
    assert report.sources[0].patients == 2
    assert report.errors == []


def test_an_encoder_that_is_not_here_is_left_for_packing(tmp_path: Path) -> None:
    report = checked(tmp_path, ROWS, reader="report", encoder="some/bert", trained_on="notes")
    assert report.errors == []
    assert sum("encoder 'some/bert' is no folder here" in line for line in report.warnings) == 1
    assert report.sources[0].attributes == {"encoder": "some/bert", "trained_on": "notes"}
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "bert").mkdir()
    report = checked(tmp_path, ROWS, reader="report", encoder="some/bert")
    assert any("expected config.json" in line for line in report.errors)
