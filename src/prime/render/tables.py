"""A table of the paper in three files: numbers as CSV, cells as Markdown and as LaTeX."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import pandas as pd

from prime.files import replacing, write_text

ABSENT = "-"
_NUMBER = re.compile(r"^[<>≤≥]?\s?[-+−]?\d")
_MARKED = re.compile(r"^(\*\*|<u>)(.*?)(\*\*|</u>)$", re.DOTALL)
_WIDE = 8  # columns from which LaTeX sets the table smaller

_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$",
    "|": r"$|$", "[": "{[}", "]": "{]}", "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "≤": r"$\leq$",
    "≥": r"$\geq$", "≠": r"$\neq$", "≈": r"$\approx$", "→": r"$\rightarrow$", "✓": r"$\checkmark$",
    "–": "--", "—": "---", "²": "$^2$", "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$",
    "δ": r"$\delta$", "Δ": r"$\Delta$", "λ": r"$\lambda$", "μ": r"$\mu$", "σ": r"$\sigma$",
    "τ": r"$\tau$", "χ": r"$\chi$", "†": r"\dag{}", "‡": r"\ddag{}", "\n": " ",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table in two forms: as numbers, and as the text that is read.

    Attributes:
        name: short, for file names and labels.
        title: one line.
        caption: what the cells are, with units and what a spread is over.
        frame: the numbers at full precision, long or wide, for CSV. A named or non-counting index is written.
        display: cells as text (see `cell`, `mark_best`), row and column headers as its index and columns.
        notes: lines under the table, such as why a cell is empty.
    """

    name: str
    title: str
    caption: str
    frame: pd.DataFrame
    display: pd.DataFrame
    notes: list[str] = field(default_factory=list[str])


def cell(mean: float, spread: float = math.nan, digits: int = 3) -> str:
    """`0.646 ± 0.008`; `0.646` where the spread is not a number, and `-` where the mean is not."""
    if not math.isfinite(mean):
        return ABSENT
    return _fixed(mean, digits) + (f" ± {_fixed(spread, digits)}" if math.isfinite(spread) else "")


def mark_best(
    display: pd.DataFrame, values: pd.DataFrame, higher: bool | Sequence[bool] = True, digits: int = 3
) -> pd.DataFrame:
    """Mark the best cell of each column `**bold**` and the second best `<u>underlined</u>`.

    Values that are equal as printed share the mark. NaN is never marked; nor is anything in a column with
    fewer than two values.

    Args:
        display: cells as text.
        values: the numbers behind them, in the same shape and order.
        higher: whether the highest is the best, for all columns or one by one.
        digits: after the point, as printed.

    Raises:
        ValueError: shapes that disagree, or another number of directions than columns.
    """
    if display.shape != values.shape:
        raise ValueError(f"display is {display.shape}, values are {values.shape}")
    directions = [higher] * values.shape[1] if isinstance(higher, bool) else list(higher)
    if len(directions) != values.shape[1]:
        raise ValueError(f"{len(directions)} directions, {values.shape[1]} columns")
    marked = display.astype(object).copy()
    for column, upward in enumerate(directions):
        numbers = [round(float(value), digits) for value in values.iloc[:, column]]
        ranked = sorted({value for value in numbers if math.isfinite(value)}, reverse=upward)
        if sum(math.isfinite(value) for value in numbers) < 2:
            continue
        for row, value in enumerate(numbers):
            text = str(display.iloc[row, column])
            if value == ranked[0]:
                marked.iloc[row, column] = f"**{text}**"
            elif len(ranked) > 1 and value == ranked[1]:
                marked.iloc[row, column] = f"<u>{text}</u>"
    return marked


def write_table(table: Table, stem: Path) -> list[Path]:
    """Write `stem`.csv, `stem`.md and `stem`.tex; the same table gives the same bytes. Returns the paths.

    The LaTeX is a `table` float for `\\input`, with booktabs rules, a caption and the label `tab:<name>`.
    """
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("csv", "md", "tex")]
    with replacing(paths[0]) as temporary:
        counted = isinstance(table.frame.index, pd.RangeIndex) and table.frame.index.name is None
        table.frame.to_csv(temporary, index=not counted, encoding="utf-8", lineterminator="\n")
    write_text(paths[1], to_markdown(table))
    write_text(paths[2], to_latex(table))
    return paths


def to_markdown(table: Table) -> str:
    """The cells as a GitHub table, title above, caption and notes below."""
    names, headers, rows = _headers(table.display)
    head = [*names, *(" / ".join(part for part in header if part) for header in headers)]
    numeric = _numeric_columns(table.display)
    rule = [*("---" for _ in names), *("---:" if flag else "---" for flag in numeric)]
    lines = [_markdown_row(head), "| " + " | ".join(rule) + " |", *(_markdown_row(row) for row in rows)]
    parts = [f"**{_markdown_plain(table.title)}**", "\n".join(lines), _markdown_plain(table.caption)]
    parts.append("\n".join(f"- {_markdown_plain(note)}" for note in table.notes))
    return "\n\n".join(part for part in parts if part) + "\n"


