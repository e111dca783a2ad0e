"""Pretraining without labels, on every patient with at least one modality (paper III-E, IV-C2)."""

import json
import math
import pickle
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prime import __version__
from prime.arrays import Indices
from prime.errors import InputError, first_line
from prime.files import replacing, sha256_text, sole_process, write_text
from prime.model.checkpoint import WEIGHTS, save_description, save_network
from prime.model.parameters import parameter_groups
from prime.parsing import parse_json
from prime.pretraining.curves import plot_curves
from prime.pretraining.devices import Devices
from prime.pretraining.gather import gather
from prime.pretraining.losses.interface import Tensors, TrainingData
from prime.pretraining.network import Found, OpaqueBatch
from prime.pretraining.resuming import restore
from prime.pretraining.sampler import epoch_batches
from prime.pretraining.setup import build_model, choose_patients, code_of, freeze_unread, learning_rate_at
from prime.progress import progress_display
from prime.seeds import named_seed
from prime.settings.experiment import ExperimentConfig
from prime.splits.folds import pretraining_split
from prime.store.ahead import made_ahead
from prime.store.batch import Batch
from prime.store.loading import PatientLoader, fit_scalings
from prime.store.origin import source_facts
from prime.store.store import Store
from prime.tracking.followed import Followed
from prime.tracking.options import NOWHERE, Tracking

STATE, LOG = "state.pt", "log.jsonl"


