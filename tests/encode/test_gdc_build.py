"""From fetched files to a cohort: which sample stands for a patient, survival, what `prime check` says."""

import itertools
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from prime.cohort.check.check import check, exit_status
from prime.cohort.config import load_cohort
from prime.cohort.endpoints import read_clinical
from prime.encode.gdc.build import build
from prime.encode.gdc.cases import clinical_row
from prime.encode.gdc.manifest import GdcFile, write_manifest
from prime.encode.gdc.select import Choice, select
from prime.errors import InputError
from tests.encode.gdc_server import GdcServer, run_gdc, serving

TCGA = Path(__file__).resolve().parents[2] / ".." / "shared" / "tcga"
MD5 = "0" * 32


def gdc_file(data: str, sample: str, number: int = 0, patient: str | None = None) -> GdcFile:
    name = f"{sample}.{number}.svs" if data == "slides" else f"{number}.{data}"
    who = sample[:12] if patient is None else patient
    return GdcFile(f"id-{number}", name, MD5, 3, "released", "TCGA-BRCA", who, sample, "", data)


def lay(files: list[GdcFile], folder: Path) -> list[GdcFile]:
    """Put three bytes in the place of each file."""
    for file in files:
        file.path(folder).parent.mkdir(parents=True, exist_ok=True)
        file.path(folder).write_bytes(b"abc")
    return files


def reasons(choices: list[Choice]) -> dict[str, str]:
    return {choice.file.id: choice.reason for choice in choices}


# Which sample


def naive(samples: list[str]) -> str | None:
    """The rule in words, field by field: 01, then 03, then 06; vial, portion, analyte, plate, center."""
    best: tuple[Any, ...] | None = None
    for sample in samples:
        fields = sample.split("-")
        kind, vial, portion = fields[3][:2], fields[3][2], int(fields[4][:2])
        if kind not in ("01", "03", "06"):
            continue
        key = (["01", "03", "06"].index(kind), vial, portion, fields[4][2], fields[5], fields[6], sample)
        if best is None or key < best:
            best = key
    return None if best is None else best[-1]


def test_the_rna_sample_is_that_of_the_rule_in_words(tmp_path: Path) -> None:
    chance = random.Random(0)
    ends = [
        f"-{kind}{vial}-{portion:02d}R-{plate}-07"
        for kind, vial, portion, plate in itertools.product(
            ("01", "02", "03", "05", "06", "07", "11"), "AB", (1, 11, 21), ("A12P", "A13Q", "0864")
        )
    ]
    files: list[GdcFile] = []
    expected: dict[str, str | None] = {}
    for number in range(200):
        patient = f"TCGA-AA-{number:04d}"
        samples = [patient + end for end in chance.sample(ends, chance.randint(1, 5))]
        files += [gdc_file("rna", sample, len(files) + i) for i, sample in enumerate(samples)]
        expected[patient] = naive(samples)
    chance.shuffle(files)
    choices = select(lay(files, tmp_path), tmp_path)
    used = {choice.file.patient: choice.file.sample for choice in choices if choice.used}
    assert len([choice for choice in choices if choice.used]) == len(used)
    assert used == {patient: sample for patient, sample in expected.items() if sample is not None}
    assert 0 < len(used) < 200
    assert len(choices) == len(files)


