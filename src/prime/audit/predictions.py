"""Held-out predictions of any origin: a csv with a row a tested patient, or what PRIME leaves in a folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from prime.arrays import Flags, Floats, Indices
from prime.cohort import barcode
from prime.cohort.tables import read_table
from prime.errors import InputError, some

NAMES: dict[str, tuple[str, ...]] = {
    "patient_id": ("patient_id", "patient", "case_id", "case"),
    "fold": ("fold",),
    "time": ("time", "time_days"),
    "event": ("event",),
    "risk": ("risk", "risk_score"),
}
OPTIONAL: dict[str, tuple[str, ...]] = {
    "cohort": ("cohort", "cancer_type", "type"),
    "seed": ("seed",),
    "site": ("site",),
    "part": ("part", "split"),
    "epoch": ("epoch",),
    "entry": ("entry_days", "entry"),
}
SETTING = ("method", "init", "mode", "train_on", "share", "task")  # of prime evaluate
WHERE = "predictions"
TRUTH = {"True": "1", "False": "0"}
PATTERN, WHOLE = "pattern", "all"
PREDICTIONS, PARTS = "predictions.csv", Path("cache") / "parts"


@dataclass(frozen=True)
class Predictions:
    """The rows of one setting, in the order of the file.

    Attributes:
        frame: patient_id, cohort, fold, seed, site (text), part (text, `test` where not given), epoch, time,
            event (bool), risk, entry (delayed entry; minus infinity where none is given).
        setting: the method and task; empty where the file names none.
        given: which of the optional columns the file has.
    """

    frame: pd.DataFrame
    setting: str
    given: frozenset[str]

    @property
    def tested(self) -> "Predictions":
        """The rows of tested patients of the last epoch."""
        rows = (self.frame["part"] == "test") & (self.frame["epoch"] == self.frame["epoch"].max())
        return Predictions(self.frame[rows].reset_index(drop=True), self.setting, self.given)

    @property
    def first_seed(self) -> "Predictions":
        """The rows of the first seed."""
        rows = self.frame["seed"] == self.frame["seed"].iloc[0]
        return Predictions(self.frame[rows].reset_index(drop=True), self.setting, self.given)

    @property
    def outcome(self) -> tuple[Floats, Flags]:
        """Times and events (n,)."""
        return self.frame["time"].to_numpy(dtype=np.float64), self.frame["event"].to_numpy(dtype=np.bool_)

    @property
    def entry(self) -> Floats:
        """(n,) delayed entry, minus infinity where none is given."""
        return self.frame["entry"].to_numpy(dtype=np.float64)

    @property
    def risk(self) -> Floats:
        """(n,), higher = worse."""
        return self.frame["risk"].to_numpy(dtype=np.float64)

    def strata(self, *columns: str) -> Indices:
        """(n,) a number for each combination of these columns."""
        return self.frame.groupby(list(columns), sort=False).ngroup().to_numpy().astype(np.int64)


def read_predictions(path: Path, columns: Mapping[str, str] | None = None) -> list[Predictions]:
    """The predictions of a csv file, or of a folder of prime evaluate or prime study, by setting.

    `columns` says which column of the file stands for which of patient_id, fold, time, event, risk, cohort,
    seed, site, part, epoch and entry. A file without times holds labels: each pair of an event and none is
    compared.

    Raises InputError for a missing file or column, a value of the wrong kind, and an empty table.
    """
    frame, source = _read(path)
    if PATTERN in frame and WHOLE in set(frame[PATTERN]):
        frame = frame[frame[PATTERN] == WHOLE]
    named = _columns(frame, dict(columns or {}), source)
    if not len(frame):
        raise InputError(f"{source}: no prediction in it")
    found = _canonical(frame, named, source)
    keys = [name for name in SETTING if name in frame and name not in named.values()]
    keys = [name for name in keys if frame[name].nunique() > 1] or keys[:1]
    labels = frame[keys].astype(str).agg(" ".join, axis=1).to_numpy() if keys else np.full(len(frame), "")
    given = frozenset(named) - frozenset(NAMES)
    return [
        Predictions(part.reset_index(drop=True), str(label), given)
        for label, part in found.groupby(labels, sort=False)
    ]


def _read(path: Path) -> tuple[pd.DataFrame, str]:
    if path.is_dir() and not (path / PREDICTIONS).is_file():
        parts = sorted(p for p in (path / PARTS).glob("*.parquet") if not p.name.endswith(".scores.parquet"))
        if not parts:
            raise InputError(
                f"{path}: neither {PREDICTIONS} nor {PARTS} in it; give a folder of PRIME, or a csv"
            )
        return pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True), str(path / PARTS)
    file = path / PREDICTIONS if path.is_dir() else path
    return read_table(file, WHERE, text=True), str(file)


def _columns(frame: pd.DataFrame, asked: dict[str, str], source: str) -> dict[str, str]:
    """The file's column of each name. Raises InputError for one that is needed and missing."""
    unknown = [name for name in asked if name not in NAMES | OPTIONAL]
    if unknown:
        raise InputError(f"--column {unknown[0]}=...: choose from {', '.join(NAMES | OPTIONAL)}")
    found: dict[str, str] = {}
    for name, others in (NAMES | OPTIONAL).items():
        wanted = (asked[name],) if name in asked else others
        there = [column for column in wanted if column in frame]
        if there:
            found[name] = there[0]
        elif name in asked or (name in NAMES and name != "time"):
            hint = "; a column `censorship` is coded the other way round" if "censorship" in frame else ""
            raise InputError(
                f"{source}: no column {' or '.join(wanted)}; found {some([str(c) for c in frame], 12)}{hint};"
                f" name it with --column {name}=COLUMN"
            )
    return found


