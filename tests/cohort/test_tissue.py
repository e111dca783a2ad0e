"""Which tissue stands for the tumour: the rule, and every reader that follows it."""

import random
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from prime.cohort.check.check import check
from prime.cohort.config import load_cohort
from prime.cohort.readers import inspect_source
from prime.cohort.readers.facts import FactSource
from prime.cohort.readers.registry import read_source
from prime.cohort.readers.report import ReportSource
from prime.cohort.readers.tokens import TokenSource
from prime.cohort.readers.vector import VectorSource
from prime.cohort.readers.words import WordSource
from prime.cohort.source import SourceConfig, SourceRows, SourceTexts
from prime.cohort.tissue import TUMOUR, TissueRule, sample_types, sort_tissue, without_normal
from prime.errors import InputError

ONE, TWO, THREE = "TCGA-AA-0001", "TCGA-AA-0002", "TCGA-AA-0003"
SLIDES = {  # a slide, and the number that its features have
    f"{ONE}-01Z-00-DX1": 1.0,
    f"{ONE}-11A-01-TS1": 100.0,
    f"{ONE}-11Z-00-DX1": 100.0,
    f"{ONE}-01A-01-TS1": 100.0,
    f"{ONE}-06Z-00-DX1": 100.0,
    f"{TWO}-06Z-00-DX1": 2.0,
    f"{TWO}-02Z-00-DX1": 100.0,
    f"{THREE}-11Z-00-DX1": 100.0,
    "plain": 3.0,
}
RIGHT = {ONE: 1.0, TWO: 2.0, "plain": 3.0}
NOTES = [
    "samples used: 1 metastatic (06), 1 primary (01), 1 without a sample type",
    "samples left out: 1 frozen normal tissue (11 TS), 1 frozen primary (01 TS), 1 metastatic (06), "
    "2 normal tissue (11), 1 recurrent (02) (samples and frozen say which are used)",
    f"1 patients have no sample that is used ({THREE})",
]


def naive(names: list[str]) -> list[str]:
    """The names that are used, by the fields of the barcodes, one patient at a time."""
    used: list[str] = []
    for patient in dict.fromkeys(name[:12] for name in names):
        mine = [name.split("-") for name in names if name[:12] == patient]
        mine = [fields for fields in mine if fields[-1][:2] not in ("TS", "MS", "BS")]
        for kind in ("01", "03", "06"):
            found = ["-".join(fields) for fields in mine if fields[3][:2] == kind]
            if found:
                used += found
                break
    return used


@given(st.integers(0, 10_000))
def test_it_is_the_rule_in_words(seed: int) -> None:
    chance = random.Random(seed)
    names = [
        f"TCGA-AA-000{chance.randint(1, 4)}-{chance.choice(['01', '02', '03', '06', '10', '11', '20'])}"
        f"{chance.choice('AZ')}-0{chance.randint(0, 3)}-{chance.choice(['DX1', 'DXA', 'TS1', 'BS2', 'MS1'])}"
        for _ in range(chance.randint(1, 20))
    ]
    found = sort_tissue(names, [name[:12] for name in names], TUMOUR)
    assert sorted(found.used(names)) == sorted(naive(names))
    assert sorted(sort_tissue(names, [n[:12] for n in names], TissueRule((), True)).used(names)) == sorted(
        names
    )


@given(st.permutations(["06A-02", "01B-01", "01A-02", "01A-11", "11A-01", "03A-01"]))
def test_the_lowest_vial_and_portion_of_the_primary_is_the_single_one(ends: list[str]) -> None:
    names = [f"{ONE}-{end}R" for end in ends]
    assert sort_tissue(names, [ONE] * 6, TUMOUR, single=True).used(names) == [f"{ONE}-01A-02R"]