def test_each_file_that_is_left_out_has_its_reason(tmp_path: Path) -> None:
    patient = "TCGA-AA-0001"
    files = [
        gdc_file("rna", f"{patient}-01A-11R-A1-07", 1),
        gdc_file("rna", f"{patient}-01A-11R-A1-07", 2),
        gdc_file("rna", f"{patient}-01B-11R-A1-07", 3),
        gdc_file("rna", f"{patient}-06A-11R-A1-07", 4),
        gdc_file("rna", f"{patient}-02A-11R-A1-07", 5),
        gdc_file("rna", f"{patient}-11A-11R-A1-07", 6),
        gdc_file("slides", f"{patient}-01Z-00-DX1", 7),
        gdc_file("slides", f"{patient}-01Z-00-DX2", 8),
        gdc_file("slides", f"{patient}-06Z-00-DX1", 9),
        gdc_file("slides", f"{patient}-01A-01-TS1", 10),
        gdc_file("reports", patient, 11),
        gdc_file("reports", patient, 12),
        gdc_file("rna", "TCGA-AA-0002-01A,TCGA-AA-0003-01A", 13, "TCGA-AA-0002,TCGA-AA-0003"),
        gdc_file("rna", "", 14, ""),
        gdc_file("other", f"{patient}-01A", 15),
        gdc_file("slides", "TCGA-AA-0004-06Z-00-DXA", 16),
        gdc_file("rna", "TCGA-AB-2803-03A-01T-0734-13", 17),
        gdc_file("rna", patient, 18),
    ]
    assert reasons(select(lay(files, tmp_path), tmp_path)) == {
        "id-1": "",
        "id-2": "another file of the same aliquot is used",
        "id-3": f"{patient}-01A-11R-A1-07 is the lower vial, portion or aliquot",
        "id-4": "the patient has sample type 01 (primary), which is preferred",
        "id-5": "sample type 02 (recurrent) is not used",
        "id-6": "normal tissue (sample type 11)",
        "id-7": "",
        "id-8": "",
        "id-9": "the patient has sample type 01 (primary), which is preferred",
        "id-10": "a frozen section (TS)",
        "id-11": "",
        "id-12": "",
        "id-13": "of several patients",
        "id-14": "its patient is not known",
        "id-15": "neither a slide, nor STAR counts, nor a report",
        "id-16": "",
        "id-17": "",
        "id-18": "its sample is not known",
    }


def test_what_is_chosen_does_not_depend_on_what_was_fetched(tmp_path: Path) -> None:
    first = gdc_file("rna", "TCGA-AA-0001-01A-11R-A1-07", 1)
    second = gdc_file("rna", "TCGA-AA-0001-06A-11R-A1-07", 2)
    lay([second], tmp_path)
    found = reasons(select([first, second], tmp_path))
    assert found["id-1"] == "chosen, but not fetched"
    assert found["id-2"].endswith("which is preferred")
    lay([first], tmp_path)
    first.path(tmp_path).write_bytes(b"too long")
    assert reasons(select([first, second], tmp_path))["id-1"] == "chosen, but not fetched"


# Survival


def case(**rest: Any) -> dict[str, Any]:
    return {"submitter_id": "TCGA-AA-0001", "project": {"project_id": "TCGA-COAD"}, **rest}


@pytest.mark.parametrize(
    ("nodes", "event", "days", "note"),
    [
        ({"demographic": {"vital_status": "Dead", "days_to_death": 300}}, 1, 300, ""),
        (
            {
                "demographic": {"vital_status": "Dead", "days_to_death": 300},
                "follow_ups": [{"days_to_follow_up": 900}],
            },
            1, 300, "",
        ),
        (
            {
                "demographic": {"vital_status": "Alive", "days_to_death": None},
                "follow_ups": [{"days_to_follow_up": day} for day in (20, 900, None)],
                "diagnoses": [{"days_to_last_follow_up": 700}],
            },
            0, 900, "",
        ),
        (
            {
                "demographic": {"vital_status": "Alive"},
                "diagnoses": [{"days_to_last_follow_up": 700}, {}],
            },
            0, 700, "",
        ),
        ({"demographic": {"vital_status": "Alive"}, "follow_ups": [{"days_to_follow_up": 0}]}, 0, 0, ""),
        ({"demographic": {"vital_status": "Dead"}}, "", "", "dead, without days_to_death"),
        ({"demographic": {"vital_status": "Alive"}}, "", "", "alive, without any follow-up"),
        ({"demographic": {"vital_status": "Alive", "days_to_death": 9}}, "", "", "alive, with days_to_death"),
        ({"demographic": {"vital_status": "Not Reported"}}, "", "", "vital status is Not Reported"),
        ({"demographic": None}, "", "", "vital status is not stated"),
        ({}, "", "", "vital status is not stated"),
        (
            {"demographic": {"vital_status": "Dead", "days_to_death": -4}},
            "", "", "days_to_death is negative (-4)",
        ),
    ],
)  # fmt: skip
def test_overall_survival_by_hand(nodes: dict[str, Any], event: Any, days: Any, note: str) -> None:
    row = clinical_row(case(**nodes))
    assert (row["os_event"], row["os_days"], row["note"]) == (event, days, note)
    assert (row["patient_id"], row["type"], row["site"]) == ("TCGA-AA-0001", "COAD", "AA")


