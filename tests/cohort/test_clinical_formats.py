"""Clinical tables as the GDC, cBioPortal, Xena, MCAT and SurvPath write them: through check and evaluate."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from prime.cli import main
from prime.cohort.config import ClinicalConfig
from prime.cohort.endpoints import read_clinical
from prime.errors import InputError

PATIENTS = 48
IDS = [f"TCGA-{'AB' if i % 2 else 'CD'}-{i:04d}" for i in range(PATIENTS)]
MONTH = 30.4375
NEW_NAMES = {  # of the GDC's columns since 2024
    "case_id": "cases.case_id",
    "case_submitter_id": "cases.submitter_id",
    "project_id": "project.project_id",
    "age_at_index": "demographic.age_at_index",
    "days_to_death": "demographic.days_to_death",
    "vital_status": "demographic.vital_status",
    "days_to_last_follow_up": "diagnoses.days_to_last_follow_up",
}


def truth() -> pd.DataFrame:
    """Days and deaths of the patients; the last three lack something: status, time, or both."""
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {"id": IDS, "days": rng.integers(60, 3000, PATIENTS), "dead": rng.permutation(PATIENTS) % 2}
    )


def gdc(folder: Path, old: bool = True) -> None:
    """`clinical.tsv` of the portal: two treatments a patient, `'--` for what is not known."""
    table = truth()
    dead, days = table["dead"] == 1, table["days"].astype(object)
    days[PATIENTS - 2] = "'--"
    rows = pd.DataFrame(
        {
            "case_id": [f"uuid-{number}" for number in range(PATIENTS)],
            "case_submitter_id": table["id"],
            "project_id": "TCGA-LUAD",
            "age_at_index": ["'--", *range(40, 39 + PATIENTS)],
            "days_to_death": days.where(dead, "'--"),
            "vital_status": np.where(dead, "Dead", "Alive"),
            "days_to_last_follow_up": days.where(~dead, "'--"),
        }
    )
    rows.loc[PATIENTS - 1, "vital_status"] = "Not Reported"
    both = pd.concat(
        [rows.assign(treatment_type=t) for t in ("Radiation Therapy, NOS", "Surgery")]
    ).sort_index()
    if not old:
        both = both.rename(columns=NEW_NAMES)
    both.to_csv(folder / "clinical.tsv", sep="\t", index=False)


def cbioportal(folder: Path) -> None:
    """`data_clinical_patient.txt`: four lines of comment, statuses with their number, months."""
    lines = [
        "#Patient Identifier\tOverall Survival Status\tOverall Survival (Months)\tCancer Type",
        "#Identifier to uniquely specify a patient.\tstatus\tmonths\ttype",
        "#STRING\tSTRING\tNUMBER\tSTRING",
        "#1\t1\t1\t1",
        "PATIENT_ID\tOS_STATUS\tOS_MONTHS\tCANCER_TYPE_ACRONYM",
    ]
    for n, row in enumerate(truth().itertuples()):
        status = "" if n == PATIENTS - 1 else "1:DECEASED" if row.dead else "0:LIVING"
        months = "[Not Available]" if n == PATIENTS - 2 else repr(row.days / MONTH)
        lines.append(f"{row.id}\t{status}\t{months}\tLUAD")
    (folder / "clinical.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def xena(folder: Path) -> None:
    """A survival table of Xena: one row a sample, the patient in `_PATIENT`."""
    table = truth()
    rows = pd.DataFrame(
        {"_PATIENT": table["id"], "OS": table["dead"].astype(object), "OS.time": table["days"]}
    )
    rows["OS.time"] = rows["OS.time"].astype(object)
    rows.loc[PATIENTS - 1, "OS"], rows.loc[PATIENTS - 2, "OS.time"] = "", ""
    both = pd.concat([rows.assign(sample=rows["_PATIENT"] + s) for s in ("-01A", "-11A")])
    both.to_csv(folder / "clinical.tsv", sep="\t", index=False)


def censored(folder: Path, names: dict[str, str]) -> None:
    """A table of MCAT's kind: one row a slide, months, 1 where the event was not observed."""
    table = truth()
    rows = pd.DataFrame(
        {
            "case_id": table["id"],
            "slide_id": table["id"] + "-01Z-00-DX1.svs",
            "site": table["id"].str[5:7],
            "oncotree_code": "LUAD",
            "train": 1,
        }
    )
    for time, event in names.items():
        rows[time] = table["days"] / MONTH
        rows[event] = 1 - table["dead"]
        rows.loc[PATIENTS - 2, time], rows.loc[PATIENTS - 1, event] = np.nan, np.nan
    more = rows.iloc[:5].assign(slide_id=rows["slide_id"].str.replace("DX1", "DX2"))
    pd.concat([rows, more]).to_csv(folder / "clinical.tsv", sep="\t")  # with the index, as they have it


