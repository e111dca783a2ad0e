"""What users get wrong, each tried on a small cohort through the real commands.

Three outcomes are allowed, and the table says which: `refused` (check and pack both name the fault, and pack
leaves no store), `judged` (the files can be read, but check calls it an error), `stated` (check counts it and
goes on).
"""

import hashlib
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from prime.cli import main
from prime.demo.simulate import simulate

Spoil = Callable[[Path], None]


@dataclass(frozen=True)
class Kind:
    """A fault: how to make it, what becomes of it, and words that the message must hold."""

    name: str
    spoil: Spoil
    outcome: str
    words: tuple[str, ...]
    reports: bool = False


# Ways to spoil ----------------------------------------------------------------------------------------------


def settings(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """Change the cohort file."""

    def spoil(folder: Path) -> None:
        path = folder / "cohort.yaml"
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
        change(value)
        path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")

    return spoil


def table(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Spoil:
    """Change a table, read as text so that any cell can hold anything."""

    def spoil(folder: Path) -> None:
        path = folder / name
        change(pd.read_csv(path, dtype=str, keep_default_na=False)).to_csv(path, index=False)

    return spoil


def cell(name: str, row: int, column: str, value: str) -> Spoil:
    """Write one cell of a table."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[row, column] = value
        return frame

    return table(name, change)


def raw(name: str, content: bytes) -> Spoil:
    """Replace a file's bytes."""

    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return spoil


def cut(name: str, share: float) -> Spoil:
    """Keep only the first part of a file."""

    def spoil(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * share)])

    return spoil


