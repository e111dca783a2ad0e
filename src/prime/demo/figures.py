"""The demo's figures."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from prime.evaluation.summary import MACRO, primary_macro
from prime.files import replacing

METHODS = {
    ("pretrained", "lp_missing"): ("pretrained, linear probe", "#0b5394", "o"),
    ("pretrained", "ft_missing"): ("pretrained, fine-tuned", "#6fa8dc", "s"),
    ("scratch", "lp_missing"): ("from scratch, linear probe", "#b45f06", "o"),
    ("scratch", "ft_missing"): ("from scratch, fine-tuned", "#f6b26b", "s"),
}


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def plot_patterns(summary: pd.DataFrame, oracle: pd.DataFrame, path: Path) -> None:
    """Mean C-index by what the model may see, with 95% intervals over folds, and the oracle as a line."""
    macro = primary_macro(summary)
    rows_of = {key: part.set_index("pattern") for key, part in macro.groupby(["init", "mode"])}
    ceiling = oracle[oracle["cohort"] == MACRO].set_index("pattern")["mean"]
    names = list(ceiling.index)
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    axis = figure.subplots()
    present = [key for key in METHODS if key in rows_of]
    for number, key in enumerate(present):
        label, colour, marker = METHODS[key]
        rows = rows_of[key].reindex(names)
        x = np.arange(len(names)) + 0.15 * (number - (len(present) - 1) / 2)
        spread = np.abs(rows[["low", "high"]].to_numpy().T - rows["mean"].to_numpy())
        axis.errorbar(
            x, rows["mean"], spread, fmt=marker, color=colour, label=label, markersize=5, elinewidth=1
        )
    for place, value in enumerate(ceiling):
        label = "oracle: the true hazard that these modalities show" if place == 0 else ""
        axis.hlines(value, place - 0.4, place + 0.4, color="0.25", linewidth=1.5, label=label)
    axis.axhline(0.5, color="0.6", linestyle=":", linewidth=1)
    axis.annotate("chance", (len(names) - 0.5, 0.5), color="0.4", ha="right", va="top", fontsize=8)
    axis.set_xticks(range(len(names)), [_pattern_label(name) for name in names])
    axis.set(xlim=(-0.5, len(names) - 0.5), xlabel="what the model may see of a test patient")
    axis.set(ylabel="C-index, mean over cancer types")
    axis.set_title("Prognosis under missing modalities (95% intervals over folds)", loc="left", fontsize=11)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    _save(figure, path)


def _pattern_label(name: str) -> str:
    if name == "all":
        return "everything"
    return f"no {name[1:]}" if name.startswith("-") else f"{name} only"


def plot_survival(predictions: pd.DataFrame, chosen: list[str], path: Path) -> None:
    """Predicted survival of a few patients, each labelled by what was used and what was imputed."""
    days = [column for column in predictions.columns if column.startswith("s_")]
    at = np.array([0.0, *(float(column[2:]) for column in days)])
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axis = figure.subplots()
    records = predictions.set_index("patient_id").to_dict("index")
    colours = ("#0b5394", "#38761d", "#b45f06", "#741b47", "#666666")
    for patient, colour in zip(chosen, colours, strict=False):
        row = records[patient]
        survival = np.array([1.0, *(float(row[column]) for column in days)])
        known = ~np.isnan(survival)
        imputed = str(row["imputed"]).replace("+", ", ")
        used = str(row["pattern"]).replace("+", " + ")
        label = f"{patient}: {used}" + (f" ({imputed} imputed)" if imputed else "")
        label += f", risk percentile {float(row['percentile']):.0f}"
        axis.plot(at[known], survival[known], "o-", color=colour, markersize=4, label=label)
    axis.axhline(0.5, color="0.6", linestyle=":", linewidth=1)
    axis.set(xlabel="days", ylabel="predicted probability of being alive", ylim=(0, 1.03))
    axis.set_xlim(0, at[-1] * 1.05)
    axis.set_title("Unseen patients, scored with whatever they have", loc="left", fontsize=11)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", frameon=False, fontsize=8)
    _save(figure, path)
