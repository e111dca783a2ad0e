"""`prime.from_tables`: names that are paths or ours, and tables that are none of patients."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import prime
from prime.errors import InputError

PATIENTS = 30
IDS = [f"P{i}" for i in range(PATIENTS)]


def clinical() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"time": rng.integers(100, 3000, PATIENTS), "event": [0, 1] * (PATIENTS // 2), "age": 60.0}, index=IDS
    )


def genes() -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(1).normal(size=(PATIENTS, 3)), index=IDS, columns=list("abc"))


@pytest.mark.parametrize("name", ["../evil", "../../evil", "a/b", "/evil", "", "x y", "clinical", "Clinical"])
@pytest.mark.parametrize("as_source", [False, True])
def test_a_source_writes_no_file_but_its_own(tmp_path: Path, name: str, as_source: bool) -> None:
    given: dict[str, Any] = {"rna": {name: genes()}} if as_source else {name: genes()}
    place = tmp_path / "one" / "two"
    with pytest.raises(InputError, match="source"):
        prime.from_tables(place, clinical(), given)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_source_called_clinical_does_not_become_the_outcomes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the clinical table has that name"):
        prime.from_tables(tmp_path, clinical(), {"clinical": genes().assign(time=1.0, event=1)})


@pytest.mark.parametrize("value", ["Dead", "2", 2, 0.5])
def test_events_that_are_no_events_are_named(tmp_path: Path, value: Any) -> None:
    table = clinical()
    table["event"] = table["event"].astype(object)
    table.iloc[3, 1] = value
    with pytest.raises(InputError, match=r"clinical: row 4: event is .*, not 1"):
        prime.from_tables(tmp_path, table, {"rna": genes()})


@pytest.mark.parametrize(
    "kind", [lambda x: x.astype(bool), lambda x: x.astype(bool).astype(str), lambda x: x.astype("category")]
)
def test_events_in_other_words_are_events(tmp_path: Path, kind: Callable[[Any], Any]) -> None:
    table = clinical()
    table["event"] = kind(table["event"])
    made = prime.from_tables(tmp_path, table, {"rna": genes()})
    assert made.patients["os_event"].sum() == PATIENTS // 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g.assign(patient_id=g.index), "has a column 'patient_id'"),
        (lambda g: g.set_index("a", append=True), "several levels"),
        (lambda g: pd.concat({"k": g}, axis=1), "several levels"),
        (lambda g: pd.concat([g, g], axis=1), "column 'a' occurs twice"),
        (lambda g: g.assign(z=[1, "a"] * (PATIENTS // 2)), "values of several kinds"),
        (lambda g: g.assign(z=[np.zeros(2)] * PATIENTS), "not a number"),
        (lambda g: g.astype(complex), "give numbers"),
        (lambda g: g.to_numpy(), "expected a DataFrame by patient id, found ndarray"),
        (lambda g: g.reset_index(drop=True), "none of its patients is in the clinical table; it has '0'"),
    ],
)
def test_what_is_no_table_of_patients_is_said(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        prime.from_tables(tmp_path, clinical(), {"rna": change(genes())})


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        prime.from_tables(tmp_path / "x", clinical(), {"rna": genes()})
    assert (tmp_path / "x").read_text() == "mine"
