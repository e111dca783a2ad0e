"""Studies with other methods, and with another experiment beside: tables, pairs, choices, the docs page."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from prime.catalogue.listing import methods_list
from prime.catalogue.methods import METHODS
from prime.errors import InputError
from prime.render.figure import Figure, RankPanel
from prime.render.tables import ABSENT, Table
from prime.settings.experiment import ExperimentConfig, load_overrides
from prime.store.store import Store
from prime.study.context import Other, Output
from prime.study.methods_page import methods_page, parameter_counts

ROOT = Path(__file__).resolve().parents[2]
Configure = Callable[..., ExperimentConfig]
Run = Callable[..., Path]
GRID = [{"learning_rate": 1e-3, "dropout": 0.1}, {"learning_rate": 3e-3, "dropout": 0.0}]
REFERENCE = pd.DataFrame(
    [("Theirs", "os", "mean", "all", 0.876)], columns=["method", "task", "cohort", "pattern", "mean"]
)
# Where everything is observed, LP and LP+Missing are one fit and one entry.
OURS = {"Pretrained LP = LP+Missing", "Scratch LP = LP+Missing", "Pretrained FT", "Scratch FT"}
BESIDE = {f"{label.replace(' =', ', smaller =')}, smaller" for label in OURS}


def with_methods(config: ExperimentConfig) -> ExperimentConfig:
    value = config.model_dump(mode="json")
    value["evaluate"] |= {"methods": ["early", "rna_only", "late_ridge"], "modes": ["lp", "lp_missing", "ft"]}
    value["comparison"] |= {"blocks": 1, "grid": GRID, "epochs": 2, "precision": "32-true"}
    return ExperimentConfig.model_validate(value)


@pytest.fixture(scope="module")
def compared(
    study_store: Store, study_config: Configure, run_study: Run, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("compared")
    other = load_overrides(study_config(), (("model.queries", 2),))
    also = (Other("smaller", study_store, other),)
    names = ["table2", "table4", "parameters", "methods", "comparison"]
    return run_study(names, with_methods(study_config()), out, reference=REFERENCE, also=also)


def shown(out: Path, study: str, table: str) -> pd.DataFrame:
    """The cells as a reader sees them."""
    facts = json.loads((out / study / f"{table}.json").read_text(encoding="utf-8"))
    index = [" / ".join(key) for key in facts["index"]]
    return pd.DataFrame(facts["rows"], index=index, columns=[key[0] for key in facts["columns"]])


def test_the_table_has_every_method_and_says_what_it_reads(compared: Path) -> None:
    table = shown(compared, "table2", "methods_os")
    titles = {METHODS[name].title for name in ("early", "rna_only", "late_ridge")}
    assert set(table.index) == {"Theirs"} | titles | OURS | BESIDE
    assert table.loc["Early", "Uses"] == table.loc["Pretrained FT", "Uses"] == "all"
    assert table.loc["RNA-only", "Uses"] == "rna"
    assert table.loc["Theirs", "Uses"] == ABSENT
    patterns = shown(compared, "table4", "patterns_os")
    ways = {f"{init} {mode}" for init in ("Pretrained", "Scratch") for mode in ("LP", "LP+Missing", "FT")}
    assert set(patterns.index) == {"Theirs"} | titles | ways | {f"{way}, smaller" for way in ways}


def test_a_method_that_cannot_see_a_modality_is_at_chance_without_it(compared: Path) -> None:
    rows = pd.read_csv(compared / "table4" / "patterns_os.csv")
    alone = rows[rows["label"] == "RNA-only"].set_index("pattern")["mean"]
    assert alone["image"] == alone["report"] == alone["-rna"] == 0.5
    assert alone["rna"] != 0.5
    table = shown(compared, "table4", "patterns_os")
    assert table.loc["RNA-only", "image"] == "0.500 (constant)"
    assert "constant" not in table.loc["RNA-only", "rna"]
    assert not [text for text in table["image"] if "constant" in text and ("**" in text or "<u>" in text)]
    constant = rows[rows["constant_folds"] == rows["folds"]]
    assert set(zip(constant["label"], constant["pattern"], strict=True)) == {
        ("RNA-only", pattern) for pattern in ("image", "report", "-rna")
    }


def test_every_rival_is_compared_with_the_main_ways(compared: Path) -> None:
    pairs = pd.read_csv(compared / "comparison" / "rivals_os.csv")
    mine = {"Pretrained LP = LP+Missing", "Pretrained FT", "Pretrained LP, smaller = LP+Missing, smaller"}
    assert set(pairs["a"]) == mine
    assert set(pairs["b"]) == {"Early", "RNA-only", METHODS["late_ridge"].title}
    assert len(pairs) == 9
    for _, part in pairs.groupby("a"):
        assert part["difference"].is_monotonic_increasing, "the strongest rival comes first"
    assert pairs["low"].le(pairs["difference"]).all()
    assert pairs["high"].ge(pairs["difference"]).all()
    ways = pd.read_csv(compared / "comparison" / "comparison_os.csv")
    assert set(ways["a"]) | set(ways["b"]) == OURS | BESIDE


def test_ranks_are_those_of_the_cohort_folds(compared: Path) -> None:
    ranks = pd.read_csv(compared / "comparison" / "mean_ranks.csv").set_index("Method")
    assert set(ranks.index) == OURS | BESIDE | {"Early", "RNA-only", METHODS["late_ridge"].title}
    count = len(ranks)
    for task in ("os", "early"):
        assert ranks[task].between(1, count).all()
        assert ranks[task].sum() == pytest.approx(count * (count + 1) / 2)
    assert ranks["mean"].is_monotonic_increasing
    table = shown(compared, "comparison", "mean_ranks")
    assert table.index[0] == ranks.index[0]
    assert table.iloc[0]["mean"].startswith("**"), "the lowest rank is the best"


def test_the_figure_of_averages_has_every_method(compared: Path) -> None:
    drawn = json.loads((compared / "comparison" / "averages.json").read_text(encoding="utf-8"))
    rows = drawn["datasets"]["panel0"]
    names = list(shown(compared, "table2", "methods_os").index)
    assert sorted(row["x"] for row in rows) == sorted(names)
    macro = pd.read_csv(compared / "table2" / "methods_os.csv").query("cohort == 'macro'")
    values = [row["y"] for row in rows]
    for mean in [*macro["mean"], 0.876]:
        assert any(value == pytest.approx(mean, abs=1e-6) for value in values)


def test_a_table_and_a_figure_cannot_share_a_name() -> None:
    frame = pd.DataFrame({"x": [1.0]})
    table = Table("ranks", "", "", frame, frame.map(str))
    figure = Figure("ranks", "", "", (RankPanel("", {"a": 1.0, "b": 2.0}),))
    with pytest.raises(ValueError, match="called 'ranks'"):
        Output([table], [figure])


def test_what_was_chosen_is_kept(compared: Path) -> None:
    points = pd.read_csv(compared / "methods" / "chosen.csv")
    networks = points[points["learning_rate"].notna()]
    assert set(networks["method"]) == {"early", "rna_only"}
    assert len(networks) == 2 * 2 * 2 * 2  # methods, tasks, cohorts, folds
    found = networks[["learning_rate", "dropout"]].drop_duplicates().itertuples(index=False, name=None)
    assert set(found) <= {(1e-3, 0.1), (3e-3, 0.0)}
    assert networks["validation_loss"].gt(0).all()
    assert networks["epochs"].isin([1, 2]).all()
    assert networks["diverged"].eq(0).all()
    facts = shown(compared, "methods", "methods")
    assert facts.loc["RNA-only", "Uses"] == "rna"
    assert int(facts.loc["Early", "Parameters"].replace(",", "")) > 1000  # pyright: ignore
    costs = shown(compared, "parameters", "parameters")
    assert costs.loc["Early", "Share"] == "100.00%"


def test_methods_are_listed(study_store: Store, study_config: Configure) -> None:
    plain = methods_list(80)
    for name, method in METHODS.items():
        assert f"{method.title} ({name}) reads " in plain
    assert max(map(len, plain.splitlines())) <= 80
    counts = parameter_counts(study_config(), study_store)
    assert set(counts) == {name for name, method in METHODS.items() if method.kind == "neural"}
    assert counts["early"].endswith(" parameters")
    assert f"(early) reads all modalities; {counts['early']}" in methods_list(80, counts)
    roles = study_config().model_copy(
        update={"comparison": study_config().comparison.model_copy(update={"roles": {"rna": "proteins"}})}
    )
    lacking = "the cohort has no modality 'proteins' for the role 'rna'"
    assert lacking in parameter_counts(roles, study_store)["rna_only"]


def test_the_page_of_methods_is_up_to_date() -> None:
    """Made by `prime methods --markdown docs/methods.md`."""
    assert (ROOT / "docs" / "methods.md").read_text(encoding="utf-8") == methods_page()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_drawn(name: str) -> None:
    """The words of its file hold a diagram: lines indented by four."""
    import sys

    text = sys.modules[METHODS[name].build.__module__].__doc__ or ""
    drawn = [line for line in text.splitlines() if line.startswith("    ")]
    assert drawn
    assert any("head" in line or "risk" in line or "hazard" in line for line in drawn)
    assert max(map(len, drawn)) <= 106


def test_a_role_that_no_modality_plays(
    study_config: Configure, run_study: Run, tmp_path: Path, study_store: Store
) -> None:
    config = with_methods(study_config()).model_dump(mode="json")
    config["comparison"]["roles"] = {"rna": "proteins"}
    with pytest.raises(InputError, match="method rna_only: the cohort has no modality 'proteins'"):
        run_study("table2", ExperimentConfig.model_validate(config), tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"evaluate": {"methods": ["earlier"]}}, "no method 'earlier'; there are image_only"),
        ({"comparison": {"settings": {"late": {"mode": "sum"}}}}, "mode"),
        ({"comparison": {"settings": {"never": {}}}}, "no method 'never'"),
        ({"comparison": {"grid": []}}, "grid"),
    ],
)
def test_settings_of_the_comparison_are_checked(
    study_config: Configure, change: dict[str, Any], words: str
) -> None:
    value = study_config().model_dump(mode="json")
    for group, changes in change.items():
        value[group] |= changes
    with pytest.raises(ValueError, match=words):
        ExperimentConfig.model_validate(value)
