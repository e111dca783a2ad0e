"""The check of a cohort: its counts, and each thing it must find."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from rich.console import Console

from prime.cohort.check.check import CheckReport, check, exit_status, render
from prime.cohort.check.outcomes import auc_columns, outcome_like_names, spearman_columns
from prime.cohort.config import CohortConfig, load_cohort
from prime.demo.simulate import simulate
from prime.errors import InputError
from prime.store.packing import pack

TCGA = Path(__file__).resolve().parents[2] / ".." / "shared" / "tcga"
CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    return simulate(tmp_path / "cohort", 120, 0).parent


def run(folder: Path) -> CheckReport:
    return check(load_cohort(folder / "cohort.yaml"), progress=False)


def edit_table(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_csv(path)).to_csv(path, index=False)


def edit_yaml(folder: Path, change: Callable[[dict], None]) -> None:
    value = yaml.safe_load((folder / "cohort.yaml").read_text(encoding="utf-8"))
    change(value)
    (folder / "cohort.yaml").write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")


def assert_one(found: list[str], *words: str) -> None:
    hits = [line for line in found if all(word in line for word in words)]
    assert len(hits) == 1, found


def test_clean_cohort_has_no_error_and_counts_agree_with_the_files(cohort: Path) -> None:
    report = run(cohort)
    assert report.errors == []
    assert exit_status(report) == 0
    clinical = pd.read_csv(cohort / "clinical.csv")
    have = {
        "tiles": {p.stem for p in (cohort / "slides").iterdir()},
        "slide_stats": set(pd.read_csv(cohort / "slide_stats.csv")["patient_id"]),
        "genes": set(pd.read_parquet(cohort / "rna.parquet")["patient_id"]),
        "reports": {n.split(".")[0] for n in pd.read_csv(cohort / "reports.csv")["patient_filename"]},
    }
    modalities = {
        "image": have["tiles"] | have["slide_stats"],
        "rna": have["genes"],
        "report": have["reports"],
    }
    assert {s.source: s.patients for s in report.sources} == {name: len(ids) for name, ids in have.items()}
    for item in report.types:
        mine = set(clinical.loc[clinical["cancer_type"] == item.cohort, "patient_id"])
        assert item.patients == len(mine)
        assert item.sources == {name: len(ids & mine) for name, ids in have.items()}
        assert item.modalities == {name: len(ids & mine) for name, ids in modalities.items()}
        assert item.complete == len(set.intersection(mine, *modalities.values()))
        assert item.complete + item.partial + item.nothing == item.patients
    assert report.combinations["image + rna"] == len(
        (modalities["image"] & modalities["rna"]) - modalities["report"]
    )
    assert sum(report.combinations.values()) == 120
    assert report.any_modality == len(set.union(*modalities.values()))
    assert report.complete + report.partial + report.nothing == 120


def test_endpoint_counts_leave_the_excluded_out(cohort: Path) -> None:
    table = pd.read_csv(cohort / "clinical.csv")
    kept = table[table["status"] != "redacted"]
    report = run(cohort)
    total = next(e for e in report.endpoints if (e.endpoint, e.cohort) == ("os", "all"))
    assert (total.patients, total.events) == (len(kept), int(kept["os_event"].sum()))
    assert total.excluded == len(table) - len(kept) > 0
    for item in report.endpoints:
        if item.endpoint == "pfi" and item.cohort != "all":
            rows = kept[kept["cancer_type"] == item.cohort]
            assert (item.patients, item.events) == (rows["pfi_event"].notna().sum(), rows["pfi_event"].sum())


@pytest.mark.parametrize("leak", ["os_days", "-os_days", "os_event", "with gaps"])
def test_outcome_inside_a_feature_table_is_an_error(cohort: Path, leak: str) -> None:
    clinical = pd.read_csv(cohort / "clinical.csv").set_index("patient_id")

    def add(table: pd.DataFrame) -> pd.DataFrame:
        rows = clinical.loc[table["patient_id"]]
        values = {
            "os_days": rows["os_days"].to_numpy(dtype=float) / 30,
            "-os_days": -rows["os_days"].to_numpy(dtype=float),
            "os_event": rows["os_event"].to_numpy(dtype=float),
            "with gaps": rows["os_days"].where(np.arange(len(rows)) % 5 > 0).to_numpy(),
        }
        return table.assign(innocent=values[leak])

    path = cohort / "rna.parquet"
    add(pd.read_parquet(path)).to_parquet(path, index=False)
    report = run(cohort)
    assert_one(report.errors, "genes", "'innocent'", "gives the outcome away")
    assert len(report.errors) == 1
    assert exit_status(report) == 1


def test_outcome_named_feature_is_a_warning_only(cohort: Path) -> None:
    edit_table(cohort / "slide_stats.csv", lambda t: t.assign(vital_status=np.arange(len(t)) % 7))
    report = run(cohort)
    assert_one(report.warnings, "slide_stats", "vital_status", "named like outcomes")
    assert report.errors == []


def test_outcome_names() -> None:
    named = [
        "os",
        "OS.time",
        "PFI",
        "survival_months",
        "days_to_death",
        "vital_status",
        "censorship",
        "x_event",
    ]
    harmless = [
        "OSM",
        "EGFR",
        "CPOS",
        "DSS1",
        "POST_CD8",
        "PREVENT",
        "Bcell_mg_IGJ",
        "percent_necrosis",
        "EVENTS1A",
    ]
    assert outcome_like_names(named + harmless) == named


def test_spearman_and_auc_agree_with_plain_counting() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 6, (60, 4)).astype(float)
    values[rng.random((60, 4)) < 0.2] = np.nan
    values[:, 3] = 2.0
    target = rng.integers(0, 30, 60).astype(float)
    event = rng.random(60) < 0.5
    rho, auc = spearman_columns(values, target), auc_columns(values, event)
    frame = pd.DataFrame(values)
    for column in range(3):
        there = frame[column].notna()
        expected = np.corrcoef(frame.loc[there, column].rank(), pd.Series(target)[there].rank())[0, 1]
        assert rho[column] == pytest.approx(expected, abs=1e-12)
        hit, miss = values[there & event, column], values[there & ~event, column]
        pairs = [(a > b) + 0.5 * (a == b) for a in hit for b in miss]
        assert auc[column] == pytest.approx(np.mean(pairs), abs=1e-12)
    assert np.isnan(rho[3])
    assert auc[3] == 0.5
    assert np.isnan(auc_columns(values[:20], event[:20])).all(), "too few patients to judge"
    assert np.isnan(spearman_columns(values[:15], target[:15])).all()


def test_shared_and_empty_and_short_reports(cohort: Path) -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[1, "text"] = "  " + str(table.loc[0, "text"]).upper().replace(" ", "\n ")
        table.loc[2, "text"] = "too short"
        table.loc[3, "text"] = " "
        return table

    before = run(cohort)
    edit_table(cohort / "reports.csv", change)
    first, second, _, empty = (
        n.split(".")[0] for n in pd.read_csv(cohort / "reports.csv")["patient_filename"][:4]
    )
    report = run(cohort)
    assert_one(report.warnings, "shared by two or more", f"{first} = {second}")
    assert_one(report.warnings, "1 reports are shorter")
    assert_one(report.sources[-1].notes, "1 reports are empty", empty)
    assert report.sources[-1].patients == before.sources[-1].patients - 1


def test_ranges_nan_share_constant_and_huge_features(cohort: Path) -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table["flat"] = 3.5
        table["void"] = np.nan
        table.loc[0, "stat_01"] = -2e7
        table.loc[[1, 2], "stat_02"] = np.nan
        return table

    edit_table(cohort / "slide_stats.csv", change)
    report = run(cohort)
    stats = next(s for s in report.sources if s.source == "slide_stats")
    assert stats.constant == ["flat"]
    assert_one(stats.notes, "1 columns hold no number at all (void): left out")
    assert stats.minimum == -2e7
    assert stats.nan_share == pytest.approx(2 / (stats.rows * 25))
    assert_one(report.warnings, "slide_stats", "one value only", "flat")
    assert_one(report.warnings, "slide_stats", "1 features reach beyond 1,000,000 (stat_01)")
    assert_one(report.warnings, "slide_stats", "missing (NaN)", "1 features (stat_02)")


def test_rows_of_one_patient_are_counted_and_doubles_between_patients_found(cohort: Path) -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        again = table.iloc[[0]].assign(stat_01=9.0)
        table.iloc[4, 1:] = table.iloc[5, 1:]
        return pd.concat([table, again])

    edit_table(cohort / "slide_stats.csv", change)
    report = run(cohort)
    stats = next(s for s in report.sources if s.source == "slide_stats")
    assert stats.rows == stats.patients + 1
    assert "1 patients have several rows" in stats.notes
    assert_one(report.warnings, "slide_stats", "1 sets of patients share identical features")


def test_patients_without_a_clinical_row(cohort: Path) -> None:
    first = pd.read_csv(cohort / "slide_stats.csv")["patient_id"][0]
    edit_table(cohort / "clinical.csv", lambda t: t[t["patient_id"] != first])
    report = run(cohort)
    assert_one(report.warnings, "slide_stats", "1 of", first, "no clinical row")
    assert report.unlisted == 1
    assert report.any_modality == report.listed_any_modality + 1


def test_ids_that_never_meet_are_an_error(cohort: Path) -> None:
    edit_table(cohort / "slide_stats.csv", lambda t: t.assign(patient_id="X" + t["patient_id"]))
    assert_one(
        run(cohort).errors, "slide_stats", "none of its patients", "'XSIM-", "use the same patient ids"
    )


def test_ids_of_samples_are_no_patients_and_the_error_says_so(cohort: Path) -> None:
    edit_table(
        cohort / "slide_stats.csv",
        lambda t: t.assign(patient_id=[f"TCGA.AA.{row:04d}.01A" for row in range(len(t))]),
    )
    assert_one(run(cohort).errors, "slide_stats", "it has 'TCGA-AA-0000-01A'", "barcodes of samples")


def test_ids_that_differ_in_case_are_one_patient_twice(cohort: Path) -> None:
    edit_table(
        cohort / "slide_stats.csv",
        lambda t: t.assign(patient_id=t["patient_id"].replace("SIM", "sim", regex=True)),
    )
    assert_one(run(cohort).errors, "under ids in two spellings")


def test_ids_of_numbers_with_and_without_zeros_are_one_patient_twice(cohort: Path) -> None:
    def numbers(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(patient_id=table["patient_id"].str.removeprefix("SIM-").str.lstrip("0"))

    edit_table(
        cohort / "clinical.csv",
        lambda t: t.assign(patient_id=t["patient_id"].str.removeprefix("SIM-")),
    )
    edit_table(cohort / "slide_stats.csv", numbers)
    clinical = pd.read_csv(cohort / "clinical.csv", dtype=str)
    clinical.assign(patient_id=clinical["patient_id"].str.zfill(6)).to_csv(
        cohort / "clinical.csv", index=False
    )
    assert_one(run(cohort).errors, "under ids in two spellings")
    with pytest.raises(InputError, match="ids in two spellings"):
        pack(without_reports(cohort), cohort / "store", progress=False)
    assert not (cohort / "store" / "manifest.json").exists()


def without_reports(folder: Path) -> CohortConfig:
    edit_yaml(folder, lambda value: value["modalities"].pop("report"))
    return load_cohort(folder / "cohort.yaml")


def test_follow_up_is_printed_in_the_stated_unit_and_in_months(cohort: Path) -> None:
    days = pd.read_csv(cohort / "clinical.csv")["os_days"].dropna()
    edit_table(cohort / "clinical.csv", lambda t: t.assign(os_days=t["os_days"] / 365.25))
    edit_yaml(cohort, lambda value: value["clinical"]["endpoints"]["os"].update(unit="years"))
    report = run(cohort)
    os = next(item for item in report.follow_up if item.endpoint == "os")
    assert (os.unit, os.stated, os.patients) == ("years", True, len(days))
    assert os.median == pytest.approx(days.median() / 365.25, rel=1e-6)
    assert os.longest_months == pytest.approx(days.max() / 30.4375, rel=1e-6)
    assert_one(report.warnings, "os: column 'os_days' is named for days and is read as years")
    console = Console(file=io.StringIO(), width=200)
    render(report, console)
    assert isinstance(console.file, io.StringIO)
    assert "Follow-up: time to the event or to its end" in console.file.getvalue()


def test_few_distinct_times_are_a_warning(cohort: Path) -> None:
    edit_table(cohort / "clinical.csv", lambda t: t.assign(os_days=365 * (1 + t["os_days"] // 1000 % 2)))
    assert_one(run(cohort).warnings, "os: the", "have 2 different times only")


def test_a_cohort_without_types_has_no_warning_about_them(cohort: Path) -> None:
    edit_yaml(cohort, lambda value: value["clinical"].pop("cohort"))
    report = run(cohort)
    assert [item.cohort for item in report.types] == ["simulated"]
    assert not [line for line in report.warnings if "cancer type" in line]


def test_no_or_only_censored_outcomes_are_errors(cohort: Path) -> None:
    edit_table(cohort / "clinical.csv", lambda t: t.assign(os_event=0, pfi_days=np.nan, pfi_event=np.nan))
    report = run(cohort)
    assert_one(report.errors, "endpoint os", "censored")
    assert_one(report.errors, "endpoint pfi", "no patient has an outcome")
    edit_table(cohort / "clinical.csv", lambda t: t.assign(os_event=1))
    assert_one(run(cohort).warnings, "os: every patient has the event")


def test_a_broken_source_is_an_error_and_the_rest_is_still_checked(cohort: Path) -> None:
    slide = sorted((cohort / "slides").iterdir())[3]
    slide.write_bytes(slide.read_bytes()[:200])
    report = run(cohort)
    assert_one(report.errors, "tiles", slide.name)
    assert next(s for s in report.sources if s.source == "genes").patients > 50


def test_gene_overlap_is_reported(cohort: Path) -> None:
    (cohort / "genes.txt").write_text("\n".join(f"G{k:04d}" for k in range(1, 251)), encoding="utf-8")
    edit_yaml(cohort, lambda v: v["modalities"]["rna"]["genes"].update(gene_list="genes.txt"))
    genes = next(s for s in run(cohort).sources if s.source == "genes")
    assert any("200/250" in note for note in genes.notes)


def test_encoder_trained_on_these_patients_is_a_warning(cohort: Path) -> None:
    edit_yaml(cohort, lambda v: v["modalities"]["report"]["reports"].update(trained_on="TCGA and notes"))
    assert not any("trained on" in line for line in run(cohort).warnings), "no patient here is from TCGA"
    for name in ("clinical.csv", "reports.csv", "slide_stats.csv"):
        text = (cohort / name).read_text(encoding="utf-8").replace("SIM-", "TCGA-ZZ-")
        (cohort / name).write_text(text, encoding="utf-8")
    assert_one(run(cohort).warnings, "reports", "trained on TCGA and notes")


def test_record_beside_a_vector_table_is_heeded(cohort: Path) -> None:
    for name in ("clinical.csv", "slide_stats.csv"):
        text = (cohort / name).read_text(encoding="utf-8").replace("SIM-", "TCGA-ZZ-")
        (cohort / name).write_text(text, encoding="utf-8")
    record = cohort / "slide_stats.json"
    for nothing_said in ("{", "[]", '{"trained_on": "TCGA"}'):
        record.write_text(nothing_said, encoding="utf-8")
        assert not any("trained on" in line for line in run(cohort).warnings), "no record of an encoder"
    record.write_text(json.dumps({"encoder": "made up", "trained_on": "GTEx, TCGA"}), encoding="utf-8")
    assert_one(run(cohort).warnings, "slide_stats", "trained on GTEx, TCGA")


def test_unreadable_clinical_table_stops_the_check(cohort: Path) -> None:
    edit_table(cohort / "clinical.csv", lambda t: pd.concat([t, t.iloc[[0]]]))
    with pytest.raises(InputError, match="SIM-0001"):
        run(cohort)


def test_render_is_plain_within_100_columns_and_json_holds_everything(cohort: Path) -> None:
    edit_table(cohort / "slide_stats.csv", lambda t: t.assign(**{"[flat]": 1.0}))
    report = run(cohort)
    out = io.StringIO()
    render(report, Console(file=out, width=100, color_system=None))
    text = out.getvalue()
    tables = [line for line in text.splitlines() if "warning:" not in line and str(cohort) not in line]
    assert max(len(line) for line in tables) <= 100
    for words in ("SIMA", "image + rna + report", "At least one modality", "slide_stats", "pfi", "[flat]"):
        assert words in text
    assert "warning: source slide_stats: 1 features have one value only ([flat])" in text
    value = json.loads(json.dumps(report.to_json()))
    assert value["any_modality"] == report.any_modality
    assert value["types"][0]["sources"]["genes"] == report.types[0].sources["genes"]


@pytest.mark.tcga
@pytest.mark.skipif(not TCGA.is_dir(), reason="no real TCGA evaluation set beside the checkout")
def test_real_cohort_agrees_with_its_published_table() -> None:
    report = check(load_cohort(CONFIGS / "tcga.cohort.yaml", str(TCGA)), progress=False)
    assert report.errors == []
    assert (report.any_modality, report.listed_any_modality, report.excluded) == (10_779, 10_700, 57)
    names = ("hif", "xception", "nuclei", "reads", "genes", "signatures", "text")
    published = {
        "BRCA": (1097, 904, 0, 0, 1097, 956, 1082, 220),
        "LUAD": (522, 444, 0, 0, 479, 453, 510, 473),
        "LUSC": (504, 412, 0, 0, 503, 450, 486, 468),
        "LGG": (515, 0, 0, 511, 514, 479, 513, 105),
        "BLCA": (412, 0, 377, 0, 0, 373, 404, 65),
        "UCEC": (548, 0, 0, 0, 548, 0, 528, 113),
        "COAD": (459, 0, 0, 0, 0, 258, 439, 74),
        "GBM": (596, 0, 0, 0, 0, 90, 153, 79),
        "LAML": (200, 0, 0, 0, 0, 0, 173, 0),
        "SKCM": (470, 326, 0, 0, 470, 230, 469, 19),
        "UVM": (80, 0, 0, 0, 78, 0, 80, 13),
    }
    found = {t.cohort: (t.patients, *(t.sources[name] for name in names)) for t in report.types}
    assert {name: found[name] for name in published} == published
    assert len(found) == 33
    assert {s.source: (s.rows, s.patients) for s in report.sources} == {
        "hif": (2613, 2458), "xception": (377, 377), "nuclei": (7063, 512), "reads": (11609, 8230),
        "genes": (5240, 5240), "signatures": (10054, 10054), "text": (2677, 2677),
        "words": (2677, 2677), "facts": (2639, 2639),
    }  # fmt: skip
    assert_one(report.warnings, "text", "33 reports are shorter than 200")
    assert_one(report.warnings, "text", "shared by two or more", "TCGA-22-1000 = TCGA-22-1017")


def test_delayed_entry_is_checked_and_told(cohort: Path) -> None:
    def enter(table: pd.DataFrame) -> pd.DataFrame:
        seen = (table["os_days"] / 2).astype("float")
        seen[:2] = table["os_days"][:2] + 5
        return table.assign(seen=seen)

    edit_table(cohort / "clinical.csv", enter)
    edit_yaml(cohort, lambda value: value["clinical"]["endpoints"]["os"].update(entry="seen"))
    report = run(cohort)
    assert report.errors == []
    assert_one(report.warnings, "os: 2 patients have an entry (seen) that is not before the time")
    assert_one(report.clinical_notes, "came under observation late (seen)")
    assert next(e for e in report.endpoints if e.cohort == "all" and e.endpoint == "os").patients < 119
    edit_table(cohort / "clinical.csv", lambda table: table.assign(seen=-1.0))
    with pytest.raises(InputError, match="seen is negative"):
        run(cohort)
