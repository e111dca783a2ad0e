"""Training any network with a hazard head on one fold: minibatches, early stopping, prediction."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prime.arrays import Indices
from prime.downstream.hazard_model import baseline_logits, person_periods
from prime.errors import InputError
from prime.methods.statistics.calibrated import CalibratedScore, recalibrate, survival_score
from prime.methods.statistics.examples import Target
from prime.objectives.survival import assign_bins, nll, survival
from prime.precision import resolved
from prime.splits.folds import Fold
from prime.splits.outcomes import Outcome
from prime.store.batch import Batch
from prime.store.loading import PatientLoader

HELD_BYTES = 2**30  # a fold that is larger than this is read batch by batch


StartLogits = Callable[[Indices, tuple[bool, ...] | None], NDArray[np.float64]]


class Diverged(InputError):
    """No epoch of a training left a network whose validation loss is a number."""


@dataclass(frozen=True)
class Schedule:
    """How a network is trained; `drop_modality` is the rate of modality dropout."""

    epochs: int
    batch_size: int
    patience: int
    precision: str
    alpha: float = 0.0
    drop_modality: float = 0.0


class FoldBatches:
    """Batches of a fold's patients, from memory where they fit: scaled and padded once for all epochs."""

    def __init__(self, loader: PatientLoader, patients: Indices) -> None:
        self.loader = loader
        self.patients = np.unique(patients)
        self.held = loader.batch(self.patients) if self._bytes() <= HELD_BYTES else None

    def _bytes(self) -> int:
        """Size of the padded float32 values of all patients."""
        store, sources = self.loader.store, self.loader.sources
        longest = [int(store.index(s)[self.patients, 1].max(initial=0)) for s in sources]
        return sum(
            4 * len(self.patients) * n * store.sources[s].dim for n, s in zip(longest, sources, strict=True)
        )

    def __call__(self, patients: Indices, kept: NDArray[np.bool_] | None = None) -> Batch:
        """The batch of these patients; `kept` (n, M) bool hides modalities where it is False."""
        if self.held is None:
            batch = self.loader.batch(patients)
        else:
            batch = self.held.take(torch.from_numpy(np.searchsorted(self.patients, patients)))
        return batch if kept is None else batch.keep(torch.from_numpy(kept))


def _minibatches(rng: np.random.Generator, patients: Indices, size: int) -> list[Indices]:
    return np.array_split(rng.permutation(patients), max(1, round(len(patients) / size)))