@dataclass(frozen=True)
class Format:
    """A format, how its file is made, and the cancer type and endpoints that it states."""

    name: str
    make: Callable[[Path], None]
    cohort: str
    endpoints: tuple[str, ...] = ("os",)


SURVPATH = {
    "survival_months": "censorship",
    "survival_months_dss": "censorship_dss",
    "survival_months_pfi": "censorship_pfi",
}
FORMATS = (
    Format("gdc", gdc, "TCGA-LUAD"),
    Format("gdc", lambda folder: gdc(folder, old=False), "TCGA-LUAD"),
    Format("cbioportal", cbioportal, "LUAD"),
    Format("xena", xena, "my_cohort"),
    Format("mcat", lambda folder: censored(folder, {"survival_months": "censorship"}), "my_cohort"),
    Format("survpath", lambda folder: censored(folder, SURVPATH), "my_cohort", ("os", "dss", "pfi")),
)
EXPERIMENT: dict[str, Any] = {
    "cohort": "cohort.yaml",
    "model": {"dim": 8, "queries": 1, "heads": 1, "blocks": 1, "experts": 1, "top_k": 1, "prototypes": 2},
    "evaluate": {
        "inits": ["scratch"], "modes": ["lp"], "fold_count": 2, "bootstrap": 0,
        "probe": {"components": 2, "ridge": [1.0]},
    },
}  # fmt: skip


def write_cohort(folder: Path, name: str) -> None:
    values = np.random.default_rng(0).normal(size=(PATIENTS, 6))
    genes = pd.DataFrame(values, columns=[f"g{i}" for i in range(6)])
    genes.insert(0, "patient_id", IDS)
    genes.to_csv(folder / "genes.csv", index=False)
    cohort = {
        "name": "my_cohort",
        "clinical": {"format": name, "path": "clinical.tsv"},
        "modalities": {"rna": {"genes": {"reader": "vector", "path": "genes.csv"}}},
    }
    (folder / "cohort.yaml").write_text(yaml.safe_dump(cohort), encoding="utf-8")
    (folder / "experiment.yaml").write_text(yaml.safe_dump(EXPERIMENT), encoding="utf-8")