class Pretraining:
    """One pretraining run: its network, data split and optimiser; `run` trains it to the end.

    Args:
        store: the packed cohort.
        config: the experiment.
        out: the folder of the run.
        excluded: ids of patients who serve neither training nor validation.
        devices: where it computes.

    Raises:
        InputError: too few patients.
    """

    def __init__(
        self, store: Store, config: ExperimentConfig, out: Path, excluded: frozenset[str], devices: Devices
    ) -> None:
        self.config, self.settings, self.out, self.store = config, config.pretrain, out, store
        self.fabric, self.workers = devices.fabric(self.settings.precision), devices.loader_workers
        patients = choose_patients(store, self.settings, excluded)
        cohorts = store.patients["cohort"].to_numpy(dtype=str)
        self.train, self.validation = pretraining_split(
            cohorts, patients, self.settings.validation_share, config.seed
        )
        if min(len(self.train), len(self.validation)) < 2:
            raise InputError(
                f"{store.path}: {len(self.train)} patients to train and {len(self.validation)} to validate"
                " are too few; at least 2 each are needed (raise validation_share, or add patients)"
            )
        self.scaling = fit_scalings(store, self.train, config.clip, within=config.scaling)
        self.loader = PatientLoader(store, self.scaling)
        model = build_model(config, TrainingData(store, self.scaling, self.train))
        freeze_unread(model, self.loader.batch(self.train[:8]))
        optimizer = torch.optim.AdamW(parameter_groups(model, self.settings.weight_decay), lr=0.0)
        self.raw = model
        self.model, self.optimizer = self.fabric.setup(model, optimizer)
        self.manifest = self._manifest(excluded)
        self.weights: str | None = None  # SHA-256 of the best ones, once there are any

    def _manifest(self, excluded: frozenset[str]) -> dict[str, Any]:
        ids = self.store.patients["patient_id"].to_numpy(dtype=object)
        return {
            "version": __version__,
            "code": code_of(self.settings),
            "torch": torch.__version__,
            "seed": self.config.seed,
            "precision": str(self.fabric.strategy.precision.precision),
            "store": {name: s.sha256 for name, s in self.store.sources.items()},
            "sources": source_facts(self.store),
            "parameters": sum(p.numel() for p in self.raw.parameters()),
            "excluded": sorted(excluded),
            "train_patients": [str(p) for p in ids[self.train]],
            "validation_patients": [str(p) for p in ids[self.validation]],
        }

    def epoch_plan(self, epoch: int) -> list[Indices]:
        """The batches of an epoch of training, the same for every process."""
        return self._plan(self.train, self.settings.within_type, epoch)

    def _plan(self, patients: Indices, within_type: float, epoch: int) -> list[Indices]:
        """Batches of these patients, cut so that every process has an equal share of each."""
        size, codes = self.settings.batch_size, self.loader.cohort_codes
        batches = epoch_batches(patients, codes, size, within_type, self.config.seed, epoch)
        processes = self.fabric.world_size
        plan = [cut for batch in batches if len(cut := batch[: len(batch) // processes * processes])]
        if not plan:
            raise InputError(
                f"{self.store.path}: no batch has a patient for each of {processes} processes; take fewer"
                " --devices or --nodes, or a larger pretrain.batch_size"
            )
        return plan

    def _mine(self, batch: Indices) -> Indices:
        """The share of a batch that this process computes."""
        each = len(batch) // self.fabric.world_size
        return batch[self.fabric.global_rank * each : (self.fabric.global_rank + 1) * each]

    def batches(self, plan: list[Indices]) -> Iterator[Batch]:
        """This process's share of every batch of a plan, made ahead."""
        return made_ahead(lambda batch: self.loader.batch(self._mine(batch)), plan, self.workers)

    def forward(self, data: Batch, *seed_names: object) -> tuple[dict[str, Tensor], Found]:
        """The losses of a batch, over the patients of all processes, and what those of this process gave.

        The losses are scalars by name, with `total`. All randomness comes from the seed and `seed_names`.
        """
        torch.manual_seed(named_seed(self.config.seed, *seed_names, self.fabric.global_rank))
        found: Found = self.model(OpaqueBatch(data.to(self.fabric.device)))
        rows = {name: gather(tensors) for name, tensors in found.rows.items()}
        return self.raw.weigh(rows), found

    def train_epoch(self, epoch: int, total_steps: int, first_step: int, progress: Any) -> dict[str, float]:
        """One pass over the training patients. Returns the mean of every loss, the speed, and what waits."""
        self.model.train()
        sums: dict[str, float] = {}
        started, plan = time.perf_counter(), self.epoch_plan(epoch)
        batches, waited = self.batches(plan), 0.0
        for number in range(len(plan)):
            asked = time.perf_counter()
            data = next(batches)
            waited += time.perf_counter() - asked
            rate = learning_rate_at(first_step + number, total_steps, self.settings)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            losses, _ = self.forward(data, "step", epoch, number)
            values = {name: float(value.detach()) for name, value in losses.items()}
            self._require_numbers(epoch, values)
            self.optimizer.zero_grad(set_to_none=True)
            self.fabric.backward(losses["total"])
            self.fabric.clip_gradients(self.model, self.optimizer, max_norm=self.settings.gradient_clip)
            self.optimizer.step()
            self.raw.hold_temperature()
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value
            progress(epoch, number + 1, len(plan), {k: v / (number + 1) for k, v in sums.items()})
        seconds = time.perf_counter() - started
        result = {f"train/{name}": value / len(plan) for name, value in sums.items()}
        speed = {"patients_per_second": sum(map(len, plan)) / seconds, "waiting_share": waited / seconds}
        return {**result, **speed, "learning_rate": rate}  # pyright: ignore[reportPossiblyUnboundVariable]

    def _require_numbers(self, epoch: int, losses: dict[str, float]) -> None:
        """Raise InputError where a loss is not a number: from then on the weights are not numbers either."""
        if bad := [name for name, value in losses.items() if not math.isfinite(value)]:
            raise InputError(
                f"{self.out}: pretraining diverged in epoch {epoch + 1}: not a number: {', '.join(bad)}. The"
                " folder keeps the state before this epoch; lower pretrain.learning_rate, or set"
                " pretrain.precision to 32-true, and give another --out"
            )

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Validation losses under fixed masks, and the diagnostics."""
        self.model.eval()
        plan = self._plan(self.validation, 0.0, -1)
        sums: dict[str, float] = {}
        kept: list[dict[str, Tensors]] = []
        for number, (batch, data) in enumerate(zip(plan, self.batches(plan), strict=True)):
            losses, found = self.forward(data, "validation", number)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(batch)
            kept.append({name: gather(tensors) for name, tensors in found.diagnosed.items()})
        total = sum(map(len, plan))
        types = torch.from_numpy(self.loader.cohort_codes[np.concatenate(plan)])
        joined = {
            name: {key: torch.cat([part[name][key] for part in kept]).cpu() for key in tensors}
            for name, tensors in kept[0].items()
        }
        result = {f"validation/{name}": value / total for name, value in sums.items()}
        return result | self.raw.diagnose(joined, types)

    def _describe(self) -> None:
        """Write what the folder holds, with the checksum of the best weights so far, if there are any."""
        digests = {} if self.weights is None else {WEIGHTS: self.weights}
        save_description(
            self.out, self.raw.prime, self.config.model_dump(mode="json"), self.manifest, digests
        )

    def _save_state(self, epoch: int, best: float, log: list[dict[str, Any]]) -> None:
        state = {
            "epoch": epoch,
            "weights": self.weights,
            "best": best,
            "log": json.dumps(log),
            "code": self.manifest["code"],
            "fingerprint": self._fingerprint(),
            "model": self.raw.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with replacing(self.out / STATE) as temporary:
            torch.save(state, temporary)

    def _fingerprint(self) -> str:
        """What a resumed run must share with the interrupted one."""
        config = self.config.model_dump(mode="json", exclude={"evaluate", "store", "root", "cohort"})
        return json.dumps([config, self.manifest["store"], self.manifest["excluded"]], sort_keys=True)

    def _resume(self) -> tuple[int, float, list[dict[str, Any]]]:
        path = self.out / STATE
        if not path.is_file():
            return 0, math.inf, []
        try:
            state = torch.load(path, weights_only=True, map_location="cpu")
            fingerprint, code, log = state["fingerprint"], state["code"], parse_json(state["log"], str(path))
        except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError) as error:
            reason = first_line(error)
            raise InputError(f"{path}: damaged ({reason}); remove {self.out} to start anew") from None
        if fingerprint != self._fingerprint():
            raise InputError(
                f"{self.out}: holds a run with other settings, data or exclusions; give another --out"
            )
        if code != (mine := self.manifest["code"]):  # some epochs by each: no code could make them again
            raise InputError(
                f"{self.out}: holds a run of other code of PRIME ({code}, now {mine}); go on with that code,"
                " or give another --out"
            )
        try:
            restore(self.raw, self.optimizer, state)
            self.weights = None if state["weights"] is None else str(state["weights"])
            return int(state["epoch"]) + 1, float(state["best"]), log
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            reason = first_line(error)
            raise InputError(f"{path}: damaged ({reason}); remove {self.out} to start anew") from None

    def run(self, shown: bool = True, tracking: Tracking = NOWHERE) -> None:
        """Train every epoch that is left, keep the best network by validation loss, log and plot."""
        first, best, log = self._resume()
        self.out.mkdir(parents=True, exist_ok=True)
        epochs = self.settings.epochs
        steps = [len(self.epoch_plan(epoch)) for epoch in range(epochs)]
        if self.fabric.is_global_zero:
            self._describe()
        shown = shown and self.fabric.is_global_zero
        with self._followed(tracking, log) as followed, progress_display(shown) as bar:
            task = bar.add_task("pretrain", total=sum(steps), completed=sum(steps[:first]), parts="")

            def progress(epoch: int, done: int, of: int, parts: dict[str, float]) -> None:
                text = f"epoch {epoch + 1}/{epochs} " + " ".join(f"{k} {v:.3f}" for k, v in parts.items())
                bar.update(task, completed=sum(steps[:epoch]) + done, parts=text)

            for epoch in range(first, epochs):
                row = {"epoch": epoch, **self.train_epoch(epoch, sum(steps), sum(steps[:epoch]), progress)}
                row |= self.validate()
                self._require_numbers(epoch, {"validation loss": row["validation/total"]})
                log.append(row)
                best = self._finish_epoch(epoch, best, row, log)
                followed.log(row)

    def _followed(self, tracking: Tracking, log: list[dict[str, Any]]) -> Followed:
        """What follows this run from the first process, of which it is told after a state is saved."""
        wanted = tracking if self.fabric.is_global_zero else NOWHERE
        facts = {name: self.manifest[name] for name in ("version", "code", "seed", "precision", "parameters")}
        settings = self.config.model_dump(mode="json", include={"model", "pretrain", "clip", "scaling"})
        patients = {"train_patients": len(self.train), "validation_patients": len(self.validation)}
        return wanted.follow(sha256_text(self._fingerprint()), {**facts, **patients, **settings}, log)

    def _finish_epoch(self, epoch: int, best: float, row: dict[str, Any], log: list[dict[str, Any]]) -> float:
        improved = row["validation/total"] < best
        best = min(best, row["validation/total"])
        if self.fabric.is_global_zero:
            if improved:
                self.weights = save_network(self.out, self.raw.prime, self.scaling)
                self._describe()
            write_text(self.out / LOG, "".join(json.dumps(r) + "\n" for r in log))
            plot_curves(log, self.out / "curves.svg")
            self._save_state(epoch, best, log)
        self.fabric.barrier()
        return best


def pretrain(
    store: Store,
    config: ExperimentConfig,
    out: Path,
    excluded: frozenset[str] = frozenset(),
    devices: Devices | None = None,
    progress: bool = True,
    tracking: Tracking = NOWHERE,
) -> None:
    """Pretrain into the folder `out`; a killed run resumes there, a finished one returns at once.

    Args:
        store: the packed cohort.
        config: the experiment.
        out: the folder of the run.
        excluded: ids of patients who serve neither training nor validation.
        devices: where it computes; one device of this machine where None.
        progress: whether progress is shown.
        tracking: where the run is followed, beside its own log.

    Raises:
        InputError: too few patients, a loss that is not a number, a folder that holds another run or that
            another process is writing to.
    """
    run = Pretraining(store, config, out, excluded, devices or Devices())
    with sole_process(out) if run.fabric.is_global_zero else nullcontext():
        run.run(progress, tracking.below(out.resolve().name))
