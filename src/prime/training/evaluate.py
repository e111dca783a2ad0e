"""Cross-validated prognosis: linear probe and fine-tuning, pretrained and from scratch, in every pattern."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime import __version__
from prime.cohort.loading import PatientLoader, fit_scalings
from prime.cohort.progress import tracked
from prime.cohort.splits import Fold
from prime.cohort.store import Store
from prime.errors import InputError
from prime.evaluation.metrics import bootstrap_interval, concordance, concordance_within
from prime.evaluation.missingness import patterns
from prime.evaluation.summary import summarise
from prime.files import replacing, sha256_file, write_json
from prime.model.prime import Prime
from prime.training.checkpoint import WEIGHTS, Checkpoint, input_spec, load_checkpoint, require_same_inputs
from prime.training.config import ExperimentConfig
from prime.training.embed import EmbeddingCache, embed
from prime.training.finetune import Finetuning
from prime.training.outcomes import Outcome, evaluation_folds, read_outcome
from prime.training.probe import probe_folds
from prime.training.setup import build_model

Indices = NDArray[np.int64]
METHOD = "prime"
KEYS = ["method", "init", "mode", "task", "cohort", "fold", "seed", "pattern"]


@dataclass(frozen=True)
class Fit:
    """One resumable unit of work: all folds of a cohort for a probe, one fold for fine-tuning."""

    init: str
    mode: str
    seed: int
    folds: tuple[Fold, ...]

    @property
    def name(self) -> str:
        """The name of its part file."""
        numbers = "".join(str(fold.fold) for fold in self.folds)
        return f"{self.init}-{self.mode}-{self.folds[0].cohort}-fold{numbers}-seed{self.seed}"


def prediction_rows(
    store: Store,
    outcome: Outcome,
    fit: Fit,
    fold: Fold,
    task: str,
    pattern: str,
    patients: Indices,
    survival: NDArray[np.float64],
    edges: NDArray[np.float64],
) -> pd.DataFrame:
    """The rows of predictions.csv of one fold and pattern; survival (n, T), edges (T + 1,) in days."""
    frame = pd.DataFrame(
        {
            "method": METHOD,
            "init": fit.init,
            "mode": fit.mode,
            "task": task,
            "pattern": pattern,
            "patient_id": store.patients["patient_id"].to_numpy(dtype=object)[patients],
            "cohort": fold.cohort,
            "fold": fold.fold,
            "seed": fit.seed,
            "risk": -survival.sum(axis=1),
            "event": outcome.event[patients].astype(int),
            "time_days": outcome.time_days[patients],
        }
    )
    for k in range(survival.shape[1]):
        frame[f"edge_days_{k + 1}"] = edges[k + 1]
        frame[f"survival_{k + 1}"] = survival[:, k]
    return frame


class Evaluation:
    """One evaluation: data, folds and settings; `run` does what is not done and writes the tables."""

    def __init__(self, store: Store, config: ExperimentConfig, checkpoint: Path | None, out: Path) -> None:
        self.store, self.config, self.settings, self.out = store, config, config.evaluate, out
        self.checkpoint = checkpoint
        if "pretrained" in self.settings.inits and checkpoint is None:
            raise InputError("evaluate.inits names 'pretrained': give --checkpoint, or set it to [scratch]")
        self.outcome = read_outcome(store, self.settings.endpoint)
        self.patterns = patterns(list(store.modalities))
        self.observed = store.observed()
        self.loaded: dict[int, Checkpoint] = {}
        self.loaders: dict[int, PatientLoader] = {}
        self.folds = {s: evaluation_folds(store, self.outcome, self.settings, s) for s in self.settings.seeds}

    def checkpoint_path(self, seed: int) -> Path:
        """The checkpoint of a seed: `{seed}` in the path stands for it."""
        return Path(str(self.checkpoint).replace("{seed}", str(seed)))

    @cached_property
    def hashes(self) -> dict[str, Any]:
        """What the fits depend on."""
        weights = {}
        if "pretrained" in self.settings.inits:
            for seed in self.settings.seeds:
                folder = self.checkpoint_path(seed)
                load_checkpoint(folder)
                weights[str(seed)] = sha256_file(folder / WEIGHTS)
        return {"store": {n: s.sha256 for n, s in self.store.sources.items()}, "weights": weights}

    def fits(self) -> Iterator[Fit]:
        """Every fit of the grid."""
        for seed in self.settings.seeds:
            cohorts = dict.fromkeys(fold.cohort for fold in self.folds[seed])
            for init in self.settings.inits:
                for mode in self.settings.modes:
                    for cohort in cohorts:
                        folds = tuple(f for f in self.folds[seed] if f.cohort == cohort)
                        if mode == "lp":
                            yield Fit(init, mode, seed, folds)
                        else:
                            yield from (Fit(init, mode, seed, (fold,)) for fold in folds)

    def part_path(self, fit: Fit) -> Path:
        """The file of a finished fit; its name changes with everything that the fit depends on."""
        settings = self.settings.model_dump(mode="json")
        relevant = {
            "endpoint": settings["endpoint"],
            "bins": [settings["bins"], settings["alpha"]],
            "mode": settings["probe" if fit.mode == "lp" else "finetune"],
            "model": self.config.model.model_dump(mode="json") if fit.init == "scratch" else None,
            "weights": self.hashes["weights"].get(str(fit.seed))
            if fit.init == "pretrained"
            else self.config.clip,
            "store": self.hashes["store"],
            "modalities": {name: list(sources) for name, sources in self.store.modalities.items()},
            "outcomes": self._outcomes(fit),
            "folds": [[f.train.tolist(), f.validation.tolist(), f.test.tolist()] for f in fit.folds],
            "version": __version__,
        }
        digest = hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:12]
        return self.out / "parts" / f"{fit.name}-{digest}.parquet"

    def _outcomes(self, fit: Fit) -> list[list[Any]]:
        """Who stands in the folds of a fit, with time and event."""
        who = np.unique(np.concatenate([np.concatenate([f.train, f.validation, f.test]) for f in fit.folds]))
        ids = self.store.patients["patient_id"].to_numpy(dtype=object)[who]
        return [ids.tolist(), self.outcome.time_days[who].tolist(), self.outcome.event[who].tolist()]

    def pretrained(self, seed: int) -> tuple[Prime, PatientLoader]:
        """The checkpoint of a seed, and a loader with its scaling."""
        if seed not in self.loaded:
            loaded = load_checkpoint(self.checkpoint_path(seed))
            require_same_inputs(loaded.model.inputs, input_spec(self.store), str(self.checkpoint_path(seed)))
            self.loaded = {seed: loaded}  # one network at a time is held
            self.loaders = {seed: PatientLoader(self.store, loaded.scaling)}
        return self.loaded[seed].model, self.loaders[seed]

    def scratch(self, seed: int, fold: Fold) -> tuple[Prime, PatientLoader]:
        """Random weights, and features scaled on the fold's training patients alone."""
        config = self.config.model_copy(update={"seed": seed})
        scaling = fit_scalings(self.store, fold.train, self.config.clip)
        return build_model(self.store, config).prime, PatientLoader(self.store, scaling)

    def _tested(self, fold: Fold, pattern: str) -> Indices:
        keep = np.array(self.patterns[pattern])
        return fold.test[(self.observed[fold.test] & keep).any(axis=1)]

    def _embed(self, model: Prime, loader: PatientLoader, folds: tuple[Fold, ...]) -> EmbeddingCache:
        members = np.unique(np.concatenate([np.concatenate([f.train, f.validation, f.test]) for f in folds]))
        return embed(model, loader, self.observed, members, self.patterns, self.settings.probe.readout)

    def probe(self, fit: Fit) -> pd.DataFrame:
        """Predictions of the linear probes of one cohort, all folds in one batch."""
        if fit.init == "pretrained":
            groups = [(self._embed(*self.pretrained(fit.seed), fit.folds), list(fit.folds))]
        else:
            groups = [(self._embed(*self.scratch(fit.seed, f), (f,)), [f]) for f in fit.folds]
        frames: list[pd.DataFrame] = []
        for cache, folds in groups:
            names = list(self.patterns)
            heads = probe_folds(cache, self.outcome, folds, self.settings.probe, self.settings.bins, names)
            for pattern in names:
                for fold, head in zip(folds, heads[pattern], strict=True):
                    tested = self._tested(fold, pattern)
                    survival = head.survival(cache.take(pattern, tested))
                    frames.append(self._rows(fit, fold, pattern, tested, survival, head.edges))
        return pd.concat(frames, ignore_index=True)

    def finetune(self, fit: Fit) -> pd.DataFrame:
        """Predictions of one fine-tuned fold."""
        (fold,) = fit.folds
        pair = self.pretrained(fit.seed) if fit.init == "pretrained" else self.scratch(fit.seed, fold)
        tuned = Finetuning(*pair, self.outcome, fold, self.settings, fit.seed)
        tuned.fit()
        frames: list[pd.DataFrame] = []
        for pattern, keep in self.patterns.items():
            tested = self._tested(fold, pattern)
            if len(tested):
                survival = tuned.predict(tested, keep)
                frames.append(self._rows(fit, fold, pattern, tested, survival, tuned.edges))
        return pd.concat(frames, ignore_index=True)

    def _rows(self, fit: Fit, fold: Fold, pattern: str, tested: Indices, survival: NDArray[np.float64],
              edges: NDArray[np.float64]) -> pd.DataFrame:  # fmt: skip
        task = self.settings.endpoint
        return prediction_rows(self.store, self.outcome, fit, fold, task, pattern, tested, survival, edges)

    def run(self, progress: bool = True) -> pd.DataFrame:
        """Do every fit that has no part file yet, write the tables, and return folds.csv as a frame."""
        fits = list(self.fits())
        if not fits:
            raise InputError("evaluate: nothing to do; check modes, inits, cohorts and only_folds")
        for fit in tracked(fits, "evaluate", len(fits)) if progress else fits:
            path = self.part_path(fit)
            if not path.is_file():
                frame = self.probe(fit) if fit.mode == "lp" else self.finetune(fit)
                with replacing(path) as temporary:
                    frame.to_parquet(temporary, index=False)
        predictions = pd.concat([pd.read_parquet(self.part_path(fit)) for fit in fits], ignore_index=True)
        return write_tables(predictions, self.manifest(), self.out, self.settings.bootstrap)

    def manifest(self) -> dict[str, Any]:
        """Versions, settings, hashes, who was left out, and who pretraining saw of each test fold."""
        ids = self.store.patients["patient_id"].to_numpy(dtype=object)
        tested: set[str] = set()
        known: set[str] = set()  # tested with a checkpoint whose pretraining saw them
        for seed, folds in self.folds.items():
            test = {str(p) for fold in folds for p in ids[fold.test]}
            tested |= test
            if "pretrained" in self.settings.inits:
                trained = load_checkpoint(self.checkpoint_path(seed)).manifest
                known |= test & {*trained["train_patients"], *trained["validation_patients"]}
        return {
            "version": __version__,
            "config": self.config.model_dump(mode="json"),
            "hashes": self.hashes,
            "left_out": self.outcome.left_out,
            "test_patients": len(tested),
            "test_patients_seen_unlabelled_in_pretraining": len(known),
            "protocol": "transductive" if known else "inductive",
        }


