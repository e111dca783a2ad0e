"""The downstream evaluation: folds, modes and patterns, one part file a fit, tables at the end (paper IV).

`predictions.csv` has one row a (fit, pattern, test patient); every other file is computed from it. A fit
whose part file exists is not done again: the name of the file carries a hash of all that the fit depends on.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prime import __version__
from prime.arrays import Indices
from prime.catalogue.methods import METHODS
from prime.downstream.fit import FITTED, Fit, Setting, fit_network, fit_probes, with_cost
from prime.downstream.method_fits import check_method, fit_method, method_recipe
from prime.downstream.networks import CheckpointTemplate, FindCheckpoint, Networks
from prime.downstream.scoring import score_folds, write_tables
from prime.errors import InputError
from prime.evaluation.missingness import patterns
from prime.files import replacing
from prime.model.checkpoint import load_checkpoint
from prime.progress import tracked
from prime.settings.evaluation import TaskConfig
from prime.settings.experiment import ExperimentConfig
from prime.splits.evaluation_folds import evaluation_folds, too_few, training_fold
from prime.splits.folds import Fold
from prime.splits.outcomes import Outcome, read_outcome
from prime.splits.split_files import save_splits
from prime.store.store import Store


class Evaluation:
    """One evaluation: data, folds and settings; `run` does what is not done and writes the tables.

    `checkpoint` finds the folder of `prime pretrain` for a seed and fold. Parts and embeddings are kept in
    `cache` (default: `out`), which evaluations may share.
    """

    def __init__(
        self,
        store: Store,
        config: ExperimentConfig,
        checkpoint: FindCheckpoint | None,
        out: Path,
        cache: Path | None = None,
    ) -> None:
        self.store, self.config, self.settings, self.out = store, config, config.evaluate, out
        if "pretrained" in self.settings.inits and checkpoint is None:
            raise InputError("evaluate.inits names 'pretrained': give --checkpoint, or set it to [scratch]")
        for name in self.settings.methods:
            check_method(METHODS.find(name), config, store)
        self.cache = cache or out
        subsets = patterns(list(store.modalities))
        self.setting = Setting(store, self.settings, subsets, store.observed())
        self.networks = Networks(self.setting, config, checkpoint, self.cache / "embeddings")
        self.outcomes = {task.name: read_outcome(store, task) for task in self.settings.tasks}
        self.not_fitted: dict[str, str] = {}
        self.splits: dict[str, list[Fold]] = {}
        self.fits = tuple(self._fits())

    def _folds(self, task: TaskConfig, seed: int) -> dict[str, list[Fold]]:
        """The folds of a task by cohort."""
        folds = evaluation_folds(self.store, self.outcomes[task.name], self.settings, seed)
        self.splits[f"{task.name}-seed{seed}"] = folds
        found: dict[str, list[Fold]] = {}
        for fold in folds:
            found.setdefault(fold.cohort, []).append(fold)
        return found

    def _fits(self) -> Iterator[Fit]:
        """Every fit of the grid; a fold with too few training patients is noted and left out."""
        for seed in self.settings.seeds:
            for task in self.settings.tasks:
                for cohort, folds in self._folds(task, seed).items():
                    for train_on in self.settings.train_on:
                        for share in self.settings.shares:
                            able = tuple(self._able(task, cohort, folds, train_on, share, seed))
                            yield from self._modes(task, seed, train_on, share, able)
                            yield from self._methods(task, seed, train_on, share, able)

    def _able(
        self, task: TaskConfig, cohort: str, folds: list[Fold], train_on: str, share: float, seed: int
    ) -> Iterator[Fold]:
        outcome = self.outcomes[task.name]
        for fold in folds:
            mine = training_fold(fold, outcome, self.setting.complete, train_on, share, seed)
            reason = too_few(mine, outcome)
            if reason is None:
                yield mine
            else:
                name = f"{task.name} {cohort} fold {fold.fold} {train_on} {share:g} seed {seed}"
                self.not_fitted[name] = reason

    def _modes(
        self, task: TaskConfig, seed: int, train_on: str, share: float, folds: tuple[Fold, ...]
    ) -> Iterator[Fit]:
        """A probe takes all folds of a cohort at once, fine-tuning one."""
        for init in self.settings.inits if folds else ():
            for mode in self.settings.modes:
                groups = [folds] if mode.startswith("lp") else [(fold,) for fold in folds]
                yield from (Fit(init, mode, task, seed, train_on, share, group) for group in groups)

    def _methods(
        self, task: TaskConfig, seed: int, train_on: str, share: float, folds: tuple[Fold, ...]
    ) -> Iterator[Fit]:
        """A network takes one fold at a time, a statistical model all folds of a cohort."""
        for name in self.settings.methods if folds else ():
            groups = [(fold,) for fold in folds] if METHODS.find(name).kind == "neural" else [folds]
            yield from (Fit("scratch", FITTED, task, seed, train_on, share, g, name) for g in groups)

    def pretrained_folds(self) -> Iterator[tuple[int, Fold]]:
        """Seed and fold of everything that needs a checkpoint."""
        for fit in self.fits:
            if fit.init == "pretrained":
                yield from ((fit.seed, fold) for fold in fit.folds)

    def part_path(self, fit: Fit) -> Path:
        """The file of a finished fit; its name changes with everything that the fit depends on."""
        settings = self.settings.model_dump(mode="json")
        relevant = {
            "task": fit.task.model_dump(mode="json"),
            "fit": [fit.init, fit.mode, fit.seed, fit.train_on, fit.share],
            "bins": [settings["bins"], settings["alpha"]],
            **self._recipe(fit),
            "store": self.setting.data,
            "outcomes": self._identity(self.outcomes[fit.task.name], fit),
            "folds": [[f.train.tolist(), f.validation.tolist(), f.test.tolist()] for f in fit.folds],
            "version": __version__,
        }
        digest = hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:12]
        return self.cache / "parts" / f"{fit.name}-{digest}.parquet"

    def _recipe(self, fit: Fit) -> dict[str, Any]:
        """What a fit does with its data."""
        if not fit.ours:
            recipe = method_recipe(METHODS.find(fit.method), self.config)
            return recipe | self._covariates(fit) if METHODS.find(fit.method).covariates else recipe
        settings = self.settings.probe if fit.probes else self.settings.finetune
        return {
            "mode": settings.model_dump(mode="json"),
            "networks": [self.networks.identity(fit.init, fit.seed, fold) for fold in fit.folds],
        }

    def _covariates(self, fit: Fit) -> dict[str, Any]:
        """The covariates of the patients in the folds of a fit."""
        frame = self.store.patients.iloc[_members(fit)]
        names = [str(name) for name in frame.columns if str(name).startswith("x_")]
        return {name: [repr(value) for value in frame[name]] for name in names}

    def _identity(self, outcome: Outcome, fit: Fit) -> list[list[Any]]:
        """Who stands in the folds of a fit, with time and event."""
        who = _members(fit)
        ids = self.store.patients["patient_id"].to_numpy(dtype=object)[who]
        return [ids.tolist(), outcome.time_days[who].tolist(), outcome.event[who].tolist()]

    def _predictions(self, fit: Fit) -> pd.DataFrame:
        """Fit, and predict the test patients under every pattern."""
        outcome, networks = self.outcomes[fit.task.name], self.networks
        work: Callable[[], pd.DataFrame]
        if not fit.ours:
            other = METHODS.find(fit.method)
            return with_cost(lambda: fit_method(self.setting, outcome, fit, other, self.config))
        if fit.probes:

            def work() -> pd.DataFrame:
                return fit_probes(
                    self.setting, outcome, fit, lambda folds: networks.embeddings(fit.init, fit.seed, folds)
                )

        else:

            def work() -> pd.DataFrame:
                (fold,) = fit.folds
                return fit_network(self.setting, outcome, fit, networks.network(fit.init, fit.seed, fold))

        return with_cost(work, lambda: networks.parameters(fit.init, fit.seed, fit.folds[0]))

    def do(self, fit: Fit) -> None:
        """Do one fit unless its part file is there: predictions, and their scores beside them."""
        path = self.part_path(fit)
        if not path.is_file():
            with replacing(path) as temporary:
                self._predictions(fit).to_parquet(temporary, index=False)
        scored = scores_path(path)
        if not scored.is_file():
            outcome = self.outcomes[fit.task.name]
            training = {
                (f.cohort, f.fold): (outcome.time_days[f.train], outcome.event[f.train]) for f in fit.folds
            }
            with replacing(scored) as temporary:
                score_folds(pd.read_parquet(path), training).to_parquet(temporary, index=False)

    def missing(self) -> list[Fit]:
        """The fits still to be done."""
        paths = {fit.name: self.part_path(fit) for fit in self.fits}
        return [
            fit
            for fit in self.fits
            if not (paths[fit.name].is_file() and scores_path(paths[fit.name]).is_file())
        ]

    def predictions(self) -> pd.DataFrame:
        """The predictions of all fits; every one must be done."""
        return pd.concat([pd.read_parquet(self.part_path(fit)) for fit in self.fits], ignore_index=True)

    def scores(self) -> pd.DataFrame:
        """The scores of all fits; every one must be done."""
        return pd.concat(
            [pd.read_parquet(scores_path(self.part_path(fit))) for fit in self.fits], ignore_index=True
        )

    def costs(self) -> pd.DataFrame:
        """What each fit took: seconds, peak memory of its process, parameters trained and in all.

        For a network of the comparison also `chosen`: by fold, the point of the grid and its losses, as JSON.
        """
        rows: list[dict[str, Any]] = []
        for fit in self.fits:
            attrs = pd.read_parquet(self.part_path(fit), columns=["init"]).attrs
            cost = {str(name): value for name, value in attrs.items()}
            named = {"method": fit.method, "init": fit.init, "mode": fit.mode, "task": fit.task.name}
            named |= {"seed": fit.seed, "cohort": fit.folds[0].cohort, "folds": len(fit.folds)}
            rows.append({**named, **cost})
        return pd.DataFrame(rows)

    def run(self, progress: bool = True) -> pd.DataFrame:
        """Do every fit that is not done yet, write the tables, and return folds.csv as a frame."""
        if not self.fits:
            raise InputError(
                "evaluate: nothing to do; check modes, inits, cohorts and only_folds"
                + "".join(f"; {name}: {why}" for name, why in self.not_fitted.items())
            )
        todo = self.missing()
        for fit in tracked(todo, "evaluate", progress):
            self.do(fit)
        folds = self.scores()
        ids = self.store.patients["patient_id"].to_numpy(dtype=object)
        for name, drawn in self.splits.items():
            save_splits(self.out / "splits" / f"{name}.json", drawn, ids)
        write_tables(self.predictions(), folds, self.manifest(), self.out, self.settings.bootstrap)
        return folds

    def manifest(self) -> dict[str, Any]:
        """Versions, settings, hashes, who was left out, and who pretraining saw of each test fold."""
        ids = self.store.patients["patient_id"].to_numpy(dtype=object)
        tested: set[str] = set()
        known: set[str] = set()  # tested with a checkpoint whose pretraining saw them
        weights: dict[str, Any] = {}
        for fit in self.fits:
            for fold in fit.folds:
                test = {str(p) for p in ids[fold.test]}
                tested |= test
                if fit.init == "pretrained":
                    folder = self.networks.checkpoint_path(fit.seed, fold)
                    if str(folder) not in weights:
                        trained = load_checkpoint(folder).manifest
                        seen = {*trained["train_patients"], *trained["validation_patients"]}
                        weights[str(folder)] = (self.networks.identity("pretrained", fit.seed, fold), seen)
                    known |= test & weights[str(folder)][1]
        return {
            "version": __version__,
            "config": self.config.model_dump(mode="json"),
            "hashes": {
                "store": {n: s.sha256 for n, s in self.store.sources.items()},
                "weights": {folder: digest for folder, (digest, _) in weights.items()},
            },
            "left_out": {name: outcome.left_out for name, outcome in self.outcomes.items()},
            "not_fitted": self.not_fitted,
            "test_patients": len(tested),
            "test_patients_seen_unlabelled_in_pretraining": len(known),
            "protocol": "transductive" if known else "inductive",
        }


def _members(fit: Fit) -> Indices:
    """Everybody in the folds of a fit, sorted."""
    return np.unique(np.concatenate([np.concatenate([f.train, f.validation, f.test]) for f in fit.folds]))


def scores_path(part: Path) -> Path:
    """The file with the scores of a part."""
    return part.with_suffix(".scores.parquet")


def evaluate(store: Store, config: ExperimentConfig, checkpoint: Path | None, out: Path) -> pd.DataFrame:
    """Run the evaluation of `config` into `out` and return folds.csv; finished fits are not done again.

    `checkpoint` is the folder of `prime pretrain`; `{seed}`, `{fold}` and `{cohort}` in it stand for those of
    each fit. Raises InputError for settings or data that cannot be evaluated.
    """
    find = None if checkpoint is None else CheckpointTemplate(str(checkpoint))
    return Evaluation(store, config, find, out).run()