def test_sex_under_its_old_and_its_new_name() -> None:
    assert clinical_row(case(demographic={"gender": "female"}))["sex"] == "female"
    assert clinical_row(case(demographic={"sex_at_birth": "male", "age_at_index": 61}))["sex"] == "male"
    assert clinical_row(case(demographic={"age_at_index": 61}))["age"] == 61


# The whole way


PATIENTS = [f"TCGA-{site}-{number:04d}" for number in range(24) for site in (["A1", "B2", "C3"][number % 3],)]


@pytest.fixture
def gdc():
    """24 patients of two projects; the last three lack slides, RNA, a report, one each; one has no case."""
    with serving() as server:
        chance = random.Random(1)
        for number, patient in enumerate(PATIENTS):
            project = "TCGA-BRCA" if number % 2 else "TCGA-LUAD"
            if number != 21:
                server.add("slides", f"{patient}-01Z-00-DX1", chance.randbytes(99), project=project)
            if number % 4 == 0:
                server.add("slides", f"{patient}-01Z-00-DX2", chance.randbytes(99), project=project)
            if number != 22:
                server.add("rna", f"{patient}-01A-11R-A12P-07", chance.randbytes(99), project=project)
            if number % 3 == 0:
                server.add("rna", f"{patient}-06A-11R-A12P-07", chance.randbytes(99), project=project)
            if number != 23:
                server.add("reports", patient, b"%PDF", project=project)
            if number == 20:
                continue
            dead = number % 2 == 1 or number % 8 == 0
            server.add_case(
                patient,
                project,
                demographic={
                    "vital_status": "Dead" if dead else "Alive",
                    "days_to_death": 100 + number if dead else None,
                    "age_at_index": 40 + number,
                    "gender": ["female", "male", "not reported"][number % 3],
                },
                follow_ups=[{"days_to_follow_up": 500 + number}],
            )
        yield server


@pytest.fixture
def raw(gdc: GdcServer, tmp_path: Path) -> Path:
    assert run_gdc("fetch", "--server", gdc.url, "--out", tmp_path / "raw") == 0
    return tmp_path / "raw"


def write_h5(path: Path, rows: int, dim: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        values = np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)
        file.create_dataset("features", data=values)
        file["features"].attrs["encoder"] = "made up"
        file["features"].attrs["trained_on"] = "TCGA"


def encode(raw: Path, cohort: Path, out: Path) -> None:
    """What encoders would leave of the files that `build` chose: made-up numbers in the right places."""
    slides = pd.read_csv(cohort / "slides.csv")
    for number, slide in enumerate(slides["slide_id"]):
        assert (raw / "slides" / f"{slide}.svs").is_file()
        write_h5(out / "slides" / f"{slide}.h5", 5 + number % 3, 6, number)
    rna = pd.read_csv(cohort / "rna.csv")
    assert all((raw / "rna" / name).is_file() for name in rna["path"])
    genes = np.random.default_rng(0).normal(size=(len(rna), 8)).astype(np.float32)
    table = pd.DataFrame(genes, columns=[f"ENSG{i:05d}" for i in range(8)])
    table.insert(0, "patient_id", rna["patient_id"])
    table.insert(1, "sample", rna["sample"])
    (out / "rna").mkdir()
    table.to_parquet(out / "rna" / "rna.parquet", index=False)
    for number, path in enumerate(sorted((raw / "reports").iterdir())):
        write_h5(out / "reports" / "features" / f"{path.name[:12]}.h5", 150 + number, 4, number)


