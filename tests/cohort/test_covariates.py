"""Covariates: numbers and words, several columns, each error; and the same as a source of a modality."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import ValidationError

from prime.cli import main
from prime.cohort.check.check import check
from prime.cohort.config import ClinicalConfig, CohortConfig, load_cohort
from prime.cohort.endpoints import ClinicalTable, read_clinical
from prime.cohort.readers import read_source, source_files
from prime.cohort.readers.clinical import ClinicalSource
from prime.cohort.source import SourceRows
from prime.errors import InputError
from prime.settings.evaluation import EvaluateConfig, TaskConfig
from prime.splits.evaluation_folds import evaluation_folds
from prime.splits.outcomes import read_outcome
from prime.store.inputs import data_identity
from prime.store.packing import pack
from prime.store.store import Store

CHECKOUT = Path(__file__).resolve().parents[2]
TCGA = CHECKOUT / ".." / "shared" / "tcga"

SEX: dict[str, Any] = {"name": "sex", "column": "gender", "values": {"FEMALE": 0, "MALE": 1}}
STAGE: dict[str, Any] = {
    "name": "stage",
    "column": ["pathologic", "clinical"],
    "values": {"Stage I": 1, "Stage IA": 1, "Stage II": 2, "Stage III": 3},
}


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": ["a", "b", "c", "d", "e"],
            "t": [10, 20, 30, 40, 50],
            "e": [1, 0, 1, 0, 1],
            "age": ["50", "", "70.5", "[Unknown]", "4e1"],
            "gender": ["FEMALE", " male ", "Male", "female", "#N/A"],
            "pathologic": ["Stage II", "[Not Applicable]", "", "stage ia", ""],
            "clinical": ["Stage I", "Stage III", "[Discrepancy]", "Stage III", " STAGE I"],
        }
    )


def clinical_options(covariates: list[Any], path: str = "table.csv") -> dict[str, Any]:
    return {
        "format": "table",
        "path": path,
        "patient_id": "id",
        "endpoints": {"os": {"time": "t", "event": "e"}},
        "covariates": covariates,
    }


def write(folder: Path, changes: dict[tuple[int, str], str] | None = None) -> None:
    table = frame()
    for (row, column), value in (changes or {}).items():
        table.loc[row, column] = value
    table.to_csv(folder / "table.csv", index=False)


def table(folder: Path, *covariates: Any, **cells: Any) -> ClinicalTable:
    write(folder, **cells)
    return read_clinical(ClinicalConfig.model_validate(clinical_options(list(covariates))), folder)


def source(folder: Path, *covariates: Any, **options: Any) -> SourceRows:
    value = {"reader": "clinical", "path": "table.csv", "patient_id": "id", "covariates": list(covariates)}
    return read_source("facts", ClinicalSource.model_validate(value | options), folder)


# ---- in the clinical table


def test_numbers_and_words(tmp_path: Path) -> None:
    found = table(tmp_path, "age", SEX, {"name": "years", "column": "age"})
    np.testing.assert_array_equal(found.frame["x_age"], [50, np.nan, 70.5, np.nan, 40])
    np.testing.assert_array_equal(found.frame["x_years"], found.frame["x_age"])
    np.testing.assert_array_equal(found.frame["x_sex"], [0, 1, 1, 0, np.nan])
    assert found.frame["x_sex"].dtype == np.float64
    assert "covariate age: known for 3 of 5 patients" in found.notes
    assert "covariate sex: known for 4 of 5 patients" in found.notes


def test_the_first_column_with_a_known_value_counts(tmp_path: Path) -> None:
    found = table(tmp_path, STAGE).frame["x_stage"]
    np.testing.assert_array_equal(found, [2, 3, np.nan, 1, 1])
    turned = table(tmp_path, STAGE | {"column": ["clinical", "pathologic"]}).frame["x_stage"]
    np.testing.assert_array_equal(turned, [1, 3, np.nan, 3, 1])


def test_a_column_of_numbers_may_follow_another(tmp_path: Path) -> None:
    both = {"name": "first", "column": ["age", "t"]}
    np.testing.assert_array_equal(table(tmp_path, both).frame["x_first"], [50, 20, 70.5, 40, 40])


@pytest.mark.parametrize("cell", ["1", "1.0", "true", "TRUE"])
def test_equal_spellings_of_a_number_are_one_value(tmp_path: Path, cell: str) -> None:
    smoker = {"name": "smoker", "column": "gender", "values": {1: 7.5, "female": 2, "Male": 3}}
    found = table(tmp_path, smoker, changes={(0, "gender"): cell}).frame["x_smoker"]
    np.testing.assert_array_equal(found, [7.5, 3, 3, 2, np.nan])


def test_a_stated_value_is_not_missing(tmp_path: Path) -> None:
    values = {"FEMALE": 0, "MALE": 1, "#n/a": 9}
    found = table(tmp_path, SEX | {"values": values}).frame["x_sex"]
    np.testing.assert_array_equal(found, [0, 1, 1, 0, 9])


def test_other_cells_may_count_as_missing_and_are_noted(tmp_path: Path) -> None:
    cells = {(0, "pathologic"): "Stage X", (3, "clinical"): "Stage 9", (4, "clinical"): "Stage Y"}
    found = table(tmp_path, STAGE | {"other": "missing"}, changes=cells)
    np.testing.assert_array_equal(found.frame["x_stage"], [1, 3, np.nan, 1, np.nan])
    assert found.notes == [
        "covariate stage: known for 3 of 5 patients",
        "covariate stage: 2 cells are no known value (first 'Stage X'): counted as missing",
    ]
    words = table(tmp_path, {"name": "age", "column": "age", "other": "missing"}, changes={(0, "age"): "inf"})
    np.testing.assert_array_equal(words.frame["x_age"], [np.nan, np.nan, 70.5, np.nan, 40])


def test_parquet_and_csv_give_the_same(tmp_path: Path) -> None:
    typed = frame().assign(
        age=[50.0, np.nan, 70.5, np.nan, 40.0], grade=pd.array([1, 2, None, 3, 1], "Int64")
    )
    typed.to_parquet(tmp_path / "table.parquet", index=False)
    grade = {"name": "grade", "column": "grade", "values": {1: 10, 2: 20, "3": 30}}
    options = clinical_options(["age", SEX, STAGE, grade], "table.parquet")
    found = read_clinical(ClinicalConfig.model_validate(options), tmp_path).frame
    text = table(tmp_path, "age", SEX, STAGE).frame
    np.testing.assert_array_equal(found["x_grade"], [10, 20, np.nan, 30, 10])
    pd.testing.assert_frame_equal(found[["x_age", "x_sex", "x_stage"]], text[["x_age", "x_sex", "x_stage"]])


BAD_CELLS = [
    (
        SEX,
        (1, "gender"),
        "mal",
        ("row 2 (patient b)", "gender is 'mal'", "'FEMALE', 'MALE'", "other: missing"),
    ),
    (STAGE, (4, "clinical"), "Stage X", ("row 5 (patient e)", "clinical is 'Stage X'", "covariate stage")),
    ("age", (2, "age"), "old", ("row 3 (patient c)", "age is 'old'", "not a finite number")),
    ("age", (2, "age"), "-inf", ("row 3 (patient c)", "age is '-inf'", "not a finite number")),
]


@pytest.mark.parametrize(("covariate", "place", "value", "words"), BAD_CELLS)
def test_a_bad_cell_is_named(
    tmp_path: Path, covariate: Any, place: tuple[int, str], value: str, words: tuple[str, ...]
) -> None:
    reads = {
        "clinical": lambda: table(tmp_path, covariate, changes={place: value}),
        "source facts": lambda: source(tmp_path, covariate),
    }
    for name, read in reads.items():
        with pytest.raises(InputError) as error:
            read()
        message = str(error.value)
        assert message.startswith(f"{name}: {tmp_path / 'table.csv'}: row")
        assert all(word in message for word in words), message


def test_a_cell_behind_a_known_one_is_not_looked_at(tmp_path: Path) -> None:
    found = table(tmp_path, STAGE, changes={(0, "clinical"): "Stage X"}).frame["x_stage"]
    assert found[0] == 2


def test_a_long_list_of_values_is_cut_in_the_message(tmp_path: Path) -> None:
    values = {f"grade {k}": k for k in range(40)}
    with pytest.raises(InputError, match=r"'grade 5', \.\.\.\); add it"):
        table(tmp_path, SEX | {"values": values})


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"clinical: .*no column 'smoker'; found 'id', 't'"):
        table(tmp_path, SEX | {"column": ["gender", "smoker"]})
    with pytest.raises(InputError, match=r"source facts: .*no column 'smoker'; found 'id', 't'"):
        source(tmp_path, "smoker")


@pytest.mark.parametrize(
    ("covariates", "message"),
    [
        (["age", {"name": "age", "column": "t"}], "'age' is named twice"),
        ([{"name": "sex"}], "Field required"),
        ([{"name": "sex", "column": []}], "at least 1 item"),
        ([{"name": "", "column": "gender"}], "at least 1 character"),
        ([SEX | {"values": {}}], "at least 1 item"),
        ([SEX | {"values": {"male": 1, " MALE": 2}}], "'male' twice"),
        ([SEX | {"values": {1: 1, "1.0": 2}}], r"'1.0' twice"),
        ([SEX | {"values": {"male": "one"}}], "valid number"),
        ([SEX | {"values": {"male": float("nan")}}], "finite number"),
        ([SEX | {"other": "skip"}], "'error' or 'missing'"),
        ([SEX | {"colour": "red"}], "Extra inputs"),
        ([5], "valid dictionary"),
    ],
)
def test_bad_settings(covariates: list[Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ClinicalConfig.model_validate(clinical_options(covariates))


def test_a_source_needs_a_covariate() -> None:
    with pytest.raises(ValidationError, match="at least 1 item"):
        ClinicalSource.model_validate({"reader": "clinical", "path": "t.csv", "covariates": []})


def test_settings_survive_the_manifest() -> None:
    config = ClinicalConfig.model_validate(clinical_options(["age", SEX | {"values": {1: 0, "b": 2}}, STAGE]))
    plain = config.model_dump(mode="json")
    assert ClinicalConfig.model_validate(plain).model_dump(mode="json") == plain
    assert [item["column"] for item in plain["covariates"]] == [
        ["age"],
        ["gender"],
        ["pathologic", "clinical"],
    ]


# ---- as a source


def test_source_of_covariates(tmp_path: Path) -> None:
    write(tmp_path, {(2, "age"): "", (2, "gender"): ""})
    found = source(tmp_path, "age", SEX, STAGE)
    assert (found.kind, found.dim, found.feature_names) == ("vector", 3, ["age", "sex", "stage"])
    assert found.groups is not None
    assert found.groups.tolist() == [0, 1, 2]
    assert found.detected == "csv table: 5 patients, 3 covariates by id"
    assert found.notes == [
        "covariate age: known for 2 of 5 patients",
        "covariate sex: known for 3 of 5 patients",
        "covariate stage: known for 4 of 5 patients",
        "1 patients have no covariate: counted as missing",
    ]
    rows = dict(found.patients)
    assert list(rows) == ["a", "b", "d", "e"]
    expected = {"a": [50, 0, 2], "b": [np.nan, 1, 3], "d": [np.nan, 0, 1], "e": [40, np.nan, 1]}
    for patient, values in expected.items():
        assert rows[patient].dtype == np.float32
        np.testing.assert_array_equal(rows[patient], [values])


def test_a_patient_without_a_covariate_is_left_out_and_noted(tmp_path: Path) -> None:
    write(tmp_path)
    found = source(tmp_path, "age")
    assert list(dict(found.patients)) == ["a", "c", "e"]
    assert found.notes[-1] == "2 patients have no covariate: counted as missing"


def test_source_reads_a_sheet_and_numbers_as_patients(tmp_path: Path) -> None:
    with pd.ExcelWriter(tmp_path / "book.xlsx") as book:
        pd.DataFrame({"other": [1]}).to_excel(book, sheet_name="First", index=False)
        pd.DataFrame({"patient_id": [7, 12], "age": [61, None]}).to_excel(book, sheet_name="B", index=False)
    options = {"reader": "clinical", "path": "book.xlsx", "sheet": "B", "covariates": ["age"]}
    config = ClinicalSource.model_validate(options)
    rows = dict(read_source("facts", config, tmp_path).patients)
    assert {patient: values.tolist() for patient, values in rows.items()} == {"7": [[61.0]]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({(1, "id"): "a"}, "patient a occurs twice, in rows 1 and 2"),
        ({(1, "id"): " "}, "row 2 has no id"),
        ({(1, "age"): "1e39"}, r"row 2 \(patient b\): covariate age is 1e\+39; use a number that fits"),
    ],
)
def test_bad_rows_of_a_source(tmp_path: Path, changes: dict[tuple[int, str], str], message: str) -> None:
    write(tmp_path, changes)
    with pytest.raises(InputError, match=message) as error:
        source(tmp_path, "age")
    assert "source facts: " in str(error.value)
    assert "table.csv" in str(error.value)


def test_source_without_its_file(tmp_path: Path) -> None:
    config = ClinicalSource.model_validate({"reader": "clinical", "path": "no.csv", "covariates": ["age"]})
    with pytest.raises(InputError, match=r"no\.csv: no such file"):
        read_source("facts", config, tmp_path)
    with pytest.raises(InputError, match=r"no\.csv: no such file"):
        source_files("facts", config, tmp_path)


# ---- through the commands


def write_cohort(folder: Path, *covariates: Any, **options: Any) -> Path:
    """A cohort with genes for a, b and c, and the covariates as a modality too; its file."""
    write(folder, **options)
    pd.DataFrame({"patient_id": ["a", "b", "c"], "g": [1.0, 2.0, 3.0]}).to_csv(
        folder / "genes.csv", index=False
    )
    value = {
        "name": "made-up",
        "clinical": clinical_options(list(covariates)),
        "modalities": {
            "rna": {"genes": {"reader": "vector", "path": "genes.csv"}},
            "clinical": {
                "facts": {
                    "reader": "clinical",
                    "path": "table.csv",
                    "patient_id": "id",
                    "covariates": list(covariates),
                }
            },
        },
    }
    path = folder / "cohort.yaml"
    path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
    return path


def test_a_store_holds_both(tmp_path: Path) -> None:
    config = load_cohort(write_cohort(tmp_path, "age", SEX, changes={(3, "gender"): "", (3, "age"): ""}))
    store = Store.open(pack(config, tmp_path / "store", progress=False))
    assert store.stale(config) == []
    np.testing.assert_array_equal(store.patients["x_age"], [50, np.nan, 70.5, np.nan, 40])
    np.testing.assert_array_equal(store.patients["x_sex"], [0, 1, 1, np.nan, np.nan])
    np.testing.assert_array_equal(store.observed(), [[1, 1], [1, 1], [1, 1], [0, 0], [0, 1]])
    np.testing.assert_array_equal(store.values("facts"), [[50, 0], [np.nan, 1], [70.5, 1], [40, np.nan]])
    outcome = read_outcome(store, TaskConfig(name="os", endpoint="os"))
    assert outcome.usable.tolist() == [True, True, True, False, True]
    assert outcome.left_out["no modality"] == 1


def test_with_a_folds_file_patients_of_covariates_alone_take_no_part(tmp_path: Path) -> None:
    patients = [f"p{k:02d}" for k in range(24)]
    cells = {"id": patients, "t": range(1, 25), "e": [1, 0] * 12, "age": range(40, 64), "type": ["X"] * 24}
    pd.DataFrame(cells).to_csv(tmp_path / "table.csv", index=False)
    pd.DataFrame({"patient_id": patients[:20], "g": range(20)}).to_csv(tmp_path / "genes.csv", index=False)
    listed = {"patient_id": patients[:20], "cohort": ["X"] * 20, "fold": [0, 1] * 10}
    pd.DataFrame(listed).to_csv(tmp_path / "folds.csv", index=False)
    facts = {"reader": "clinical", "path": "table.csv", "patient_id": "id", "covariates": ["age"]}
    value: dict[str, Any] = {
        "name": "made-up",
        "root": str(tmp_path),
        "clinical": clinical_options([]) | {"cohort": "type"},
        "modalities": {"rna": {"genes": {"reader": "vector", "path": "genes.csv"}}},
    }
    found: dict[bool, list[list[list[int]]]] = {}
    for with_covariates in (False, True):
        if with_covariates:
            value["modalities"]["clinical"] = {"facts": facts}
        folder = pack(CohortConfig.model_validate(value), tmp_path / f"{with_covariates}", progress=False)
        store = Store.open(folder)
        outcome = read_outcome(store, TaskConfig(name="os", endpoint="os"))
        assert outcome.usable.sum() == (24 if with_covariates else 20)
        folds = evaluation_folds(store, outcome, EvaluateConfig(folds=str(tmp_path / "folds.csv")), 0)
        found[with_covariates] = [[part.tolist() for part in (f.train, f.validation, f.test)] for f in folds]
    assert found[True] == found[False]
    assert len(found[True]) == 2
    assert max(patient for fold in found[True] for part in fold for patient in part) == 19


def test_more_covariates_repack_the_patients_alone(tmp_path: Path) -> None:
    path = write_cohort(tmp_path, "age")
    folder = pack(load_cohort(path), tmp_path / "store", progress=False)
    before = Store.open(folder)
    genes = (folder / "genes.npy").stat().st_mtime_ns
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    value["clinical"]["covariates"] += [SEX]
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    assert before.stale(load_cohort(path)) == ["the options of the clinical table changed"]
    after = Store.open(pack(load_cohort(path), folder, progress=False))
    assert (folder / "genes.npy").stat().st_mtime_ns == genes
    assert data_identity(after) == data_identity(before)
    assert list(after.patients["patient_id"]) == list(before.patients["patient_id"])
    assert "x_sex" in after.patients
    assert "x_sex" not in before.patients


def test_check_reports_the_covariates(tmp_path: Path) -> None:
    report = check(load_cohort(write_cohort(tmp_path, "age", STAGE)), progress=False)
    assert report.clinical_notes == [
        "covariate age: known for 3 of 5 patients",
        "covariate stage: known for 4 of 5 patients",
    ]
    facts = next(item for item in report.sources if item.source == "facts")
    assert (facts.reader, facts.patients, facts.dim) == ("clinical", 5, 2)
    assert facts.nan_share == pytest.approx(3 / 10)


def test_the_outcome_among_covariates_is_an_error(tmp_path: Path) -> None:
    path = write_cohort(tmp_path, "age")
    days = list(range(1, 61))
    pd.DataFrame({"id": days, "t": days, "e": [1] * 30 + [0] * 30, "age": [d / 30 for d in days]}).to_csv(
        tmp_path / "table.csv", index=False
    )
    pd.DataFrame({"patient_id": days, "g": [d % 7 for d in days]}).to_csv(tmp_path / "genes.csv", index=False)
    errors = check(load_cohort(path), progress=False).errors
    assert len(errors) == 1
    assert "feature 'age' gives the outcome away" in errors[0]


@pytest.mark.parametrize(("covariate", "place", "value", "words"), BAD_CELLS)
def test_bad_cells_through_the_commands(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    covariate: Any,
    place: tuple[int, str],
    value: str,
    words: tuple[str, ...],
) -> None:
    path = str(write_cohort(tmp_path, covariate, changes={place: value}))
    for command in (["check", path], ["pack", path, "--out", str(tmp_path / "store")]):
        capsys.readouterr()
        assert main(command) == 2
        message = capsys.readouterr().err
        assert message.startswith("error: clinical: ")
        assert message.count("error: ") == 1
        assert all(word in message for word in words), message
    assert not (tmp_path / "store" / "manifest.json").exists()


def test_a_bad_key_through_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_cohort(tmp_path, SEX | {"valeus": {}})
    assert main(["check", str(path)]) == 2
    message = capsys.readouterr().err
    assert "clinical.covariates.0.valeus" in message
    assert "Traceback" not in message


@pytest.mark.tcga
@pytest.mark.skipif(not TCGA.is_dir(), reason="the TCGA evaluation set is not beside the checkout")
def test_real_covariates() -> None:
    config = load_cohort(CHECKOUT / "configs" / "tcga.clinical.cohort.yaml", str(TCGA))
    found = read_clinical(config.clinical, TCGA).frame
    names = ["age", "sex", "stage", "grade"]
    known = found[[f"x_{name}" for name in names]].notna().groupby(found["cohort"]).sum()
    counted = {  # with pandas' crosstab over the table's own words
        "BRCA": (1096, 1097, 1073, 0),
        "LUAD": (503, 522, 514, 0),
        "LUSC": (495, 504, 500, 0),
        "LGG": (515, 515, 0, 514),
        "BLCA": (412, 412, 410, 409),
        "UCEC": (545, 548, 548, 548),
    }
    assert {cohort: tuple(known.loc[cohort]) for cohort in counted} == counted
    bladder = found[found["cohort"] == "BLCA"]
    assert bladder["x_stage"].value_counts().to_dict() == {1: 2, 2: 131, 3: 141, 4: 136}
    assert bladder["x_grade"].value_counts().to_dict() == {1: 21, 3: 388}
    assert bladder["x_sex"].value_counts().to_dict() == {0: 108, 1: 304}
    rows = dict(read_source("variables", config.modalities["clinical"]["variables"], TCGA).patients)
    assert list(rows) == list(found["patient_id"]), "everybody's sex is known"
    stacked = np.concatenate(list(rows.values()))
    np.testing.assert_array_equal(stacked, found[[f"x_{name}" for name in names]].to_numpy(np.float32))