@pytest.mark.parametrize(
    ("ends", "types", "used"),
    [
        (["06A", "03B", "03A"], TUMOUR.types, ["03B", "03A"]),
        (["11A", "06A", "02A"], TUMOUR.types, ["06A"]),
        (["11A", "02A"], TUMOUR.types, []),
        (["11A", "01A"], ("11",), ["11A"]),
        (["06A", "01A"], ("06", "01"), ["06A"]),
        (["06A", "01A", "11A"], (), ["06A", "01A", "11A"]),
    ],
)
def test_the_order_of_types_and_what_a_user_wants(ends: list[str], types: tuple[str, ...], used: list[str]):
    names = [f"{ONE}-{end}" for end in ends]
    found = sort_tissue(names, [ONE] * len(names), TissueRule(types))
    assert [name[13:] for name in found.used(names)] == used


def test_nothing_but_tcga_barcodes_is_touched() -> None:
    names = ["P-11A", "sample-06", "CPTAC-11-0001-11A", "TCGA-AA-0001", "GTEX-1117F-0011", "a-01A-01-TS1", ""]
    found = sort_tissue(names, names, TUMOUR, single=True)
    assert found.reasons == [""] * len(names)
    assert found.notes() == []
    assert not any(without_normal(names, names).reasons)


def test_types_as_users_write_them() -> None:
    assert sample_types("all") == sample_types(["all"]) == ()
    assert sample_types([1, "06", 11]) == ("01", "06", "11")
    assert sample_types("06") == sample_types(6) == ("06",)
    for wrong in ("primary", [], ["1"], ["all", "01"], True, None, ["²²"]):
        with pytest.raises(ValueError, match="two digits"):
            sample_types(wrong)
    with pytest.raises(ValidationError, match="two digits"):
        TokenSource(reader="h5", path=".", samples="normal")  # pyright: ignore[reportArgumentType]


# Readers ----------------------------------------------------------------------------------------------------


def source(kind: str, folder: Path, **options: object) -> SourceConfig:
    """A source with SLIDES, as each reader has it."""
    values = pd.Series(SLIDES)
    names = values.index.to_series()
    patients = names.where(~names.str.startswith("TCGA"), names.str[:12])
    if kind == "h5":
        for name, value in SLIDES.items():
            with h5py.File(folder / f"{name}.h5", "w") as file:
                file["features"] = np.full((2, 3), value, np.float32)
        return TokenSource.model_validate({"reader": "h5", "path": ".", **options})
    if kind == "pt":
        import torch

        for name, value in SLIDES.items():
            torch.save(torch.full((2, 3), value), folder / f"{name}.pt")
        return TokenSource.model_validate({"reader": "pt", "path": ".", **options})
    if kind in ("vector", "vector by sample_id"):
        column = "slide" if kind == "vector" else "sample"
        table = pd.DataFrame({"patient_id": patients, column: names, "a": values, "b": values})
        table.to_csv(folder / "t.csv", index=False)
        named = {"sample_id": "sample"} if kind != "vector" else {"ignore": ["slide"]}
        return VectorSource.model_validate({"reader": "vector", "path": "t.csv", **named, **options})
    texts = [f"tumor size {value:g} cm" for value in values]
    pd.DataFrame({"patient_filename": [f"{n}.pdf" for n in names], "text": texts}).to_csv(
        folder / "r.csv", index=False
    )
    made = {"report": ReportSource, "words": WordSource, "facts": FactSource}[kind]
    extra = {"encoder": "minilm"} if kind == "report" else {}
    return made.model_validate({"reader": kind, "path": "r.csv", **extra, **options})


def numbers(config: SourceConfig, folder: Path) -> tuple[dict[str, float], list[str]]:
    """The number of each patient that a reader gives, and its notes."""
    found = read_source("s", config, folder)
    values = {patient: float(rows.mean()) for patient, rows in found.patients}
    return values, found.notes


@pytest.mark.parametrize("kind", ["h5", "pt", "vector by sample_id"])
def test_readers_of_features_read_the_tumour_alone(kind: str, tmp_path: Path) -> None:
    values, notes = numbers(source(kind, tmp_path), tmp_path)
    assert values == RIGHT
    assert notes[:3] == NOTES


