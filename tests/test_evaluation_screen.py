"""What an evaluation prints: nothing is cut, and what a mean rests on is said."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from prime.commands.evaluation_screen import print_evaluation
from prime.evaluation.averages import CONSTANT
from prime.evaluation.missingness import patterns
from prime.evaluation.summary import summarise

THREE = ["image", "rna", "report"]
Way = tuple[str, str, str]
LP = ("prime", "pretrained", "lp")
METHODS: tuple[Way, ...] = (LP, ("prime", "pretrained", "lp_missing"), ("late_ridge", "scratch", "fit"))


def folds(modalities: list[str], methods: tuple[Way, ...] = METHODS) -> pd.DataFrame:
    """Scores of two folds of three cohorts under every pattern, each another number of three digits."""
    rng = np.random.default_rng(1)
    base = {"train_on": "everyone", "share": 1.0, "task": "os", "seed": 0, "test_on": "everyone",
            "metric": "c_index", "n": 50, "events": 20, "pairs": 400, "reason": None,
            "note": None}  # fmt: skip
    rows = [
        {"method": method, "init": init, "mode": mode, "pattern": pattern, "cohort": cohort, "fold": fold,
         "value": rng.uniform(0.4, 0.8), **base}
        for method, init, mode in methods
        for pattern in patterns(modalities)
        for cohort in "ABC"
        for fold in range(2)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def printed(scores: pd.DataFrame, out: Path, width: int = 80, manifest: dict[str, Any] | None = None) -> str:
    summarise(scores).to_csv(out / "summary.csv", index=False)
    tasks = [{"name": name} for name in ("os", "early")]
    facts = {"config": {"evaluate": {"tasks": tasks}}, "not_fitted": {}, "constant": {}} | (manifest or {})
    (out / "manifest.json").write_text(json.dumps(facts), encoding="utf-8")
    screen = StringIO()
    print_evaluation(out, Console(file=screen, width=width))
    return screen.getvalue()


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("modalities", [THREE, [*THREE, "clinical"]], ids=["three", "four"])
@pytest.mark.parametrize("count", [1, 3, 12])
def test_every_number_stands_whole_whatever_the_width(
    width: int, modalities: list[str], count: int, tmp_path: Path
) -> None:
    methods = (*METHODS, *((f"method_{i}", "scratch", "fit") for i in range(9)))[:count]
    scores = folds(modalities, methods)
    lines = printed(scores, tmp_path, width).splitlines()
    table = [line for line in lines if line[:1] in "┃│"]
    assert max(map(len, table)) <= width
    words = "\n".join(table).replace("│", " ").replace("┃", " ").split()
    macro = pd.read_csv(tmp_path / "summary.csv").query("cohort == 'macro'")
    expected = sorted(f"{mean:.3f}" for mean in macro["mean"])
    assert sorted(word for word in words if word.startswith("0.")) == expected
    assert set(patterns(modalities)) <= set(words)
    assert not [word for word in words if "…" in word]


def test_four_modalities_have_their_patterns_down_the_side(tmp_path: Path) -> None:
    lines = printed(folds([*THREE, "clinical"]), tmp_path).splitlines()
    first = [line.split("│")[1].strip() for line in lines if line.startswith("│")]
    assert first == list(patterns([*THREE, "clinical"]))
    across = printed(folds(THREE), tmp_path)
    assert [line for line in across.splitlines() if "all" in line and "report" in line]


def test_a_mean_over_fewer_cohorts_says_so(tmp_path: Path) -> None:
    scores = folds(THREE)
    gone = (scores["pattern"] == "image") & (scores["cohort"] == "C") & (scores["mode"] == "lp")
    text = printed(scores[~gone], tmp_path)
    row = pd.read_csv(tmp_path / "summary.csv").query(
        "cohort == 'macro' and pattern == 'image' and mode == 'lp'"
    )
    assert f"{row['mean'].iloc[0]:.3f} (2)" in text
    assert text.count("(2)") == 1
    assert "os: (n) is a mean over n cohorts; the others are over 3" in text
    assert "(n)" not in printed(scores, tmp_path)


def test_a_constant_says_so(tmp_path: Path) -> None:
    scores = folds(THREE)
    blind = (scores["pattern"] == "image") & (scores["method"] == "late_ridge")
    text = printed(
        scores.assign(value=scores["value"].mask(blind, 0.5), note=np.where(blind, CONSTANT, None)), tmp_path
    )
    assert "0.500 (constant)" in text
    assert "os: (constant): the same risk for everybody" in text


def test_folds_with_few_pairs_are_named(tmp_path: Path) -> None:
    scores = folds(THREE)
    few = (scores["pattern"] == "rna") & (scores["cohort"] == "B") & (scores["fold"] == 1)
    text = printed(scores.assign(pairs=scores["pairs"].mask(few, 3)), tmp_path)
    assert "os: folds with fewer than 10 comparable pairs, which alone say next to nothing: B rna 3\n" in text


def test_what_was_not_fitted_is_said_with_the_reason(tmp_path: Path) -> None:
    why = "12 training patients with 3 events, 2 to validate"
    facts = {
        "not_fitted": {f"early A fold {k} everyone 1 seed 0": why for k in range(10)},
        "constant": {"clinical_cox os B fold 1 everyone 1 seed 0": why},
    }
    lines = printed(folds(THREE), tmp_path, manifest=facts).splitlines()
    assert "early: no fold could be fitted" in lines
    place = lines.index("Not fitted, and in no table (10):")
    assert lines[place + 1] == f"  early A fold 0 everyone 1 seed 0: {why}"
    assert lines[place + 9] == "  and 2 more, in manifest.json"
    assert f"  clinical_cox os B fold 1 everyone 1 seed 0: {why}" in lines
    assert "os: no fold could be fitted" not in lines


def test_the_best_less_the_next(tmp_path: Path) -> None:
    shared = {"task": "os", "train_on": "everyone", "share": 1.0, "metric": "c_index", "folds": 6}
    tests = {"bootstrap_p": 0.04, "corrected_t_p": float("nan"), "wilcoxon_p": 0.2}
    pairs = pd.DataFrame(
        [
            {**shared, "a": "x", "b": "y", "difference": -0.02, "low": -0.03, "high": -0.01, **tests},
            {**shared, "a": "x", "b": "z", "difference": 0.01, "low": -0.01, "high": 0.03, **tests},
            {**shared, "a": "y", "b": "z", "difference": 0.03, "low": 0.01, "high": 0.05, **tests},
        ]
    )
    pairs.to_csv(tmp_path / "differences.csv", index=False)
    lines = printed(folds(THREE), tmp_path).splitlines()
    assert lines[-2:] == [
        "  os: y less x +0.020 (+0.010 to +0.030), p 0.040; corrected t p undefined, Wilcoxon p 0.200",
        "  os: y less z +0.030 (+0.010 to +0.050), p 0.040; corrected t p undefined, Wilcoxon p 0.200",
    ]
    other = pairs.assign(share=0.5)
    pd.concat([pairs, other]).to_csv(tmp_path / "differences.csv", index=False)
    assert "  os 0.5: y less x" in printed(folds(THREE), tmp_path)