def remove(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    return spoil


def slides(folder: Path) -> list[Path]:
    return sorted((folder / "slides").iterdir())


def slide(number: int, **datasets: Any) -> Spoil:
    """Replace one slide's HDF5 file by one with these datasets."""

    def spoil(folder: Path) -> None:
        with h5py.File(slides(folder)[number], "w") as file:
            for name, value in datasets.items():
                file[name] = value

    return spoil


def slide_bytes(number: int, change: Callable[[bytes], bytes]) -> Spoil:
    def spoil(folder: Path) -> None:
        path = slides(folder)[number]
        path.write_bytes(change(path.read_bytes()))

    return spoil


def every_slide_empty(folder: Path) -> None:
    for path in slides(folder):
        with h5py.File(path, "w") as file:
            file["features"] = np.zeros((0, 32), dtype=np.float32)


def both(*spoils: Spoil) -> Spoil:
    def spoil(folder: Path) -> None:
        for one in spoils:
            one(folder)

    return spoil


class Trap:
    """Unpickled, it would write a file: proof that a pickle was run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def as_pt(make: Callable[[Path], Callable[[Path], None]]) -> Spoil:
    """Turn the slides into `.pt` files, the first of them made by `make`."""

    def spoil(folder: Path) -> None:
        paths = slides(folder)
        for number, path in enumerate(paths):
            target = path.with_suffix(".pt")
            if number == 0:
                make(folder)(target)
            else:
                torch.save(torch.zeros(3, 32), target)
            path.unlink()
        settings(lambda v: v["modalities"]["image"]["tiles"].update(reader="pt"))(folder)

    return spoil


def pickled(folder: Path) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(pickle.dumps(Trap(folder / "trapped")))


def saved_trap(folder: Path) -> Callable[[Path], None]:
    return lambda path: torch.save({"features": Trap(folder / "trapped")}, path)


def saved_mapping(folder: Path) -> Callable[[Path], None]:
    return lambda path: torch.save({"features": torch.zeros(3, 32)}, path)


def as_xlsx(folder: Path) -> None:
    pd.read_csv(folder / "clinical.csv").to_excel(
        folder / "clinical.xlsx", sheet_name="Patients", index=False
    )
    settings(lambda v: v["clinical"].update(path="clinical.xlsx", sheet="Outcomes"))(folder)


def leak(folder: Path) -> None:
    """Put the survival time, on another scale, among the genes."""
    days = pd.read_csv(folder / "clinical.csv").set_index("patient_id")["os_days"]
    genes = pd.read_parquet(folder / "rna.parquet")
    genes["innocent"] = np.log(days.loc[genes["patient_id"]].to_numpy())
    genes.to_parquet(folder / "rna.parquet", index=False)


def void_row(frame: pd.DataFrame) -> pd.DataFrame:
    frame.iloc[1, 1:] = ""
    return frame


def first_line_longer(folder: Path) -> None:
    path = folder / "slide_stats.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[3] += ",1,2,3"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def twice_named_column(folder: Path) -> None:
    path = folder / "clinical.csv"
    text = path.read_text(encoding="utf-8").replace("pfi_event", "os_event", 1)
    path.write_text(text, encoding="utf-8")


def gene_list(content: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / "genes.txt").write_text(content, encoding="utf-8")
        settings(lambda v: v["modalities"]["rna"]["genes"].update(gene_list="genes.txt"))(folder)

    return spoil


def half_groups(folder: Path) -> None:
    (folder / "groups.csv").write_text("feature,group\nstat_01,size\n", encoding="utf-8")
    settings(lambda v: v["modalities"]["image"]["slide_stats"].update(groups="groups.csv"))(folder)


def void_encoder(folder: Path) -> None:
    (folder / "encoder").mkdir()
    settings(lambda v: v["modalities"]["report"]["reports"].update(encoder="encoder"))(folder)


def image(value: dict[str, Any]) -> dict[str, Any]:
    return value["modalities"]["image"]


CLINICAL, STATS, REPORTS = "clinical.csv", "slide_stats.csv", "reports.csv"
TOKENS = np.ones((5, 32), dtype=np.float32)
WITH_NAN = np.where(np.arange(160).reshape(5, 32) == 70, np.nan, TOKENS)

KINDS = [
    # The cohort file
    Kind("no cohort file", remove("cohort.yaml"), "refused", ("cohort.yaml", "no such file")),
    Kind(
        "yaml syntax", raw("cohort.yaml", b"name: [a\nroot: ."), "refused", ("cohort.yaml", "not a YAML file")
    ),
    Kind(
        "yaml not UTF-8", raw("cohort.yaml", b"name: \xff\xfe\x41"), "refused", ("cohort.yaml", "not UTF-8")
    ),
    Kind("yaml no mapping", raw("cohort.yaml", b"- a\n- b\n"), "refused", ("expected a mapping", "list")),
    Kind(
        "unknown key", settings(lambda v: v["clinical"].update(colour="red")), "refused", ("clinical.colour",)
    ),
    Kind(
        "missing key", settings(lambda v: v["clinical"].pop("path")), "refused", ("clinical.path", "required")
    ),
    Kind(
        "wrong type",
        settings(lambda v: image(v)["tiles"].update(max_tokens="many")),
        "refused",
        ("max_tokens", "many"),
    ),
    Kind(
        "unknown reader",
        settings(lambda v: image(v)["tiles"].update(reader="dicom")),
        "refused",
        ("tiles", "dicom", "'h5'"),
    ),
    Kind(
        "unset variable",
        settings(lambda v: v["clinical"].update(path="${PRIME_NOWHERE}/a.csv")),
        "refused",
        ("PRIME_NOWHERE", "not set"),
    ),
    Kind(
        "root is a file",
        settings(lambda v: v.update(root="clinical.csv")),
        "refused",
        ("root", "not a folder"),
    ),
    Kind(
        "no modality", settings(lambda v: v.update(modalities={})), "refused", ("modalities", "at least one")
    ),
    Kind(
        "modality without source",
        settings(lambda v: v["modalities"].update(rna={})),
        "refused",
        ("'rna'", "at least one source"),
    ),
    Kind(
        "two sources of one name",
        settings(lambda v: v["modalities"]["rna"].update(tiles=image(v)["tiles"])),
        "refused",
        ("'tiles'", "named twice"),
    ),
    # The clinical table
    Kind("no clinical table", remove(CLINICAL), "refused", ("clinical", "clinical.csv", "no such file")),
    Kind(
        "clinical of unknown kind",
        both(raw("clinical.docx", b"x"), settings(lambda v: v["clinical"].update(path="clinical.docx"))),
        "refused",
        ("unknown kind of table", ".docx"),
    ),
    Kind("no sheet", as_xlsx, "refused", ("no sheet 'Outcomes'", "'Patients'")),
    Kind("clinical empty", raw(CLINICAL, b""), "refused", ("clinical.csv", "empty")),
    Kind(
        "clinical header only", table(CLINICAL, lambda t: t.iloc[:0]), "refused", ("clinical.csv", "no rows")
    ),
    Kind(
        "clinical not UTF-8", raw(CLINICAL, b"patient_id,site\nSIM-0001,K\xf6ln\n"), "refused", ("not UTF-8",)
    ),
    Kind(
        "wrong column",
        table(CLINICAL, lambda t: t.rename(columns={"os_days": "days"})),
        "refused",
        ("no column 'os_days'", "'days'"),
    ),
    Kind("column twice", twice_named_column, "refused", ("'os_event'", "occurs twice")),
    Kind(
        "duplicate patient",
        table(CLINICAL, lambda t: pd.concat([t, t.iloc[[2]]])),
        "refused",
        ("SIM-0003", "rows 3 and 61"),
    ),
    Kind("no patient id", cell(CLINICAL, 4, "patient_id", " "), "refused", ("row 5", "patient_id")),
    Kind(
        "negative time", cell(CLINICAL, 6, "os_days", "-3"), "refused", ("row 7", "SIM-0007", "os_days", "-3")
    ),
    Kind("time in words", cell(CLINICAL, 6, "pfi_days", "two years"), "refused", ("SIM-0007", "two years")),
    Kind("infinite time", cell(CLINICAL, 6, "os_days", "inf"), "refused", ("SIM-0007", "'inf'", "finite")),
    Kind("event coded 2", cell(CLINICAL, 6, "os_event", "2"), "refused", ("SIM-0007", "os_event", "'2'")),
    Kind("all censored", table(CLINICAL, lambda t: t.assign(os_event="0")), "judged", ("os", "censored")),
    Kind(
        "no outcome at all",
        table(CLINICAL, lambda t: t.assign(os_event="[Not Available]")),
        "judged",
        ("os", "no patient has an outcome"),
    ),
    Kind(
        "everybody excluded",
        table(CLINICAL, lambda t: t.assign(status="redacted")),
        "judged",
        ("no patient has an outcome", "60 excluded"),
    ),
    Kind(
        "one class",
        table(CLINICAL, lambda t: t.assign(os_event="1")),
        "stated",
        ("os: every patient has the event",),
    ),
    Kind(
        "time without event",
        cell(CLINICAL, 0, "os_event", ""),
        "stated",
        ("1 patients have a time but no event", "SIM-0001", "counted as missing"),
    ),
    # Vector tables
    Kind("no feature table", remove("rna.parquet"), "refused", ("genes", "rna.parquet", "no such file")),
    Kind("truncated parquet", cut("rna.parquet", 0.6), "refused", ("genes", "rna.parquet")),
    Kind("csv named parquet", raw("rna.parquet", b"patient_id,a\nSIM-0001,1\n"), "refused", ("rna.parquet",)),
    Kind(
        "wrong patient column",
        settings(lambda v: image(v)["slide_stats"].update(patient_id="case_id")),
        "refused",
        ("slide_stats", "no column 'case_id'"),
    ),
    Kind("text among features", cell(STATS, 1, "stat_05", "high"), "refused", ("stat_05", "ignore")),
    Kind("infinite feature", cell(STATS, 1, "stat_05", "-inf"), "refused", ("stat_05", "row 2", "-inf")),
    Kind(
        "feature beyond float32",
        cell(STATS, 1, "stat_05", "1e39"),
        "refused",
        ("stat_05", "1e+39", "float32"),
    ),
    Kind("huge feature", cell(STATS, 1, "stat_05", "3e9"), "stated", ("stat_05", "beyond 1,000,000")),
    Kind(
        "NaN features", cell(STATS, 1, "stat_05", ""), "stated", ("missing (NaN), in 1 features (stat_05)",)
    ),
    Kind("a row of NaN", table(STATS, void_row), "stated", ("1 of", "no number at all: counted as missing")),
    Kind(
        "constant feature",
        table(STATS, lambda t: t.assign(stat_05="7")),
        "stated",
        ("one value only", "stat_05"),
    ),
    Kind(
        "no features left",
        table(STATS, lambda t: t[["patient_id"]]),
        "refused",
        ("no feature column is left",),
    ),
    Kind("ragged csv", first_line_longer, "refused", ("slide_stats.csv", "malformed")),
    Kind(
        "features not UTF-8",
        raw(STATS, b"patient_id,gr\xf6\xdfe\nSIM-0001,1\n"),
        "refused",
        ("slide_stats.csv", "not UTF-8"),
    ),
    Kind("outcome among features", leak, "judged", ("genes", "'innocent'", "gives the outcome away")),
    Kind(
        "feature named as outcome",
        table(STATS, lambda t: t.assign(vital_status=t["stat_03"])),
        "stated",
        ("vital_status", "named like outcomes"),
    ),
    Kind(
        "genes of other names",
        gene_list("ENSG1\nENSG2\nG0001\n"),
        "refused",
        ("gene overlap 1/3", "under 50%"),
    ),
    Kind(
        "no gene list",
        settings(lambda v: v["modalities"]["rna"]["genes"].update(gene_list="no.txt")),
        "refused",
        ("no.txt", "no such file"),
    ),
    Kind(
        "feature without group",
        half_groups,
        "refused",
        ("groups.csv", "23 features have no group", "stat_02"),
    ),
    # Token files
    Kind("no slide folder", remove("slides"), "refused", ("tiles", "no such folder")),
    Kind(
        "no slide files",
        settings(lambda v: image(v)["tiles"].update(file_pattern="*.tif")),
        "refused",
        ("tiles", "'*.tif'"),
    ),
    Kind(
        "truncated h5",
        slide_bytes(2, lambda b: b[: len(b) // 3]),
        "refused",
        ("tiles", ".h5", "not a whole HDF5"),
    ),
    Kind(
        "text named h5",
        slide_bytes(2, lambda b: b"not a slide"),
        "refused",
        ("tiles", ".h5", "not a whole HDF5"),
    ),
    Kind(
        "empty slide",
        slide(2, features=np.zeros((0, 32), np.float32)),
        "stated",
        ("is empty (no tokens): counted as missing",),
    ),
    Kind(
        "empty slide without width",
        slide(0, features=np.zeros(0, np.float32)),
        "stated",
        ("is empty (no tokens): counted as missing",),
    ),
    Kind("all slides empty", every_slide_empty, "refused", ("tiles", "no patient has anything in it")),
    Kind("h5 without features", slide(2, tokens=TOKENS), "refused", ("no dataset 'features'", "'tokens'")),
    Kind("h5 of text", slide(2, features=np.array([b"a", b"b"])), "refused", ("expected numbers",)),
    Kind("h5 of images", slide(2, features=np.ones((2, 4, 4, 3), np.float32)), "refused", ("(2, 4, 4, 3)",)),
    Kind("NaN tokens", slide(2, features=WITH_NAN), "refused", ("token 2", "NaN")),
    Kind(
        "two widths of tokens",
        slide(2, features=np.ones((5, 16), np.float32)),
        "refused",
        ("16 features", "32", "one encoder per source"),
    ),
    Kind(
        "no patient in the name",
        settings(lambda v: image(v)["tiles"].update(patient_from="^(TCGA-.*)")),
        "refused",
        ("patient_from", "finds no patient"),
    ),
    Kind("pickle named pt", as_pt(pickled), "refused", (".pt", "not a plain tensor file", "never a pickle")),
    Kind("pickle inside pt", as_pt(saved_trap), "refused", (".pt", "not a plain tensor file")),
    Kind("mapping in pt", as_pt(saved_mapping), "refused", (".pt", "expected a tensor", "dict")),
    # Reports
    Kind(
        "no text column",
        table(REPORTS, lambda t: t.rename(columns={"text": "report"})),
        "refused",
        ("reports", "no column 'text'"),
        reports=True,
    ),
    Kind(
        "reports not UTF-8",
        raw(REPORTS, b"patient_filename,text\nSIM-0001.a,caf\xe9\n"),
        "refused",
        ("reports.csv", "not UTF-8"),
        reports=True,
    ),
    Kind(
        "all reports empty",
        table(REPORTS, lambda t: t.assign(text=" ")),
        "refused",
        ("reports.csv", "every report is empty"),
        reports=True,
    ),
    Kind("encoder without weights", void_encoder, "refused", ("encoder", "config.json"), reports=True),
    # Patients
    Kind(
        "patient without clinical row",
        cell(STATS, 0, "patient_id", "SIM-9999"),
        "stated",
        ("slide_stats", "no clinical row", "SIM-9999"),
    ),
    Kind(
        "ids that never meet",
        table(STATS, lambda t: t.assign(patient_id="P" + t["patient_id"])),
        "judged",
        ("none of its patients", "'PSIM-"),
    ),
]


# The commands -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("bad_input") / "cohort", 60, 0).parent


@pytest.fixture
def cohort(original: Path, tmp_path: Path) -> Path:
    """A fresh copy of the simulated cohort."""
    return Path(shutil.copytree(original, tmp_path / "cohort"))


def without_reports(folder: Path) -> None:
    """Leave the report modality out, so that no encoder runs."""
    settings(lambda v: v["modalities"].pop("report"))(folder)


def fingerprint(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run a command: status, standard output, standard error, white space made plain."""
    capsys.readouterr()
    status = main(list(words))
    out, err = capsys.readouterr()
    return status, " ".join(out.split()), err


def assert_single_error(status: int, err: str, words: tuple[str, ...]) -> None:
    assert status == 2, err
    assert err.startswith("error: "), err
    assert err.count("\nerror: ") == 0, err
    assert "Traceback" not in err
    assert all(word in " ".join(err.split()) for word in words), err


def assert_nothing_half_written(store: Path) -> None:
    assert not (store / "manifest.json").exists()
    left = [p.name for p in store.rglob("*")] if store.exists() else []
    assert not [name for name in left if name.startswith(".")], "temporary files were left"
    arrays = {name.removesuffix(".npy") for name in left if name.endswith(".npy")}
    assert arrays == {name.removesuffix(".json") for name in left if name.endswith(".json")}, "half a source"


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name.replace(" ", "-") for kind in KINDS])
def test_bad_input(kind: Kind, cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not kind.reports:
        without_reports(cohort)
    kind.spoil(cohort)
    before = fingerprint(cohort)
    config, store = str(cohort / "cohort.yaml"), tmp_path / "store"

    status, out, err = command(capsys, "check", config)
    assert status == {"refused": status or 1, "judged": 1, "stated": 0}[kind.outcome], out + err
    assert all(word in f"{out} {' '.join(err.split())}" for word in kind.words), out + err
    assert "Traceback" not in out + err

    status, out, err = command(capsys, "pack", config, "--out", str(store))
    if kind.outcome == "refused":
        assert_single_error(status, err, kind.words)
        assert_nothing_half_written(store)
    else:
        assert status == 0, err
        assert (store / "manifest.json").is_file()
    assert fingerprint(cohort) == before, "a source file was changed"
    assert not (cohort / "trapped").exists(), "a pickle was run"


def test_the_unspoilt_cohort_passes(cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    without_reports(cohort)
    status, out, _ = command(capsys, "check", str(cohort / "cohort.yaml"))
    assert status == 0
    assert "0 errors" in out
    assert command(capsys, "pack", str(cohort / "cohort.yaml"), "--out", str(tmp_path / "store"))[0] == 0


def test_the_table_has_at_least_thirty_kinds() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 30