def score_folds(predictions: pd.DataFrame) -> pd.DataFrame:
    """Harrell's C of every fold and pattern: the rows of folds.csv."""
    rows: list[dict[str, Any]] = []
    for key, part in predictions.groupby(KEYS, sort=False):
        score = concordance(
            part["time_days"].to_numpy(), part["event"].to_numpy(dtype=bool), part["risk"].to_numpy()
        )
        named = dict(zip(KEYS, key, strict=True))  # pyright: ignore[reportArgumentType]
        rows.append(
            {**named, "metric": "c_index", "value": score.value, "n": score.n, "events": score.events}
        )
    return pd.DataFrame(rows)


def cohort_intervals(predictions: pd.DataFrame, replicates: int) -> pd.DataFrame:
    """C over a cohort's test patients, pairs within a fold only, with a bootstrap interval over patients."""
    keys = [k for k in KEYS if k != "fold"]
    rows: list[dict[str, Any]] = []
    for key, part in predictions.groupby(keys, sort=False):
        columns = [part["time_days"].to_numpy(), part["event"].to_numpy(dtype=bool), part["risk"].to_numpy()]
        arrays = [*columns, part["fold"].to_numpy()]
        score = concordance_within(*arrays)
        interval = bootstrap_interval(concordance_within, *arrays, replicates=replicates, seed=0)
        row = dict(zip(keys, key, strict=True))  # pyright: ignore[reportArgumentType]
        row |= {"metric": "c_index_within_fold", "value": score.value, "low": interval.low}
        rows.append(
            row | {"high": interval.high, "n": score.n, "events": score.events, "reason": score.reason}
        )
    return pd.DataFrame(rows)