@pytest.mark.parametrize(
    "case", FORMATS, ids=["gdc-old", "gdc-new", "cbioportal", "xena", "mcat", "survpath"]
)
def test_check_and_evaluate_count_as_the_file_does(
    case: Format, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    case.make(tmp_path)
    write_cohort(tmp_path, case.name)
    known = truth().iloc[: PATIENTS - 2]
    capsys.readouterr()
    assert main(["check", "cohort.yaml", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["patients"] == PATIENTS
    assert report["errors"] == []
    counts = {item["endpoint"]: item for item in report["endpoints"] if item["cohort"] == "all"}
    assert tuple(counts) == case.endpoints
    for item in counts.values():
        assert (item["patients"], item["events"]) == (len(known), known["dead"].sum())
    assert [item["cohort"] for item in report["types"]] == [case.cohort]
    times = {item["endpoint"]: item for item in report["follow_up"]}
    for item in times.values():
        assert item["median_months"] == pytest.approx(known["days"].median() / MONTH, rel=1e-6)
        assert item["longest_months"] == pytest.approx(known["days"].max() / MONTH, rel=1e-6)
    assert main(["evaluate", "experiment.yaml", "--out", "out"]) == 0
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    mine = summary[(summary["cohort"] == case.cohort) & (summary["metric"] == "c_index")]
    assert set(mine["n"]) == {len(known)}
    assert set(mine["events"]) == {known["dead"].sum()}


def read(folder: Path, **settings: Any) -> pd.DataFrame:
    config = ClinicalConfig.model_validate({"path": "clinical.tsv", **settings})
    return read_clinical(config, folder).frame


def test_the_time_of_the_dead_and_of_the_living_come_from_their_own_columns(tmp_path: Path) -> None:
    gdc(tmp_path)
    frame = read(tmp_path, format="gdc")
    np.testing.assert_array_equal(frame["os_time_days"].iloc[:-2], truth()["days"].iloc[:-2])
    assert frame["os_time_days"].iloc[-2:].isna().all()
    assert frame["site"].tolist() == [patient[5:7] for patient in IDS]


def test_rows_of_one_patient_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    gdc(tmp_path)
    table = pd.read_csv(tmp_path / "clinical.tsv", sep="\t", dtype=str)
    table.loc[1, "vital_status"] = "Dead" if table.loc[0, "vital_status"] == "Alive" else "Alive"
    table.to_csv(tmp_path / "clinical.tsv", sep="\t", index=False)
    with pytest.raises(InputError, match=rf"patient {IDS[0]} has .* vital_status in row 1 and .* in row 2"):
        read(tmp_path, format="gdc")
    with pytest.raises(InputError, match="occurs twice, in rows 1 and 2"):
        read(tmp_path, format="gdc", several_rows="refuse")


def test_of_several_follow_ups_the_latest_counts(tmp_path: Path) -> None:
    (tmp_path / "clinical.tsv").write_text(
        "case_submitter_id\tvital_status\tdays_to_death\tdays_to_last_follow_up\n"
        "a\tAlive\t'--\t90\na\tAlive\t'--\t1000\na\tAlive\t'--\tUnknown\nb\tDead\t50\t40\n",
        encoding="utf-8",
    )
    table = read_clinical(ClinicalConfig(format="gdc", path="clinical.tsv"), tmp_path)
    assert table.frame["os_time_days"].tolist() == [1000, 50]
    assert any("days_to_last_follow_up: 1 patients have rows that differ" in line for line in table.notes)


def test_a_day_of_death_of_somebody_alive_is_said(tmp_path: Path) -> None:
    (tmp_path / "clinical.tsv").write_text(
        "case_submitter_id\tvital_status\tdays_to_death\tdays_to_last_follow_up\n"
        "a\tAlive\t300\t'--\nb\tDead\t50\t'--\nc\tAlive\t'--\t70\n",
        encoding="utf-8",
    )
    table = read_clinical(ClinicalConfig(format="gdc", path="clinical.tsv"), tmp_path)
    assert table.frame["os_event"].isna().tolist() == [True, False, False]
    assert any("1 patients have a time of the event and are censored (first a)" in w for w in table.warnings)


def test_the_first_of_several_columns_counts_and_a_death_contradicts_being_alive(
    tmp_path: Path,
) -> None:
    (tmp_path / "clinical.tsv").write_text(
        "id\tdeath_days\tlast_days\tstatus\tstatus_2\na\t\t70\t\talive\nb\t50\t60\tdead\t\nc\t30\t\talive\t\n",
        encoding="utf-8",
    )
    endpoint = {
        "time": ["death_days", "last_days"], "event": ["status", "status_2"], "event_values": ["dead"],
        "censored_values": ["alive"],
    }  # fmt: skip
    config = {"format": "table", "path": "clinical.tsv", "patient_id": "id", "endpoints": {"os": endpoint}}
    table = read_clinical(ClinicalConfig.model_validate(config), tmp_path)
    np.testing.assert_array_equal(table.frame["os_time_days"], [70, 50, np.nan])
    np.testing.assert_array_equal(table.frame["os_event"], [0, 1, np.nan])
    assert len(table.warnings) == 1
    assert "are censored (first c)" in table.warnings[0]


@pytest.mark.parametrize("name", ["gdc", "cbioportal", "xena", "mcat", "survpath"])
def test_another_table_is_not_taken_for_a_format(tmp_path: Path, name: str) -> None:
    (tmp_path / "clinical.tsv").write_text("id\ttime\tdead\na\t1\t0\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"no outcome as format {name} has it"):
        read(tmp_path, format=name)
