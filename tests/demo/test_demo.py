"""The demo on a tiny scale: everything it promises is there, and a second run does nothing again."""

import io
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from prime.cli import build_app
from prime.demo import run
from prime.demo.oracle import true_risk
from prime.errors import InputError
from prime.store.store import Store

TINY = (
    "model.dim=16",
    "model.queries=2",
    "model.heads=2",
    "model.prototypes=4",
    "pretrain.epochs=1",
    "evaluate.bootstrap=0",
    "evaluate.fold_count=2",
    "evaluate.probe.components=4",
    "evaluate.finetune.epochs=1",
)


def go(out: Path, overrides: tuple[str, ...] = TINY) -> str:
    text = io.StringIO()
    run(out, 180, 30, overrides, Console(file=text, width=120))
    return text.getvalue()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("demo") / "out"
    return out, go(out)


def test_it_ends_with_the_table_and_the_figures(demo: tuple[Path, str]) -> None:
    out, text = demo
    end = text[text.rindex("C-index of held-out") :]
    for row in ("pretrained LP", "pretrained FT", "scratch LP", "scratch FT", "oracle"):
        cells = next(line for line in end.splitlines() if f" {row} " in line).split("│")[2:-1]
        assert len(cells) == 7, "a column a pattern"
        assert all(0 <= float(cell) <= 1 for cell in cells)
    for name in ("curves.svg", "patterns.svg", "survival_curves.svg"):
        assert (out / name).read_text(encoding="utf-8").startswith("<svg")


def test_it_ends_with_the_command_that_shows_it(demo: tuple[Path, str]) -> None:
    out, text = demo
    words = shlex.split(text.splitlines()[-1])
    assert words[0] == "prime"
    given = build_app().parse_args(words[1:], exit_on_error=False, print_error=False)[1].arguments
    assert (Path(given["what"]), given["cohort"]) == (out / "model", out / "cohort" / "cohort.yaml")
    assert Path(given["what"]).is_dir()
    assert given["cohort"].is_file()


def test_every_unseen_patient_is_listed(demo: tuple[Path, str]) -> None:
    out, _ = demo
    table = pd.read_csv(out / "predictions.csv", keep_default_na=False, na_values={"risk": ""})
    listed = pd.read_csv(out / "unseen" / "clinical.csv")["patient_id"]
    assert table["patient_id"].tolist() == listed.tolist()
    assert ((table["status"] == "scored") == table["risk"].notna()).all()
    assert (table["imputed"] != "").any(), "pieces are missing"
    assert not set(listed) & set(pd.read_csv(out / "cohort" / "clinical.csv")["patient_id"])


def test_a_second_run_does_nothing_again(demo: tuple[Path, str]) -> None:
    out, _ = demo
    kept = [
        out / "cohort" / "clinical.csv",
        out / "store" / "manifest.json",
        out / "pretrained" / "model.safetensors",
        out / "model" / "manifest.json",
        *(out / "evaluation" / "parts").iterdir(),
    ]
    before = {path: path.stat().st_mtime_ns for path in kept}
    predictions = (out / "predictions.csv").read_bytes()
    go(out)
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    assert len(list((out / "evaluation" / "parts").iterdir())) == len(kept) - 4
    assert (out / "predictions.csv").read_bytes() == predictions


def test_other_settings_are_refused(demo: tuple[Path, str]) -> None:
    with pytest.raises(InputError, match="other settings"):
        go(demo[0], (*TINY, "seed=5"))


def test_the_oracle_reads_only_what_is_kept(demo: tuple[Path, str]) -> None:
    out, _ = demo
    store = Store.open(out / "store")
    truth = pd.read_csv(out / "cohort" / "truth.csv")
    observed = store.observed()
    whole = true_risk(store, out / "cohort", (True, True, True))
    complete = observed.all(axis=1)
    np.testing.assert_allclose(whole[complete], truth["log_hazard"][complete], atol=1e-3)
    image = true_risk(store, out / "cohort", (True, False, False))
    expected = 0.7 * truth["grade"] - 0.55 * truth["immune"] + 0.45 * truth["stroma"]
    np.testing.assert_allclose(image, np.where(observed[:, 0], expected, 0.0), atol=1e-9)