def test_from_the_word_tcga_to_a_cohort_that_prime_check_accepts(raw: Path, tmp_path: Path) -> None:
    cohort, features = tmp_path / "cohort", tmp_path / "features"
    assert run_gdc("build", raw, "--out", cohort) == 0
    assert not (cohort / "cohort.yaml").exists()
    encode(raw, cohort, features)
    options = [option for kind in ("slides", "rna", "reports") for option in (f"--{kind}", features / kind)]
    assert run_gdc("build", raw, "--out", cohort, *options, "--name", "toy") == 0

    report = check(load_cohort(cohort / "cohort.yaml"), progress=False)
    assert report.errors == []
    assert exit_status(report) == 0
    assert report.patients == 23  # all but the one without a case
    assert report.unlisted == 1
    assert report.complete == 21  # of 24: one each lacks slides, RNA, report
    assert {item.modality: item.patients for item in report.sources} == {"image": 23, "rna": 23, "report": 23}
    assert {item.cohort: item.patients for item in report.types} == {"BRCA": 12, "LUAD": 11}
    counts = {item.cohort: (item.patients, item.events) for item in report.endpoints if item.endpoint == "os"}
    assert counts["all"] == (23, 15)  # 12 odd ones, and 0, 8, 16
    written = yaml.safe_load((cohort / "cohort.yaml").read_text(encoding="utf-8"))
    assert written["modalities"]["report"]["text"]["max_tokens"] == 150 + 22
    assert written["modalities"]["rna"]["genes"]["ignore"] == ["sample"]
    assert str(tmp_path) not in (cohort / "cohort.yaml").read_text(encoding="utf-8")

    before = {path.name: path.read_bytes() for path in cohort.iterdir()}
    assert run_gdc("build", raw, "--out", cohort, *options, "--name", "toy") == 0
    assert {path.name: path.read_bytes() for path in cohort.iterdir()} == before


def test_the_aligned_table_by_a_plain_loop(gdc: GdcServer, raw: Path, tmp_path: Path) -> None:
    made = build(raw, tmp_path / "cohort")
    table = pd.read_csv(tmp_path / "cohort" / "patients.csv", keep_default_na=False)
    names: dict[tuple[str, str], list[str]] = {}
    for hit, _ in gdc.files.values():
        sample = hit["associated_entities"][0]["entity_submitter_id"]
        kind = {"SVS": "slides", "TSV": "rna", "PDF": "reports"}[hit["data_format"]]
        if "-06A-" not in sample or sample[:12] == PATIENTS[22]:
            names.setdefault((sample[:12], kind), []).append(hit["file_name"])
    assert list(table["patient_id"]) == sorted(PATIENTS)
    for row in table.to_dict("records"):
        for kind in ("slides", "rna", "reports"):
            assert row[kind] == ";".join(sorted(names.get((row["patient_id"], kind), [])))
    number = PATIENTS.index("TCGA-C3-0005")
    row = table.set_index("patient_id").loc["TCGA-C3-0005"]
    assert (float(row["os_time_days"]), float(row["os_event"])) == (100 + number, 1.0)
    assert made.left_out == {"rna: the patient has sample type 01 (primary), which is preferred": 8}
    listed = pd.read_csv(tmp_path / "cohort" / "files.csv", keep_default_na=False)
    assert len(listed) == len(gdc.files)
    assert (listed["used"] == (listed["reason"] == "")).all()


def test_covariates_are_named_where_somebody_has_them(raw: Path, tmp_path: Path) -> None:
    write_h5(tmp_path / "h5" / f"{PATIENTS[0]}.h5", 3, 2, 0)
    build(raw, tmp_path / "cohort", features={"rna": tmp_path / "h5"})
    config = load_cohort(tmp_path / "cohort" / "cohort.yaml")
    assert [item.name for item in config.clinical.covariates] == ["age", "sex"]
    frame = read_clinical(config.clinical, config.root).frame.set_index("patient_id")
    assert frame.loc[PATIENTS[1], ["x_age", "x_sex"]].tolist() == [41, 1]
    assert np.isnan(frame.loc[PATIENTS[2], "x_sex"])


def test_slides_named_by_patient_need_no_table(raw: Path, tmp_path: Path) -> None:
    write_h5(tmp_path / "enc" / "centroids_patient" / f"{PATIENTS[0]}.h5", 3, 2, 0)
    write_h5(tmp_path / "enc" / "features" / "x.h5", 3, 2, 0)
    build(raw, tmp_path / "cohort", features={"slides": tmp_path / "enc"})
    written = yaml.safe_load((tmp_path / "cohort" / "cohort.yaml").read_text(encoding="utf-8"))
    source = {"reader": "h5", "path": "../enc/centroids_patient"}
    assert written["modalities"] == {"image": {"slides": source}}