@pytest.mark.parametrize("kind", ["report", "words", "facts"])
def test_readers_of_reports_read_those_on_the_tumour_alone(kind: str, tmp_path: Path) -> None:
    config = source(kind, tmp_path)
    found = inspect_source("s", config, tmp_path)
    if isinstance(found, SourceTexts):
        assert {name: text.split()[2] for name, text in found.texts.items()} == {
            ONE: "1", TWO: "2", "plain": "3",
        }  # fmt: skip
    else:
        assert isinstance(found, SourceRows)
        assert {patient for patient, _ in found.patients} == set(RIGHT)
    assert found.notes[:3] == NOTES


def test_options_of_a_source_say_otherwise(tmp_path: Path) -> None:
    config = source("h5", tmp_path, samples="all", frozen=True, max_tokens=100)
    assert numbers(config, tmp_path)[0][THREE] == 100.0
    config = source("h5", tmp_path, samples=[11], frozen=True)
    assert numbers(config, tmp_path)[0] == {ONE: 100.0, THREE: 100.0, "plain": 3.0}
    config = source("vector", tmp_path, samples=["06"])
    assert numbers(config, tmp_path)[0] == {ONE: 100.0, TWO: 2.0, "plain": 3.0}


def test_a_barcode_in_an_ignored_column_leaves_out_normal_tissue_alone(tmp_path: Path) -> None:
    values, notes = numbers(source("vector", tmp_path), tmp_path)
    assert values == {ONE: (1 + 100 + 100) / 3, TWO: 51.0, "plain": 3.0}
    assert "samples left out: 1 frozen normal tissue (11 TS), 2 normal tissue (11) (samples" in notes[1]


def test_the_column_of_patients_may_hold_the_barcodes(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"patient_id": [f"{ONE}-01", f"{ONE}-06", f"{TWO}-11", f"{THREE}-06"], "a": range(4)}
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    config = VectorSource(reader="vector", path="t.csv")
    assert numbers(config, tmp_path)[0] == {f"{ONE}-01": 0.0, f"{THREE}-06": 3.0}


def test_columns_that_contradict_each_other_and_nothing_left_are_told(tmp_path: Path) -> None:
    table = pd.DataFrame({"patient_id": [ONE], "tumor": [f"{ONE}-01A"], "normal": [f"{ONE}-11A"], "a": [1.0]})
    table.to_csv(tmp_path / "t.csv", index=False)
    columns = {"ignore": ("normal", "tumor")}
    with pytest.raises(InputError, match=r"row 1 holds barcodes of two samples, .* as sample_id"):
        read_source("s", VectorSource(reader="vector", path="t.csv", **columns), tmp_path)
    read_source("s", VectorSource(reader="vector", path="t.csv", sample_id="tumor", **columns), tmp_path)
    with pytest.raises(InputError, match=r"none of the 1 samples stands for the tumour"):
        read_source("s", VectorSource(reader="vector", path="t.csv", sample_id="normal", **columns), tmp_path)


def test_a_row_that_is_wrong_keeps_its_number(tmp_path: Path) -> None:
    table = pd.DataFrame({"patient_id": [f"{ONE}-11A", f"{TWO}-01A"], "a": [1.0, np.inf]})
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match=r"row 2 \(patient TCGA-AA-0002-01A\)"):
        read_source("s", VectorSource(reader="vector", path="t.csv"), tmp_path)


def test_check_counts_by_sample_type(tmp_path: Path) -> None:
    source("h5", tmp_path)
    pd.DataFrame({"patient": [ONE, TWO, THREE, "plain"]}).to_csv(tmp_path / "c.csv", index=False)
    (tmp_path / "cohort.yaml").write_text(
        "name: x\nclinical: {format: table, path: c.csv, patient_id: patient}\n"
        "modalities: {image: {tiles: {reader: h5, path: .}, all: {reader: h5, path: ., samples: all}}}\n",
        encoding="utf-8",
    )
    found = {
        item.source: item for item in check(load_cohort(tmp_path / "cohort.yaml"), progress=False).sources
    }
    assert found["tiles"].notes[: len(NOTES)] == NOTES
    assert (found["tiles"].patients, found["all"].patients) == (3, 4)
