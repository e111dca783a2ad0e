"""Permuted labels before the fit: a pipeline that learns nothing true must find nothing.

Outcomes are dealt anew among the patients of a cancer type, and the ridge models over blocks of an evaluation
are fitted and tested again, folds included. What they score is what leaks, or what choices give away.
"""

import math
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from prime.arrays import Floats
from prime.audit.findings import Finding
from prime.catalogue.methods import METHODS
from prime.downstream.grid import Evaluation
from prime.downstream.scoring import entry_of
from prime.errors import InputError
from prime.evaluation.metrics import concordance_within
from prime.files import writing_below
from prime.parsing import read_json
from prime.progress import tracked
from prime.settings.experiment import ExperimentConfig
from prime.store.store import Store

CHECK = "permuted labels, fitted again"
MANIFEST = "manifest.json"
ENDINGS = ("_time_days", "_event", "_entry_days")
LEVEL = 0.05
FAR = 3.0  # standard errors of the mean from one half
LEAST = 0.01  # of the C-index from one half


def experiment_of(folder: Path) -> ExperimentConfig:
    """The experiment of a folder of prime evaluate or prime study, its ridge methods alone.

    Raises InputError where the folder states none, and where none of its methods can be fitted again.
    """
    places = [folder / MANIFEST, *sorted(folder.glob(f"*/{MANIFEST}"))]
    facts: list[dict[str, Any]] = [read_json(place) for place in places if place.is_file()]
    stated = [each["config"] for each in facts if "evaluate" in each.get("config", {})]
    if not stated:
        raise InputError(f"--refits: {folder} is no folder of prime evaluate or prime study; leave it out")
    try:
        config = ExperimentConfig.model_validate(stated[0])
    except ValidationError as error:
        raise InputError(
            f"{folder}: its settings are of another version ({error.error_count()} keys)"
        ) from None
    names = tuple(name for name in config.evaluate.methods if METHODS.find(name).kind == "joint")
    if not names:
        able = ", ".join(method.name for method in METHODS.values() if method.kind == "joint")
        raise InputError(f"--refits: {folder} has none of the methods that are quick to fit again ({able})")
    alone = {"methods": names, "inits": (), "seeds": config.evaluate.seeds[:1], "bootstrap": 0}
    alone |= {"shares": (1.0,), "train_on": ("everyone",)}
    return config.model_copy(update={"evaluate": config.evaluate.model_copy(update=alone)})


def permuted(store: Store, seed: int) -> Store:
    """The store with outcomes dealt anew among patients of one cancer type who have the same endpoints.

    All endpoints of a patient stay together. Nobody who is excluded, or has no outcome, changes.
    """
    frame = store.patients.copy()
    columns = [str(name) for name in frame.columns if str(name).endswith(ENDINGS)]
    values = frame[columns].to_numpy(dtype=np.float64)
    times = np.array([name.endswith(ENDINGS[0]) for name in columns])
    known = ~np.isnan(values) & ((values > 0) | ~times)  # (P, columns)
    able = ~frame["excluded"].to_numpy(dtype=np.bool_) & store.observed().any(axis=1)
    facts = np.column_stack([known, able])
    group = frame["cohort"].astype(str) + "/" + pd.Series([row.tobytes().hex() for row in facts])
    generator = np.random.default_rng(seed)
    for rows in group.groupby(group).indices.values():
        values[rows] = values[generator.permutation(rows)]
    frame[columns] = values
    return replace(store, patients=frame)


def refits(store: Store, config: ExperimentConfig, count: int, seed: int = 0) -> list[Finding]:
    """A finding for every task and ridge method of the experiment: scores of `count` fits on dealt labels.

    `wrong` where their mean is far from one half; `look` where the real labels score no better than them.
    Raises InputError for settings or data that cannot be evaluated.
    """
    real = _scores(store, config)
    drawn: dict[tuple[str, str], list[float]] = {key: [] for key in real}
    for number in tracked(list(range(count)), "refit", count > 1):
        for key, score in _scores(permuted(store, seed + number), config).items():
            drawn.setdefault(key, []).append(score)
    return [_finding(key, score, np.array(drawn[key])) for key, score in real.items()]


def _scores(store: Store, config: ExperimentConfig) -> dict[tuple[str, str], float]:
    """C-index (AUROC) by method and task, over pairs of one fold and cancer type, everything observed."""
    found: dict[tuple[str, str], float] = {}
    with TemporaryDirectory(prefix="prime-refit-") as folder, writing_below(Path(folder)):
        evaluation = Evaluation(store, config, None, Path(folder))
        for fit in evaluation.fits:
            evaluation.do(fit)
        for task in config.evaluate.tasks:
            table = evaluation.predictions(task.name, "all", curves=False)
            for method, part in table.groupby("method", sort=False):
                found[str(method), task.name] = _score(part, task.horizon_days is not None)
    return found


def _score(part: pd.DataFrame, binary: bool) -> float:
    event = part["event"].to_numpy(dtype=np.bool_)
    order = np.where(event, 0.0, 1.0) if binary else part["time_days"].to_numpy(dtype=np.float64)
    strata = part.groupby(["cohort", "fold"], sort=False).ngroup().to_numpy()
    entry = None if binary else entry_of(part)
    return concordance_within(order, event, part["risk"].to_numpy(np.float64), strata, entry=entry).value


def _finding(key: tuple[str, str], score: float, drawn: Floats) -> Finding:
    setting = " ".join(key)
    known = drawn[~np.isnan(drawn)]
    if math.isnan(score) or len(known) < 2:
        return Finding(
            CHECK, "not checked", "no C-index, or fewer than two fits of dealt labels", {}, setting
        )
    mean, spread = float(known.mean()), float(known.std(ddof=1))
    p = (1 + int((known >= score).sum())) / (len(known) + 1)
    numbers = {
        "c_index": score, "null_mean": mean, "null_sd": spread, "null_high": float(known.max()), "p": p,
        "refits": float(len(known)),
    }  # fmt: skip
    text = (
        f"C-index {score:.3f}; fitted on outcomes dealt anew {mean:.3f} ± {spread:.3f} ({len(known)} fits,"
        f" p {p:.3f})"
    )
    far = abs(mean - 0.5)
    if far > LEAST and far > FAR * spread / math.sqrt(len(known)):
        text += ": labels that hold nothing are predicted, so something leaks from the tested patients"
        return Finding(CHECK, "wrong", text, numbers, setting)
    if p > max(LEVEL, 1 / (len(known) + 1)):
        return Finding(CHECK, "look", text + ": no better than dealt outcomes", numbers, setting)
    return Finding(CHECK, "fine", text, numbers, setting)