def write_tables(
    predictions: pd.DataFrame, manifest: dict[str, Any], out: Path, replicates: int
) -> pd.DataFrame:
    """Write predictions.csv, folds.csv, summary.csv, intervals.csv and manifest.json. Returns folds.csv."""
    folds = score_folds(predictions)
    first = [
        "method",
        "init",
        "mode",
        "task",
        "pattern",
        "patient_id",
        "cohort",
        "fold",
        "seed",
        "risk",
        "event",
    ]
    ordered = predictions[
        [*first, "time_days", *[c for c in predictions if str(c)[:5] in ("edge_", "survi")]]
    ]
    tables = {"predictions": ordered, "folds": folds, "summary": summarise(folds)}
    if replicates:
        tables["intervals"] = cohort_intervals(predictions, replicates)
    for name, table in tables.items():
        with replacing(out / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False)
    write_json(out / "manifest.json", manifest)
    return folds


def evaluate(store: Store, config: ExperimentConfig, checkpoint: Path | None, out: Path) -> pd.DataFrame:
    """Run the evaluation of `config` into `out` and return folds.csv; finished fits are not done again.

    `checkpoint` is the folder of `prime pretrain`; `{seed}` in it stands for each seed of evaluate.seeds.
    Raises InputError for settings or data that cannot be evaluated.
    """
    return Evaluation(store, config, checkpoint, out).run()