def drop_modalities(observed: NDArray[np.bool_], rate: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Modality dropout of (B, M); every patient keeps at least one observed modality."""
    noise = np.where(observed, rng.random(observed.shape), -1.0)
    kept = observed & (noise >= rate)
    kept[np.arange(len(kept)), noise.argmax(axis=1)] |= ~kept.any(axis=1)
    return kept


def training_baseline(outcome: Outcome, patients: Indices, edges: NDArray[np.float64]) -> Tensor:
    """Hazard logits (T,) of these patients as a whole, which a head starts from."""
    label = torch.from_numpy(assign_bins(outcome.time_days[patients], edges))
    event = torch.from_numpy(outcome.event[patients])
    return baseline_logits(*person_periods(label, event, len(edges) - 1)).float()


class SupervisedTraining:
    """One network on one fold. `model` maps a batch to a `Prediction`; `observed` is (P, M) of the store.

    With `start`, the network's logits are added to those (n, T) that it gives of patients under a pattern
    (None: with whatever they have, in training and validation).
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        batches: FoldBatches,
        outcome: Outcome,
        fold: Fold,
        edges: NDArray[np.float64],
        observed: NDArray[np.bool_],
        schedule: Schedule,
        rng: np.random.Generator,
        start: StartLogits | None = None,
    ) -> None:
        self.model, self.optimizer, self.batches = model, optimizer, batches
        self.outcome, self.fold, self.edges, self.observed = outcome, fold, edges, observed
        self.schedule, self.rng, self.start = schedule, rng, start
        self.device = next(model.parameters()).device
        self.best_loss, self.best_epoch = float("inf"), -1
        self.calibrated: CalibratedScore | None = None

    def _loss(self, patients: Indices, kept: NDArray[np.bool_] | None, alpha: float) -> Tensor:
        """Likelihood of the patients and, in training, the network's further terms."""
        label = torch.from_numpy(assign_bins(self.outcome.time_days[patients], self.edges)).to(self.device)
        event = torch.from_numpy(self.outcome.event[patients]).to(self.device)
        logits, losses = self._predict(patients, kept, None)
        loss = nll(logits, label, event, alpha)
        return loss + sum(losses.values()) if self.model.training else loss

    def _predict(
        self, patients: Indices, kept: NDArray[np.bool_] | None, keep: tuple[bool, ...] | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits (n, T) and the network's further losses; `keep` is the pattern of a test."""
        batch = self.batches(patients, kept).to(self.device)
        enabled = resolved(self.schedule.precision, self.device.type) == "bf16-mixed"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=enabled):
            found = self.model(batch)
        if self.start is None:
            return found.logits, found.losses
        start = torch.from_numpy(self.start(patients, keep)).to(found.logits)
        return found.logits + start, found.losses

    def train_epoch(self) -> float:
        """One pass over the training patients. Returns the mean loss of its steps."""
        self.model.train()
        rate, losses = self.schedule.drop_modality, list[Tensor]()
        for patients in _minibatches(self.rng, self.fold.train, self.schedule.batch_size):
            kept = drop_modalities(self.observed[patients], rate, self.rng) if rate > 0 else None
            self.optimizer.zero_grad(set_to_none=True)
            loss = self._loss(patients, kept, self.schedule.alpha)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    def pretrain(
        self, loss_of: Callable[[Batch], Tensor], optimizer: torch.optim.Optimizer, epochs: int
    ) -> None:
        """Passes over the training patients on a loss without labels."""
        self.model.train()
        enabled = resolved(self.schedule.precision, self.device.type) == "bf16-mixed"
        for _ in range(epochs):
            for patients in _minibatches(self.rng, self.fold.train, self.schedule.batch_size):
                optimizer.zero_grad(set_to_none=True)
                with torch.autocast(self.device.type, torch.bfloat16, enabled=enabled):
                    loss = loss_of(self.batches(patients).to(self.device))
                loss.backward()
                nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                optimizer.step()

    def fit(self, told: Callable[[dict[str, float]], None] = lambda row: None) -> int:
        """Train, stopping early on the validation likelihood. Returns the best epoch, whose weights stay.

        With a start, no epoch (-1) is best where none is better than it. A validation loss that is no number
        ends the training: the weights are lost by then. `told` gets the losses of each epoch.

        Raises:
            Diverged: no epoch had a validation loss that is a number.
        """
        state = copy.deepcopy(self.model.state_dict())
        if self.start is not None:
            self.best_loss = self.validation_loss()
        for epoch in range(self.schedule.epochs):
            training = self.train_epoch()
            loss = self.validation_loss()
            told({"epoch": epoch, "train/loss": training, "validation/loss": loss})
            if not math.isfinite(loss):
                break
            if loss < self.best_loss:
                self.best_loss, self.best_epoch = loss, epoch
                state = copy.deepcopy(self.model.state_dict())
            elif epoch - self.best_epoch >= self.schedule.patience:
                break
        self.model.load_state_dict(state)
        if not math.isfinite(self.best_loss):
            raise Diverged(
                f"{self.fold.cohort}, fold {self.fold.fold}: training diverged, its validation loss is not a"
                " number in any epoch; lower the learning rate, or set its precision to 32-true"
            )
        return self.best_epoch

    @torch.inference_mode()
    def validation_loss(self) -> float:
        """Negative log-likelihood (alpha 0) of the validation patients with whatever they have."""
        self.model.eval()
        return float(self._loss(self.fold.validation, None, 0.0))

    def predict(self, patients: Indices, keep: tuple[bool, ...], size: int = 256) -> NDArray[np.float64]:
        """Survival (n, T) of patients under a pattern that leaves each of them something.

        After `calibrate` with its slope and baseline, in the same order of risks.
        """
        found = self._survival(patients, keep, size)
        return found if self.calibrated is None else self.calibrated.survival(survival_score(found))

    def calibrate(self) -> None:
        """Give predictions the slope that validation patients ask for, and a baseline; see `recalibrate`."""
        fold, outcome = self.fold, self.outcome
        patients = np.concatenate([fold.train, fold.validation])
        everything = (True,) * self.observed.shape[1]
        target = Target(
            outcome.time_days[patients], outcome.event[patients], self.edges, outcome.horizon_days is not None
        )
        score = survival_score(self._survival(patients, everything, 256))
        self.calibrated = recalibrate(score, target, np.arange(len(patients)) >= len(fold.train))

    @torch.inference_mode()
    def _survival(self, patients: Indices, keep: tuple[bool, ...], size: int) -> NDArray[np.float64]:
        """Survival (n, T) as the network gives it."""
        self.model.eval()
        kept = self.observed[patients] & np.array(keep)
        parts = [
            survival(self._predict(patients[part], kept[part], keep)[0]).cpu().double().numpy()
            for part in _slices(len(patients), size)
        ]
        return np.concatenate(parts)


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
