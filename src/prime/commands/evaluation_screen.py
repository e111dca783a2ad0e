"""What an evaluation found, on the screen: means, what they rest on, and the differences that matter."""

from pathlib import Path
from textwrap import wrap
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from prime.downstream.differences import nearest, way
from prime.evaluation.reported import PRIMARY, REPORTED
from prime.evaluation.summary import FEW_PAIRS, MACRO, macro_table
from prime.parsing import read_json

_BORDER = 3  # characters between two columns, and lines of a table without rows and headers
_SHOWN = 8  # lines of a list before "and 3 more"


def print_evaluation(out: Path, console: Console) -> None:
    """The means over cohorts of `out`, as wide as the console, then what a reader has to know of them."""
    summary = pd.read_csv(out / "summary.csv")
    notes = [f"{out / 'summary.csv'}: means over cohorts"]
    for task, part in summary.groupby("task", sort=False):
        cells, marks = mean_cells(part)
        (metric,) = set(part["metric"]) & set(PRIMARY)
        for table in fitting_tables(f"{task}: {REPORTED[metric].title}", cells, console.width):
            console.print(table)
        notes += [f"{task}: {mark}" for mark in marks]
    manifest = read_json(out / "manifest.json")
    notes += few_pairs(summary) + not_fitted(manifest, set(summary["task"]))
    for note in [*notes, *differences(out / "differences.csv")]:
        console.print(note, highlight=False, markup=False, soft_wrap=True)


