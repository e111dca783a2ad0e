"""The downstream evaluation: folds, modes and patterns, one part file a fit, tables at the end (paper IV).

`predictions.csv` has one row a (fit, pattern, test patient); every other file is computed from it. A fit
whose part file exists is not done again: the name of the file carries a hash of all that the fit depends on,
the code included.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as parquet
import torch

from prime import __version__
from prime.catalogue.methods import METHODS, Method
from prime.downstream import networks as networks_module
from prime.downstream.cause_fits import incidence_rows
from prime.downstream.data import EvaluationData
from prime.downstream.differences import every_difference
from prime.downstream.embeddings import EmbeddingCache
from prime.downstream.finetuning import HeadLogits, fit_network
from prime.downstream.fit import Fit, with_cost
from prime.downstream.joint_fits import JointFit, fit_joint, joint_recipe
from prime.downstream.method_fits import check_method, fit_method, method_recipe, own_inputs
from prime.downstream.networks import CheckpointTemplate, FindCheckpoint, Networks
from prime.downstream.plan import plan_fits, require_able
from prime.downstream.probe_fits import fit_probes
from prime.downstream.scoring import COLUMNS, ENTRY, FOLD_KEYS, score_folds, write_tables
from prime.downstream.token_blocks import TokenReading
from prime.errors import InputError
from prime.file_names import file_name
from prime.files import is_whole_parquet, read_parquet, replacing, sha256_text, write_csv, write_parquet
from prime.methods.classical.block_ridge import SharedRidge
from prime.model.checkpoint import MANIFEST
from prime.parsing import parse_json, read_json
from prime.progress import tracked
from prime.provenance import source_digest
from prime.settings.evaluation import TaskConfig
from prime.settings.experiment import ExperimentConfig
from prime.splits.folds import Fold
from prime.splits.outcomes import read_outcome
from prime.splits.split_files import save_splits
from prime.store.inputs import data_identity
from prime.store.origin import require_same_origin
from prime.store.store import Store
from prime.tracking.options import NOWHERE, Tracking

CPU = torch.device("cpu")
PROBING = ("prime.downstream.probe_fits", *networks_module.CODE)
FINETUNING = ("prime.downstream.finetuning", *networks_module.CODE)
SCORING = ("prime.downstream.scoring",)
INCIDENCE_KEYS = [key for key in FOLD_KEYS if key != "fold"]  # of competing.csv: folds are pooled


class Evaluation:
    """One evaluation: data, folds and settings; `run` does what is not done and writes the tables.

    `checkpoint` finds the folder of `prime pretrain` for a seed and fold. Parts and embeddings are kept in
    `cache` (default: `out`), which evaluations may share.

    Raises:
        InputError: settings or data that cannot be evaluated.
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
        self.data = EvaluationData(store, self.settings)
        self.outcomes = {task.name: read_outcome(store, task) for task in self.settings.tasks}
        for task in self.settings.tasks:
            require_able(self.settings, task, self.outcomes[task.name])
        self.plan = plan_fits(self.data, self.outcomes)
        self.fits = self.plan.fits
        self.networks = Networks(self.data, config, checkpoint, self.cache / "embeddings", self.plan.tested)
        self._paths: dict[str, Path] = {}  # of the fits by name, once their checkpoints are there

    # Doing ------------------------------------------------------------------------------------------------

    def run(
        self, progress: bool = True, device: torch.device = CPU, tracking: Tracking = NOWHERE
    ) -> pd.DataFrame:
        """Do every fit that is not done yet, write the tables, and return folds.csv as a frame."""
        if not self.fits:
            raise InputError(
                "evaluate: nothing to do; check modes, inits, cohorts and only_folds"
                + "".join(f"; {name}: {why}" for name, why in self.plan.not_fitted.items())
            )
        self.compare_origins()
        todo = self.missing()
        for fit in tracked(sorted(todo, key=lambda fit: fit.way), "evaluate", progress):
            self.do(fit, device, tracking)
        folds = self.scores()
        ids = self.store.patients["patient_id"].to_numpy(dtype=object)
        for (task, seed), drawn in self.plan.folds.items():
            save_splits(self.out / "splits" / f"{file_name(task)}-seed{seed}.json", drawn, ids)
        named = sorted((self._curves(fit) for fit in self.fits), key=len, reverse=True)
        curves = list(dict.fromkeys(name for names in named for name in names))
        replicates = self.settings.bootstrap
        write_tables(self._by_cohort(), curves, folds, self.manifest(), self.out, replicates)
        if any(outcome.causes for outcome in self.outcomes.values()):
            incidence = incidence_rows(self._by_cohort(), lambda t: self.outcomes[t].causes, INCIDENCE_KEYS)
            write_csv(self.out / "competing.csv", incidence)
        if replicates:
            pairs = every_difference(self._observed, folds, self.fits, replicates)
            with replacing(self.out / "differences.csv") as temporary:
                pairs.to_csv(temporary, index=False)
        return folds

    def missing(self) -> list[Fit]:
        """The fits still to be done."""
        return [f for f in self.fits if not self._done(f)]

    def _done(self, fit: Fit) -> bool:
        return is_whole_parquet(self.part_path(fit)) and is_whole_parquet(self.scores_path(fit))

    def do(self, fit: Fit, device: torch.device = CPU, tracking: Tracking = NOWHERE) -> None:
        """Do one fit on a device unless its part file is there: predictions, and their scores beside them.

        `tracking`: where the epochs of fine-tuning are followed.
        """
        self.networks.device = device
        path, scored = self.part_path(fit), self.scores_path(fit)
        if not is_whole_parquet(path):
            write_parquet(path, self._predictions(fit, tracking))
        if not is_whole_parquet(scored):
            outcome = self.outcomes[fit.task.name]
            training = {
                (f.cohort, f.fold): (outcome.time_days[f.train], outcome.event[f.train]) for f in fit.folds
            }
            write_parquet(scored, score_folds(read_parquet(path), training))

    def joint(self, fit: Fit) -> bool:
        """Whether its head is one over all cohorts."""
        return fit.shared or (not fit.ours and METHODS.find(fit.method).kind == "joint")

    def _predictions(self, fit: Fit, tracking: Tracking = NOWHERE) -> pd.DataFrame:
        """Fit, and predict the test patients under every pattern."""
        outcome, networks = self.outcomes[fit.task.name], self.networks
        if not fit.ours:
            method = METHODS.find(fit.method)
            if method.kind == "joint":
                return with_cost(lambda: fit_joint(self._joint_method(fit, method)))
            return with_cost(
                lambda: fit_method(self.data, outcome, fit, method, self.config, networks.device)
            )

        def work() -> pd.DataFrame:
            if fit.shared:
                return fit_joint(self._shared_probe(fit))
            if fit.probes:
                return fit_probes(
                    self.data, outcome, fit, lambda folds: networks.embeddings(fit.init, fit.seed, folds)
                )
            (fold,) = fit.folds
            settings = self.settings.finetune.model_dump(mode="json")
            followed = tracking.below(*fit.place).follow(self.part_path(fit).stem, settings)
            network = networks.network(fit.init, fit.seed, fold)
            start = HeadLogits.of(self._shared_probe(self._head_of(fit)), fold) if fit.from_head else None
            return fit_network(self.data, outcome, fit, network, followed, start)

        return with_cost(work, lambda: networks.parameters(fit.init, fit.seed, fit.folds[0]))

    def _head_of(self, fit: Fit) -> Fit:
        """The fit of the head that fine-tuning starts from."""
        return replace(fit, mode=self.settings.finetune.start)

    def _joint_method(self, fit: Fit, method: Method) -> JointFit:
        """A joint model of the comparison on the folds of a fit."""
        inputs = own_inputs(method, self.config, self.store)
        model = method.build(self.config.comparison.method_settings(method.name), method.covariates)
        code = method.place.partition(":")[0]
        outcome = self.outcomes[fit.task.name]
        return JointFit(self.data, outcome, fit, model, tuple(inputs.sources), code, self.plan.set_aside)

    def _shared_probe(self, fit: Fit) -> JointFit:
        """PRIME's head over all cohorts: its tokens, beside the blocks of the sources."""
        settings = self.settings.probe.shared.of_mode(fit.mode)

        def embedded(folds: tuple[Fold, ...]) -> tuple[EmbeddingCache, str]:
            readout = self.settings.probe.readout.model_dump(mode="json")
            network = json.dumps([self.networks.identity(fit.init, fit.seed, folds[0]), readout])
            return self.networks.embeddings(fit.init, fit.seed, folds)[0], network

        tokens = TokenReading(embedded, settings.token_components, settings.token_scale)
        sources = tuple(self.store.sources) if settings.read_sources else ()
        code = "prime.methods.classical.block_ridge"
        outcome = self.outcomes[fit.task.name]
        model = SharedRidge(settings, covariates=fit.mode == "lp_shared_clinical")
        return JointFit(self.data, outcome, fit, model, sources, code, self.plan.set_aside, tokens)

    # What a fit depends on, and where it is kept ----------------------------------------------------------

    def part_path(self, fit: Fit) -> Path:
        """The file of a finished fit; its name changes with everything that the fit depends on."""
        if fit.name in self._paths:
            return self._paths[fit.name]
        outcome, who = self.outcomes[fit.task.name], fit.members
        ids = self.store.patients["patient_id"].to_numpy(dtype=object)
        facts = {
            "task": fit.task.model_dump(mode="json"),
            "fit": [fit.init, fit.mode, fit.seed, fit.train_on, fit.share],
            "bins": self.settings.bins,
            **self._recipe(fit),
            "store": data_identity(self.store),
            "outcomes": [ids[who].tolist(), *outcome.values_of(who)],
            "folds": [[f.train.tolist(), f.validation.tolist(), f.test.tolist()] for f in fit.folds],
        }
        digest = sha256_text(json.dumps(facts, sort_keys=True))[:12]
        self._paths[fit.name] = self.cache / "parts" / f"{fit.name}-{digest}.parquet"
        return self._paths[fit.name]

    def _recipe(self, fit: Fit) -> dict[str, Any]:
        """What a fit does with its data: settings, networks and code."""
        if not fit.ours:
            method = METHODS.find(fit.method)
            if method.kind == "joint":
                return joint_recipe(self._joint_method(fit, method))
            return method_recipe(method, self.config) | (self._covariates(fit) if method.covariates else {})
        settings, code = (
            (self.settings.probe, PROBING) if fit.probes else (self.settings.finetune, FINETUNING)
        )
        if fit.shared:
            networks = [self.networks.identity(fit.init, fit.seed, fold) for fold in fit.folds]
            readout = self.settings.probe.readout.model_dump(mode="json")
            return joint_recipe(self._shared_probe(fit)) | {"networks": networks, "readout": readout}
        start = {"start": self._recipe(self._head_of(fit))} if fit.from_head else {}
        return start | {
            "mode": settings.model_dump(mode="json"),
            "networks": [self.networks.identity(fit.init, fit.seed, fold) for fold in fit.folds],
            "code": source_digest(*code),
        }

    def _covariates(self, fit: Fit) -> dict[str, Any]:
        """The covariates of the patients in the folds of a fit."""
        frame = self.store.patients.iloc[fit.members]
        names = [str(name) for name in frame.columns if str(name).startswith("x_")]
        return {name: [repr(value) for value in frame[name]] for name in names}

    def scores_path(self, fit: Fit) -> Path:
        """The file of the scores of a finished fit; other code of the metrics scores it again."""
        return self.part_path(fit).with_suffix(f".{source_digest(*SCORING)[:8]}.scores.parquet")

    # What is done -----------------------------------------------------------------------------------------

    def predictions(
        self, task: str | None = None, pattern: str | None = None, curves: bool = True
    ) -> pd.DataFrame:
        """The predictions of finished fits, of one task and pattern where they are named.

        Without `curves`, the survival curves and their edges are not read.
        """
        wanted = None if pattern is None else [("pattern", "==", pattern)]
        frames = [
            read_parquet(
                self.part_path(fit), columns=None if curves else self._facts(fit.task), filters=wanted
            )
            for fit in self.fits
            if task in (None, fit.task.name)
        ]
        return pd.concat(frames, ignore_index=True)

    def _observed(self, task: str) -> pd.DataFrame:
        """The predictions of a task with everything observed, without curves."""
        return self.predictions(task, "all", curves=False)

    def _by_cohort(self) -> Iterator[pd.DataFrame]:
        """The predictions, one table after the other: a cohort and way of training, all folds and seeds."""
        groups: dict[tuple[Any, ...], list[Fit]] = {}
        for fit in self.fits:
            way = (fit.method, fit.init, fit.mode, fit.task.name, fit.train_on, fit.share)
            groups.setdefault((*way, fit.folds[0].cohort), []).append(fit)
        for fits in groups.values():
            yield pd.concat([read_parquet(self.part_path(fit)) for fit in fits], ignore_index=True)

    def _facts(self, task: TaskConfig) -> list[str]:
        """The columns of predictions.csv without curves."""
        return [*COLUMNS, *([] if self.outcomes[task.name].entry_days is None else [ENTRY])]

    def _curves(self, fit: Fit) -> list[str]:
        """The columns of survival curves in the part of a fit."""
        return [name for name in parquet.read_schema(self.part_path(fit)).names if name not in COLUMNS]

    def scores(self) -> pd.DataFrame:
        """The scores of all fits; every one must be done."""
        return pd.concat([read_parquet(self.scores_path(fit)) for fit in self.fits], ignore_index=True)

    def costs(self) -> pd.DataFrame:
        """What each fit took: seconds, peak memory of its process, parameters trained and in all.

        For a network of the comparison also `chosen`: by fold, the point of the grid and its losses, as JSON.
        """
        rows: list[dict[str, Any]] = []
        for fit in self.fits:
            attrs = read_parquet(self.part_path(fit), columns=["init"]).attrs
            cost = {str(name): value for name, value in attrs.items()}
            named = {"method": fit.method, "init": fit.init, "mode": fit.mode, "task": fit.task.name}
            named |= {"seed": fit.seed, "cohort": fit.folds[0].cohort, "folds": len(fit.folds)}
            rows.append({**named, **cost})
        return pd.DataFrame(rows)

    def constants(self) -> dict[str, str]:
        """Folds on which a method had too little to train on and predicts the same for everybody, and why.

        Of the fits that are done.
        """
        found: dict[str, str] = {}
        for fit in (fit for fit in self.fits if not fit.ours and self.part_path(fit).is_file()):
            attrs = read_parquet(self.part_path(fit), columns=["init"]).attrs
            for fold, facts in parse_json(attrs.get("chosen", "{}"), "chosen").items():
                if why := facts.get("not_fitted"):
                    where = f"{fit.folds[0].cohort} fold {fold} {fit.train_on} {fit.share:g} seed {fit.seed}"
                    found[f"{fit.method} {fit.task.name} {where}"] = why
        return found

    def pretrained_folds(self) -> Iterator[tuple[int, Fold]]:
        """Seed and fold of everything that needs a checkpoint."""
        for fit in self.fits:
            if fit.init == "pretrained":
                yield from ((fit.seed, fold) for fold in fit.folds)

    def compare_origins(self) -> list[str]:
        """What cannot be known of whether the checkpoints' features were made as the store's.

        Raises InputError where they were made otherwise.
        """
        folders = dict.fromkeys(self.networks.checkpoint_path(*one) for one in self.pretrained_folds())
        found = [
            require_same_origin(read_json(folder / MANIFEST), self.store, str(folder))
            for folder in folders
            if (folder / MANIFEST).is_file()
        ]
        return list(dict.fromkeys(line for lines in found for line in lines))

    def manifest(self) -> dict[str, Any]:
        """Versions, settings, hashes, who was left out, and who pretraining saw of each test fold."""
        ids = self.store.patients["patient_id"].to_numpy(dtype=object)
        tested = {str(p) for fit in self.fits for fold in fit.folds for p in ids[fold.test]}
        weights: dict[str, str] = {}
        seen: dict[str, set[str]] = {}  # by checkpoint, whom its pretraining saw
        known: set[str] = set()  # tested with a checkpoint whose pretraining saw them
        for seed, fold in self.pretrained_folds():
            folder = self.networks.checkpoint_path(seed, fold)
            name = str(folder)
            if name not in weights:
                weights[name] = self.networks.identity("pretrained", seed, fold)
                facts = read_json(folder / MANIFEST)
                seen[name] = {*facts["train_patients"], *facts["validation_patients"]}
            known |= {str(p) for p in ids[fold.test]} & seen[name]
        return {
            "version": __version__,
            "code": source_digest("prime.downstream.grid"),
            "config": self.config.model_dump(mode="json"),
            "hashes": {"store": {n: s.sha256 for n, s in self.store.sources.items()}, "weights": weights},
            "left_out": {name: outcome.left_out for name, outcome in self.outcomes.items()},
            "not_fitted": self.plan.not_fitted,
            "not_known": self.compare_origins(),
            "constant": self.constants(),
            "test_patients": len(tested),
            "test_patients_seen_unlabelled_in_pretraining": len(known),
            "protocol": "transductive" if known else "inductive",
        }


def evaluate(
    store: Store,
    config: ExperimentConfig,
    checkpoint: Path | None,
    out: Path,
    device: torch.device = CPU,
    tracking: Tracking = NOWHERE,
) -> pd.DataFrame:
    """Run the evaluation of `config` into `out` and return folds.csv; finished fits are not done again.

    `checkpoint` is the folder of `prime pretrain`; `{seed}`, `{fold}` and `{cohort}` in it stand for those of
    each fit. `tracking`: where fine-tuning is followed.

    Raises InputError for settings or data that cannot be evaluated.
    """
    find = None if checkpoint is None else CheckpointTemplate(str(checkpoint))
    return Evaluation(store, config, find, out).run(device=device, tracking=tracking)