def test_report_texts_get_the_named_encoder(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "enc").mkdir()
    text = f"patient_filename,patient_id,text\n{PATIENTS[0]}.x,{PATIENTS[0]},a text\n"
    (tmp_path / "enc" / "texts.csv").write_text(text, encoding="utf-8")
    build(raw, tmp_path / "cohort", features={"reports": tmp_path / "enc"}, encoder="some/bert")
    written = yaml.safe_load((tmp_path / "cohort" / "cohort.yaml").read_text(encoding="utf-8"))
    source = {"reader": "report", "path": "../enc/texts.csv", "encoder": "some/bert"}
    assert written["modalities"] == {"report": {"text": source}}


def test_features_that_no_reader_knows_are_refused(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    (tmp_path / "x.parquet").write_text("no parquet", encoding="utf-8")
    (tmp_path / "x.npz").write_text("", encoding="utf-8")
    for name in ("rna.parquet", "tokens"):
        (tmp_path / "both" / name).mkdir(parents=True)
    for name, message in [
        ("empty", "no .h5 or .pt file"), ("x.csv", "no column patient_id"),
        ("x.parquet", "not a readable table"), ("x.npz", "expected a folder of .h5 files"),
        ("gone", "no such file or folder; encode first"),
        ("both", "holds rna.parquet and tokens"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=message):
            build(raw, tmp_path / "cohort", features={"rna": tmp_path / name})
    assert not (tmp_path / "cohort").exists()


def test_without_clinical_data_there_is_no_cohort(tmp_path: Path) -> None:
    files = lay([gdc_file("reports", "TCGA-AA-0001")], tmp_path / "raw")
    write_manifest(files, tmp_path / "raw" / "manifest.tsv")
    with pytest.raises(InputError, match="prime gdc fetch --data clinical"):
        build(tmp_path / "raw", tmp_path / "cohort")
    with pytest.raises(InputError, match=r"manifest\.tsv: no such file"):
        build(tmp_path, tmp_path / "cohort")
    (tmp_path / "raw" / "clinical").mkdir()
    (tmp_path / "raw" / "clinical" / "TCGA-BRCA.json").write_text('[{"x": 1}]', encoding="utf-8")
    with pytest.raises(InputError, match=r"TCGA-BRCA\.json: not a list of the GDC's cases"):
        build(tmp_path / "raw", tmp_path / "cohort")


def test_of_two_files_of_one_aliquot_the_lower_id_is_used(tmp_path: Path) -> None:
    one = gdc_file("rna", "TCGA-AA-0001-01A-11R-A1-07", 1)
    two = replace(one, id="id-0", filename="other.tsv")
    lay([one, two], tmp_path)
    for order in ([one, two], [two, one]):
        assert reasons(select(order, tmp_path))["id-0"] == ""


@pytest.mark.tcga
@pytest.mark.skipif(not TCGA.is_dir(), reason="no real TCGA evaluation set beside the checkout")
def test_with_the_real_cdr(tmp_path: Path) -> None:
    """Outcomes of the aligned table are the cells of the xlsx, read here with pandas alone."""
    whole = pd.read_excel(TCGA / "TCGA-CDR.xlsx", sheet_name="TCGA-CDR")
    rows = whole[whole["type"] == "BRCA"].head(300)
    clinical = tmp_path / "TCGA-CDR.xlsx"
    rows.to_excel(clinical, sheet_name="TCGA-CDR", index=False)
    cdr = rows.set_index("bcr_patient_barcode")
    brca = cdr.index
    files = lay([gdc_file("reports", patient, i) for i, patient in enumerate(brca)], tmp_path / "raw")
    write_manifest(files, tmp_path / "raw" / "manifest.tsv")
    for number, patient in enumerate(brca):
        write_h5(tmp_path / "features" / f"{patient}.h5", 3, 4, number)
    build(tmp_path / "raw", tmp_path / "cohort", clinical, {"reports": tmp_path / "features"})
    table = pd.read_csv(tmp_path / "cohort" / "patients.csv").set_index("patient_id")
    assert set(table.index) == set(brca)
    expected = cdr.loc[table.index]
    np.testing.assert_array_equal(table["os_time_days"], expected["OS.time"].astype(float))
    np.testing.assert_array_equal(table["os_event"], expected["OS"].astype(float))
    assert list(table["excluded"]) == list(expected["Redaction"] == "Redacted")
    report = check(load_cohort(tmp_path / "cohort" / "cohort.yaml"), progress=False)
    assert report.errors == []
    assert report.any_modality == 300
