"""`prime init`: what it recognises, and that what it writes is accepted by `prime check`."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from anndata import AnnData
from mudata import MuData, set_options

from prime.cli import main
from prime.cohort.survey.clinical_guess import own_format, patient_column
from prime.cohort.survey.heads import Head, head_of
from prime.demo.simulate import simulate

IDS = [f"P{i:03d}" for i in range(40)]


def genes(folder: Path, name: str = "rna.csv") -> None:
    values = np.random.default_rng(0).normal(size=(len(IDS), 5))
    table = pd.DataFrame(values, columns=["TP53", "KRAS", "EGFR", "MYC", "RB1"])
    table.insert(0, "sample", IDS)
    table.to_csv(folder / name)  # with its index, as pandas writes it


def written(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The cohort file that `prime init` writes, the report of `prime check` on it, and what was said."""
    capsys.readouterr()
    assert main(["init", str(folder)]) == 0
    said = capsys.readouterr().out
    for name in ("cohort.yaml", "experiment.yaml"):
        assert main(["check", str(folder / name), "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["errors"] == []
    return yaml.safe_load((folder / "cohort.yaml").read_text(encoding="utf-8")), report, said


def test_a_simulated_cohort_is_recognised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = simulate(tmp_path / "c", 60, 0).parent
    known = yaml.safe_load((folder / "cohort.yaml").read_text(encoding="utf-8"))
    for name in ("cohort.yaml", "truth.csv", "truth.json"):
        (folder / name).unlink()
    found, report, said = written(folder, capsys)
    assert found["clinical"]["endpoints"].keys() == known["clinical"]["endpoints"].keys()
    for key in ("format", "path", "patient_id", "cohort", "site"):
        assert found["clinical"][key] == known["clinical"][key]
    assert {m: {s["reader"] for s in sources.values()} for m, sources in found["modalities"].items()} == {
        m: {s["reader"] for s in sources.values()} for m, sources in known["modalities"].items()
    }
    assert "clinical.csv: the clinical table" in said
    text = (folder / "cohort.yaml").read_text(encoding="utf-8")
    guessed = [line for line in text.splitlines() if ": # guess" in line or "# guess" in line]
    assert len(guessed) >= 12
    assert report["patients"] == 60


def test_a_known_format_is_named_and_needs_no_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["#Patient\tStatus\tMonths", "#x\tx\tx", "PATIENT_ID\tOS_STATUS\tOS_MONTHS"]
    rows += [f"{name}\t{'1:DECEASED' if i % 2 else '0:LIVING'}\t{5 + i}" for i, name in enumerate(IDS)]
    (tmp_path / "data_clinical_patient.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    genes(tmp_path)
    found, report, _ = written(tmp_path, capsys)
    assert found["clinical"] == {"format": "cbioportal", "path": "data_clinical_patient.txt"}
    assert found["modalities"] == {
        "rna": {"rna": {"reader": "vector", "path": "rna.csv", "patient_id": "sample"}}
    }
    assert report["endpoints"][0]["events"] == 20


def test_slides_with_a_table_of_their_patients(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "h5_files").mkdir()
    for number in range(len(IDS)):
        with h5py.File(tmp_path / "h5_files" / f"slide{number}.h5", "w") as file:
            file["features"] = np.random.default_rng(number).normal(size=(3, 4))
    slides = {"case_id": IDS, "slide_id": [f"slide{i}" for i in range(len(IDS))]}
    pd.DataFrame(slides).to_csv(tmp_path / "slides.csv", index=False)
    table = {"case_id": IDS, "survival_months": range(1, 41), "censorship": [0, 1] * 20}
    pd.DataFrame(table).to_csv(tmp_path / "labels.csv", index=False)
    found, report, _ = written(tmp_path, capsys)
    assert found["clinical"]["format"] == "mcat"
    (source,) = found["modalities"]["image"].values()
    assert source == {"reader": "h5", "path": "h5_files", "slide_table": "slides.csv"}
    assert report["complete"] == 40


def test_what_the_check_would_refuse_is_left_out_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    days = np.arange(10, 410, 10)
    table = {"patient": IDS, "time": days, "dead": ["yes", "no"] * 20}
    pd.DataFrame(table).to_csv(tmp_path / "outcome.csv", index=False)
    pd.DataFrame({"patient": IDS, "a": days * 2, "b": 1.5}).to_csv(tmp_path / "leak.csv", index=False)
    (tmp_path / "notes.csv").write_text("colour,shape\nred,round\n", encoding="utf-8")
    genes(tmp_path)
    found, _, said = written(tmp_path, capsys)
    assert list(found["modalities"]) == ["rna"]
    text = (tmp_path / "cohort.yaml").read_text(encoding="utf-8")
    assert "# - leak.csv: " in text
    assert "gives the outcome away" in text
    assert "# - notes.csv: no column holds patients" in text
    assert "not taken: leak.csv" in said
    assert found["clinical"]["endpoints"]["os"] == {
        "time": "time", "event": "dead", "event_values": ["yes"], "censored_values": ["no"], "unit": "months",
    }  # fmt: skip


@pytest.mark.parametrize(("what", "words"), [("empty", "no clinical table"), ("there", "is there already")])
def test_refusals(tmp_path: Path, what: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    genes(tmp_path)
    if what == "there":
        (tmp_path / "cohort.yaml").write_text("name: mine\n", encoding="utf-8")
    assert main(["init", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err
    assert main(["init", str(tmp_path / "nowhere")]) == 2
    assert not (tmp_path / "experiment.yaml").exists()


def test_an_alone_clinical_table_is_not_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = {"id": IDS, "os_days": range(40), "os": [0, 1] * 20}
    pd.DataFrame(table).to_csv(tmp_path / "c.csv", index=False)
    assert main(["init", str(tmp_path)]) == 2
    assert "nothing but a clinical table" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / "c.csv"]


def head(**columns: list[Any]) -> Head:
    return Head(Path("t.csv"), pd.DataFrame(columns).astype(str))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["PatientID", "age"], "PatientID"), (["case_id", "slide_id"], "case_id"), (["id", "x"], "id"),
        (["bcr_patient_barcode", "type"], "bcr_patient_barcode"), (["a", "b"], None),
    ],
)  # fmt: skip
def test_columns_of_patients(columns: list[str], expected: str | None) -> None:
    assert patient_column(head(**{name: ["x", "y"] for name in columns})) == expected


def test_codings_and_units_that_are_not_known_are_not_guessed_at() -> None:
    unclear = head(id=["a", "b"], os_time=[1, 2], os_status=["A", "B"])
    assert own_format(unclear) is None
    turned = own_format(head(id=["a", "b"], os_months=[1, 2], os_censored=[0, 1]))
    assert turned is not None
    assert any("event_values: [0]" in key for key in turned.keys)
    assert any("unit: months # named so" in key for key in turned.keys)


def test_heads_of_all_kinds_of_tables_are_text(tmp_path: Path) -> None:
    table = pd.DataFrame({"id": ["001", "2"], "x": [1.5, None]})
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    table.to_parquet(tmp_path / "t.parquet", index=False)
    table.to_excel(tmp_path / "t.xlsx", index=False)
    for path in ("t.csv", "t.tsv", "t.parquet", "t.xlsx"):
        found = head_of(tmp_path, Path(path))
        assert found.known("id") == ["001", "2"]
        assert found.known("x") == ["1.5"]
        assert found.numeric("x")


def test_a_mudata_is_clinical_table_and_sources_in_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where another file names its samples, and where one of its tables is of nobody here."""
    rng = np.random.default_rng(0)

    def data(names: list[str], features: list[str], **obs: Any) -> AnnData:
        values = rng.normal(size=(len(names), len(features)))
        return AnnData(values, pd.DataFrame(obs, index=names), pd.DataFrame(index=features))

    samples = [f"s{i}" for i in range(len(IDS))]
    data(samples, ["m1", "m2"], case=IDS, batch=["a"] * len(IDS)).write_h5ad(tmp_path / "methylation.h5ad")
    data(["x", "y"], ["m1", "m2"]).write_h5ad(tmp_path / "others.h5ad")
    with set_options(pull_on_update=False):
        mdata = MuData({"rna-seq": data(IDS, ["TP53", "KRAS", "EGFR"]), "slides": data(IDS[:30], ["a", "b"])})
        mdata.obs = pd.DataFrame(
            {"os_months": rng.exponential(20, len(IDS)), "os_status": [i % 2 for i in range(len(IDS))]}, IDS
        )
        mdata.write(tmp_path / "all.h5mu")
    found, report, said = written(tmp_path, capsys)
    clinical = found["clinical"]
    assert (clinical["path"], clinical["patient_id"]) == ("all.h5mu", "obs_names")
    assert clinical["endpoints"]["os"]["time"] == "os_months"
    assert found["modalities"] == {
        "image": {"slides": {"reader": "anndata", "path": "all.h5mu", "modality": "slides"}},
        "methylation": {
            "methylation": {"reader": "anndata", "path": "methylation.h5ad", "patient_id": "case"}
        },
        "rna": {"rna_seq": {"reader": "anndata", "path": "all.h5mu", "modality": "rna-seq"}},
    }
    assert report["patients"] == len(IDS)
    assert "others.h5ad: no row is a patient of the clinical table" in said


def test_an_h5ad_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    genes(tmp_path)
    (tmp_path / "broken.h5ad").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90))
    pd.DataFrame({"patient": IDS, "os_days": range(9, 49), "os": [0, 1] * 20}).to_csv(
        tmp_path / "clinical.csv", index=False
    )
    _, _, said = written(tmp_path, capsys)
    assert "broken.h5ad: not read (init: " in said


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("patient,time,status\na,100,1\nb,200,2\n", "'status' holds 1, 2: which of them means the event"),
        ("patient;time;status\na;100;1\n", "one column only; are its fields separated by another sign?"),
        (
            "patient,time,dead\na,2020-01-01,1\nb,2021-01-01,0\n",
            "'time' is named for a time and holds '2020-01-01'",
        ),
        ("x,time,dead\na,100,1\nb,200,0\n", "no column is named for patients"),
    ],
)
def test_why_a_table_is_not_the_clinical_one_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str, reason: str
) -> None:
    (tmp_path / "c.csv").write_text(table)
    assert main(["init", str(tmp_path)]) == 2
    assert reason in " ".join(capsys.readouterr().err.split())
