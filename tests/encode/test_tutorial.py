"""The commands of docs/tutorial.md as they stand, from raw files on a loopback GDC to predictions."""

import io
import re
import shlex
from contextlib import chdir, redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prime.cli import main
from tests.encode.toy_gdc import PATIENTS, toy_tcga

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"


def blocks(language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def run(command: str, folder: Path, server: str) -> str:
    """Run a command in the folder, in this process. Returns what it printed."""
    words = shlex.split(command)
    assert words[0] == "prime"
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, chdir(folder), redirect_stdout(printed):
        patch.setenv("PRIME_GDC", server)
        patch.setenv("PRIME_CACHE", str(folder / "cache"))
        assert main(words[1:]) == 0, f"{command}\n{printed.getvalue()}"
    return printed.getvalue()


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder after the last command, and what each printed."""
    folder = tmp_path_factory.mktemp("tutorial")
    (experiment,) = blocks("yaml")
    (folder / "experiment.yaml").write_text(experiment, encoding="utf-8")
    printed: dict[str, str] = {}
    with toy_tcga() as server:
        for command in [line for block in blocks("sh") for line in block.splitlines()]:
            printed[command] = run(command, folder, server.url)
    return folder, printed


def test_nothing_is_left_out(walked: tuple[Path, dict[str, str]]) -> None:
    folder, printed = walked
    names = [" ".join(command.split()[1:3]) for command in printed]
    for step in ("gdc query", "gdc fetch", "gdc build", "encode slides", "encode rna", "encode reports"):
        assert step in names
    manifest = pd.read_csv(folder / "manifest.tsv", sep="\t")
    assert manifest["data"].value_counts().to_dict() == {"slides": 30, "rna": 30, "reports": 30}


def test_every_patient_gets_a_prediction_from_what_is_there(walked: tuple[Path, dict[str, str]]) -> None:
    folder, printed = walked
    table = pd.read_csv(folder / "predictions.csv")
    assert sorted(table["patient_id"]) == PATIENTS
    assert (table["status"] == "scored").all()
    assert table["risk"].nunique() == len(PATIENTS)
    check = next(text for command, text in printed.items() if command.startswith("prime check"))
    assert "0 errors" in check


def test_what_was_planted_is_found(walked: tuple[Path, dict[str, str]]) -> None:
    """The hidden severity orders the odd genes; the fitted risk goes with it."""
    folder, _ = walked
    rna = pd.read_parquet(next((folder / "features" / "rna").glob("*.parquet"))).set_index("patient_id")
    genes = rna.select_dtypes("number")
    planted = genes.iloc[:, 1::2].mean(axis=1) - genes.iloc[:, ::2].mean(axis=1)
    risk = pd.read_csv(folder / "predictions.csv").set_index("patient_id")["risk"].loc[planted.index]
    assert np.corrcoef(planted.rank(), risk.rank())[0, 1] > 0.4


def test_a_second_walk_does_nothing_again(walked: tuple[Path, dict[str, str]]) -> None:
    folder, _ = walked
    watched = list((folder / "features").rglob("*.h5"))
    before = {path: path.stat().st_mtime_ns for path in watched}
    with toy_tcga() as server:
        for command in [line for block in blocks("sh") for line in block.splitlines() if "encode" in line]:
            run(command, folder, server.url)
    assert {path: path.stat().st_mtime_ns for path in watched} == before
