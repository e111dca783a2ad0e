"""Print the Markdown tables of docs/results.md from the folders of finished evaluations.

    python benchmarks/tcga_table.py NAME=FOLDER [NAME=FOLDER ...]

Each FOLDER is the --out of `prime evaluate`. Folds of several folders with the same NAME are joined. Shown is
the C-index of task os, trained on everyone and all labels, tested on everyone.
"""

import sys
from pathlib import Path

import pandas as pd

from prime.evaluation.summary import summarise

# Mean over BRCA, LUAD, LUSC, LGG, BLCA, UCEC of the simple ridge models on the same patients and folds.
REFERENCE = {
    "all": 0.649,
    "-image": 0.653,
    "-rna": 0.582,
    "-report": 0.636,
    "image": 0.564,
    "rna": 0.643,
    "report": 0.610,
}
LABEL = {"lp": "LP", "lp_missing": "LP missing", "ft": "FT", "ft_missing": "FT missing"}
SHOWN = {"task": "os", "metric": "c_index", "train_on": "everyone", "share": 1.0, "test_on": "everyone"}


def read(arguments: list[str]) -> pd.DataFrame:
    """All folds.csv, with the row's label in `method`."""
    frames: list[pd.DataFrame] = []
    for argument in arguments:
        name, _, folder = argument.partition("=")
        frame = pd.read_csv(Path(folder) / "folds.csv")
        for column, value in SHOWN.items():
            frame = frame[frame[column] == value]
        frames.append(frame.assign(method=f"{name} " + frame["init"] + " " + frame["mode"].map(LABEL)))
    return pd.concat(frames, ignore_index=True)


def macro(folds: pd.DataFrame) -> list[str]:
    """Mean over cohorts by pattern, with the spread over seeds where there are several."""
    summary = summarise(folds)
    summary = summary[summary["cohort"] == "macro"]
    lines = ["| method | seeds | " + " | ".join(REFERENCE) + " |", "|---|---|" + "---|" * len(REFERENCE)]
    lines.append(
        "| reference (ridge, late fusion) | - | " + " | ".join(f"{v:.3f}" for v in REFERENCE.values()) + " |"
    )
    for method in dict.fromkeys(folds["method"]):
        mine = summary[summary["method"] == method].set_index("pattern")
        seeds = int(mine["n_seeds"].max())
        cells = []
        for pattern in REFERENCE:
            row = mine.loc[pattern]
            spread = f" ± {row['std_seeds']:.3f}" if seeds > 1 else ""
            cells.append(f"{row['mean']:.3f}{spread}")
        lines.append(f"| {method} | {seeds} | " + " | ".join(cells) + " |")
    return lines


def by_cohort(folds: pd.DataFrame) -> list[str]:
    """Mean and standard deviation over folds of each cohort, everything observed."""
    summary = summarise(folds[folds["pattern"] == "all"])
    cohorts = list(dict.fromkeys(folds["cohort"]))
    first = summary.drop_duplicates("cohort").set_index("cohort")
    heads = [f"{c} (n={int(first.loc[c, 'n'])}, {int(first.loc[c, 'events'])} events)" for c in cohorts]
    lines = ["| method | " + " | ".join(heads) + " |", "|---|" + "---|" * len(cohorts)]
    for method in dict.fromkeys(folds["method"]):
        mine = summary[summary["method"] == method].set_index("cohort")
        cells = [f"{mine.loc[c, 'mean']:.3f} ± {mine.loc[c, 'std']:.3f}" for c in cohorts]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Print both tables."""
    folds = read(sys.argv[1:])
    print("\n".join(macro(folds)), "\n")
    print("\n".join(by_cohort(folds)))


if __name__ == "__main__":
    main()