def _canonical(frame: pd.DataFrame, named: Mapping[str, str], source: str) -> pd.DataFrame:
    """The columns of `Predictions.frame`."""
    ids = frame[named["patient_id"]].astype(str).str.strip()
    event = _numbers(frame, named["event"], source)
    odd = ~event.isin([0.0, 1.0])
    if odd.any():
        row = int(np.flatnonzero(odd.to_numpy())[0])
        raise InputError(
            f"{source}: row {row + 2}: {named['event']} is {str(frame[named['event']].iloc[row])!r}, not 0"
            " or 1"
        )
    # labels without times: an event at once, none later
    time = _numbers(frame, named["time"], source) if "time" in named else 2.0 - event
    if _binary(frame):
        time = pd.Series(np.where(_one_bin(frame), 2.0 - event, time), index=frame.index)
    return pd.DataFrame(
        {
            "patient_id": ids,
            "cohort": _texts(frame, named.get("cohort"), ""),
            "fold": _texts(frame, named["fold"], ""),
            "seed": _texts(frame, named.get("seed"), "0"),
            "site": _sites(frame, named.get("site"), ids),
            "part": _texts(frame, named.get("part"), "test"),
            "epoch": _numbers(frame, named["epoch"], source) if "epoch" in named else 0.0,
            "time": time,
            "event": event == 1.0,
            "risk": _numbers(frame, named["risk"], source),
            "entry": _entries(frame, named.get("entry")),
        }
    )


def _binary(frame: pd.DataFrame) -> bool:
    return "edge_days_1" in frame and bool(_one_bin(frame).any())


def _one_bin(frame: pd.DataFrame) -> Flags:
    """Rows of binary tasks of prime evaluate: one time bin that ends at the horizon."""
    first, second = (
        np.isfinite(pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64))
        if name in frame
        else np.zeros(len(frame), dtype=np.bool_)
        for name in ("edge_days_1", "survival_2")
    )
    return first & ~second


def _numbers(frame: pd.DataFrame, column: str, source: str) -> pd.Series:
    values = pd.to_numeric(frame[column].astype(str).replace(TRUTH), errors="coerce")
    wrong = ~np.isfinite(values.to_numpy(dtype=np.float64))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"{source}: row {row + 2}: {column} is {str(frame[column].iloc[row])!r}, not a number; correct"
            " it, or leave the row out"
        )
    return values.astype(np.float64)


def _entries(frame: pd.DataFrame, column: str | None) -> pd.Series:
    if column is None:
        return pd.Series(-np.inf, index=frame.index)
    return pd.to_numeric(frame[column], errors="coerce").fillna(-np.inf).astype(np.float64)


def _texts(frame: pd.DataFrame, column: str | None, otherwise: str) -> pd.Series:
    if column is None:
        return pd.Series(otherwise, index=frame.index)
    return frame[column].fillna("").astype(str).str.strip()


def _sites(frame: pd.DataFrame, column: str | None, ids: pd.Series) -> pd.Series:
    """The file's, else the tissue source site of TCGA barcodes."""
    if column is not None:
        return _texts(frame, column, "")
    return ids.map(lambda text: barcode.site(text) if barcode.is_tcga(text) else "")


def persons(ids: Sequence[str]) -> list[str]:
    """Who stands behind an id: a TCGA barcode's patient, else the id without case and outer blanks."""
    upper = [name.strip().upper() for name in ids]
    return [barcode.patient(text) if barcode.is_tcga(text) else text for text in upper]