def mean_cells(summary: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The macro means of a task as text, a row a method and a column a pattern; and notes on their marks.

    A mean of constant predictions says so; one over fewer cohorts than others has their number beside it.
    """
    means, cohorts, folds, constant = (
        macro_table(summary, column) for column in ("mean", "n_cohorts", "n_folds", "constant_folds")
    )
    most = int(cohorts.to_numpy().max())
    text = means.map(lambda value: "-" if pd.isna(value) else f"{value:.3f}").astype(object)
    fewer = (cohorts < most) & means.notna()
    flat = (constant == folds) & means.notna()
    text = text.mask(fewer, text + cohorts.map(lambda count: f" ({count:.0f})"))
    text = text.mask(flat, text + " (constant)")
    text.index = pd.Index([_label(means.index.names, key) for key in means.index])
    notes = [f"(n) is a mean over n cohorts; the others are over {most}"] if fewer.any(axis=None) else []
    if flat.any(axis=None):
        notes.append("(constant): the same risk for everybody, as nothing could be fitted or nothing is seen")
    return text, notes


def _label(names: Any, key: tuple[Any, ...]) -> str:
    """A row of `macro_table` in words."""
    parts = dict(zip(names, key, strict=True))
    method = way(parts.pop("method"), parts.pop("init"), parts.pop("mode"))
    return " ".join([*map(str, parts.values()), method])


def fitting_tables(title: str, cells: pd.DataFrame, width: int) -> list[Table]:
    """The cells in tables that are no wider than `width`, so that no number is cut.

    Patterns stand across or down the side, and columns in one table or several, whichever takes fewest lines.
    Headers are broken between words.
    """
    ways = [(side, _blocks(f, side, width)) for f in (cells, cells.T) for side in _sides(f, width)]
    side, blocks = min(ways, key=lambda way: sum(_lines(block, way[0]) for block in way[1]))
    return [_table(title, block, side) for block in blocks]


def _sides(frame: pd.DataFrame, width: int) -> list[int]:
    """Widths for the row headers: in one line each, of half the width at most, or with one word a line."""
    names = [str(name) for name in frame.index]
    least = max(map(_word, names))
    return [max(least, min(width // 2, max(map(len, names)))), least]


def _blocks(frame: pd.DataFrame, side: int, width: int) -> list[pd.DataFrame]:
    """The columns in groups that fit beside row headers of width `side`, at least one in each."""
    widths = [_width(frame, column) + _BORDER for column in range(frame.shape[1])]
    blocks: list[pd.DataFrame] = []
    start = 0
    while start < len(widths):
        end = start + 1
        while end < len(widths) and side + _BORDER + 1 + sum(widths[start : end + 1]) <= width:
            end += 1
        blocks.append(frame.iloc[:, start:end])
        start = end
    return blocks


def _word(name: object) -> int:
    """The longest word of a header."""
    return max(map(len, str(name).split(" ")))


def _width(frame: pd.DataFrame, column: int) -> int:
    """The widest cell of a column, or the longest word of its header."""
    return max(_word(frame.columns[column]), *map(len, frame.iloc[:, column]))


def _lines(block: pd.DataFrame, side: int) -> int:
    """The lines of a table, about."""
    rows = sum(len(wrap(str(name), side)) for name in block.index)
    heads = [wrap(str(name), _width(block, column)) for column, name in enumerate(block.columns)]
    return rows + max(map(len, heads)) + _BORDER


def _table(title: str, block: pd.DataFrame, side: int) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("", width=side)
    for column, name in enumerate(block.columns):
        table.add_column(str(name), justify="right", width=_width(block, column))
    for name, *row in block.itertuples(name=None):
        table.add_row(str(name), *row)
    return table


def few_pairs(summary: pd.DataFrame) -> list[str]:
    """A line a task with folds that hold next to no comparable pairs: cohorts, patterns and fewest pairs."""
    rows = summary[summary["metric"].isin(PRIMARY) & (summary["cohort"] != MACRO)]
    rows = rows[(rows["fewest_pairs"] < FEW_PAIRS) & (rows["test_on"] == "everyone")]
    lines: list[str] = []
    for task, part in rows.groupby("task", sort=False):
        fewest = part.groupby(["cohort", "pattern"], sort=False)["fewest_pairs"].min()
        names = [f"{where[0]} {where[1]} {count:.0f}" for where, count in fewest.to_dict().items()]  # pyright: ignore[reportIndexIssue]
        title = f"{task}: folds with fewer than {FEW_PAIRS} comparable pairs, which alone say next to nothing"
        lines.append(f"{title}: {_some(names)}")
    return lines


def not_fitted(manifest: dict[str, Any], tested: set[str]) -> list[str]:
    """Tasks and folds that could not be fitted, or that a method predicts a constant for, and why."""
    lines = [
        f"{task['name']}: no fold could be fitted"
        for task in manifest["config"]["evaluate"]["tasks"]
        if task["name"] not in tested
    ]
    titles = {
        "not_fitted": "Not fitted, and in no table",
        "constant": "Not fitted, so that everybody has the same risk",
    }
    for key, title in titles.items():
        if found := manifest[key]:
            listed = [f"  {name}: {why}" for name, why in found.items()]
            more = [f"  and {len(listed) - _SHOWN} more, in manifest.json"] if len(listed) > _SHOWN else []
            lines += [f"{title} ({len(found)}):", *listed[:_SHOWN], *more]
    return lines


def _some(names: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def differences(path: Path) -> list[str]:
    """The best method of each task, training set and share less those that come next."""
    if not path.is_file():
        return []
    rows = nearest(pd.read_csv(path))
    varying = [name for name in ("train_on", "share") if rows[name].nunique() > 1]
    lines: list[str] = []
    for row in rows.to_dict("records"):
        where = " ".join(str(row[name]) for name in ("task", *varying))
        lines.append(
            f"  {where}: {row['a']} less {row['b']} {row['difference']:+.3f}"
            f" ({row['low']:+.3f} to {row['high']:+.3f}), p {_p(row['bootstrap_p'])};"
            f" corrected t p {_p(row['corrected_t_p'])}, Wilcoxon p {_p(row['wilcoxon_p'])}"
        )
    title = f"{path}: every pair of methods on the same patients. The best less the next (95% interval):"
    return [title, *lines] if lines else []


def _p(value: float) -> str:
    return "undefined" if pd.isna(value) else f"{value:.3f}"