def to_latex(table: Table) -> str:
    """The cells as a LaTeX float, everything escaped."""
    names, headers, rows = _headers(table.display)
    columns = "l" * len(names) + "".join("r" if flag else "l" for flag in _numeric_columns(table.display))
    caption = " ".join(_latex_plain(part) for part in (f"{table.title.rstrip('.')}.", table.caption) if part)
    label = re.sub(r"[^A-Za-z0-9:.-]+", "-", table.name)
    lines = [
        r"% needs \usepackage{booktabs,amssymb}",
        r"\begin{table}[t]", r"\centering", rf"\caption{{{caption}}}", rf"\label{{tab:{label}}}",
        r"\footnotesize" if len(columns) > _WIDE else r"\small",
        rf"\begin{{tabular}}{{{columns}}}", r"\toprule",
        *_latex_head(names, headers), r"\midrule", *(_latex_row(row) for row in rows), r"\bottomrule",
        r"\end{tabular}",
    ]  # fmt: skip
    lines += [rf"\par\smallskip{{\footnotesize {_latex_plain(note)}\par}}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _fixed(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("-") and float(text) == 0 else text


def _headers(display: pd.DataFrame) -> tuple[list[str], list[tuple[str, ...]], list[list[str]]]:
    """Names of the row-header columns, the levels of each column header, and the rows with their headers.

    An outer row header is written only where it changes.
    """
    names = [str(name) if name is not None else "" for name in display.index.names]
    headers = [header_levels(column) for column in display.columns]
    rows: list[list[str]] = []
    above: tuple[str, ...] = ()
    for key, values in zip(display.index, display.itertuples(index=False, name=None), strict=True):
        levels = header_levels(key)
        shown = [
            "" if place < len(levels) - 1 and above[: place + 1] == levels[: place + 1] else level
            for place, level in enumerate(levels)
        ]
        rows.append([*shown, *(ABSENT if _missing(value) else str(value) for value in values)])
        above = levels
    return names, headers, rows


def header_levels(key: object) -> tuple[str, ...]:
    """The levels of a row or column header as text."""
    return tuple(str(part) for part in key) if isinstance(key, tuple) else (str(key),)


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _numeric_columns(display: pd.DataFrame) -> list[bool]:
    """Whether each column holds numbers, which are set flush right."""
    flags: list[bool] = []
    for column in range(display.shape[1]):
        cells = [_unmarked(str(value))[1] for value in display.iloc[:, column] if not _missing(value)]
        filled = [text for text in cells if text not in ("", ABSENT)]
        flags.append(all(_NUMBER.match(text) for text in filled))
    return flags


def _unmarked(text: str) -> tuple[str, str]:
    """The mark around a cell ("", "**" or "<u>") and the text within."""
    found = _MARKED.match(text)
    return (found[1], found[2]) if found else ("", text)


def _markdown_row(cells: Iterable[str]) -> str:
    return (
        "| "
        + " | ".join(_wrapped(cell, _markdown_plain, ("**", "**"), ("<u>", "</u>")) for cell in cells)
        + " |"
    )


def _wrapped(
    text: str, escape: Callable[[str], str], bold: tuple[str, str], underline: tuple[str, str]
) -> str:
    mark, inner = _unmarked(text)
    before, after = bold if mark == "**" else underline if mark else ("", "")
    return before + escape(inner) + after


def _markdown_plain(text: str) -> str:
    """Text that GitHub shows as it is; an underscore within a word needs no escape."""
    escaped = re.sub(r"([\\|*`~$])", r"\\\1", text.strip())
    escaped = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", escaped)
    return re.sub(r"&(?=#?\w+;)", "&amp;", escaped).replace("<", "&lt;").replace("\n", " ")


def _latex_plain(text: str) -> str:
    signed = re.sub(r"(?<![\w.)])-(?=\d)", "−", text.strip())
    return "".join(_TEX.get(character, character) for character in signed)


def _latex_cell(text: str) -> str:
    if text == ABSENT:
        return "--"
    return _wrapped(text, _latex_plain, (r"\textbf{", "}"), (r"\underline{", "}"))


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(_latex_cell(text) for text in cells) + r" \\"


def _latex_head(names: list[str], headers: list[tuple[str, ...]]) -> list[str]:
    """One line per level of the column headers; outer levels span the columns that share them."""
    lines: list[str] = []
    depth = len(headers[0]) if headers else 1
    for level in range(depth - 1):
        cells, rules, place = ["" for _ in names], list[str](), len(names) + 1
        for key, run in groupby(headers, key=lambda header: header[: level + 1]):
            width = len(list(run))
            cells.append(rf"\multicolumn{{{width}}}{{c}}{{{_latex_cell(key[-1])}}}")
            rules.append(rf"\cmidrule(lr){{{place}-{place + width - 1}}}")
            place += width
        lines += [" & ".join(cells) + r" \\", " ".join(rules)]
    return [*lines, _latex_row([*names, *(header[-1] for header in headers)])]
