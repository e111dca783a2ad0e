"""Full fine-tuning of PRIME with a survival head, from a checkpoint or from random weights (paper IV-C)."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from prime.arrays import Floats, Indices
from prime.downstream.data import EvaluationData
from prime.downstream.embeddings import read_out
from prime.downstream.fit import Fit, prediction_rows
from prime.downstream.joint_fits import FittedHead, JointFit, fit_head
from prime.downstream.supervised import (
    FoldBatches,
    Schedule,
    StartLogits,
    SupervisedTraining,
    training_baseline,
)
from prime.model.heads import HazardHead, Prediction
from prime.model.parameters import parameter_groups
from prime.model.prime import Prime
from prime.seeds import named_seed
from prime.settings.evaluation import EvaluateConfig, FinetuneConfig, ReadoutConfig
from prime.splits.folds import Fold
from prime.splits.outcomes import Outcome
from prime.store.batch import Batch
from prime.store.loading import PatientLoader
from prime.tracking.followed import Followed

TINY = 1e-6  # a hazard keeps this distance from zero and one


class SurvivalModel(nn.Module):
    """PRIME and a hazard head on its readout, `width` numbers a patient; baseline (T,) as in `HazardHead`."""

    def __init__(self, prime: Prime, readout: ReadoutConfig, width: int, baseline: Tensor) -> None:
        super().__init__()
        self.prime = prime
        self.readout = readout
        self.head = HazardHead(width, baseline)

    def forward(self, batch: Batch) -> Prediction:
        """Hazard logits (B, T)."""
        return Prediction(self.head(read_out(self.prime(batch), self.readout)))


def _optimizer(model: SurvivalModel, config: FinetuneConfig) -> torch.optim.Optimizer:
    """AdamW, a learning rate for the network and one for the head; what decays as in every network."""
    groups: list[dict[str, Any]] = []
    for part, rate in ((model.prime, config.learning_rate), (model.head, config.head_learning_rate)):
        groups += [group | {"lr": rate} for group in parameter_groups(part, config.weight_decay)]
    return torch.optim.AdamW(groups)


class Finetuning(SupervisedTraining):
    """One fit: a cohort's fold, its bins, its model. `missing`: with modality dropout.

    With `start` the head's own logits begin at zero, else at the hazards of the training patients.
    """

    def __init__(
        self,
        prime: Prime,
        loader: PatientLoader,
        outcome: Outcome,
        fold: Fold,
        settings: EvaluateConfig,
        seed: int,
        missing: bool,
        start: StartLogits | None = None,
    ) -> None:
        config = settings.finetune
        edges = outcome.edges(fold.train, settings.bins)
        schedule = Schedule(
            config.epochs, config.batch_size, config.patience, config.precision, config.alpha,
            config.drop_modality if missing else 0.0,
        )  # fmt: skip
        rng = np.random.default_rng(named_seed(seed, "finetune", fold.cohort, fold.fold))
        torch.manual_seed(named_seed(seed, "finetune", fold.cohort, fold.fold))
        prime = copy.deepcopy(prime).eval()
        device = next(prime.parameters()).device
        everyone = np.concatenate([fold.train, fold.validation, fold.test])
        batches = FoldBatches(loader, everyone)
        with torch.inference_mode():
            width = read_out(prime(batches(fold.train[:2]).to(device)), config.readout)[0].numel()
        baseline = training_baseline(outcome, fold.train, edges)
        baseline = baseline if start is None else torch.zeros_like(baseline)
        model = SurvivalModel(prime, config.readout, width, baseline).to(device)
        super().__init__(
            model, _optimizer(model, config), batches, outcome, fold, edges, loader.store.observed(),
            schedule, rng, start,
        )  # fmt: skip


@dataclass(frozen=True)
class HeadLogits:
    """The hazard logits that a head over all cohorts gives, from which a network's training starts.

    Of labelled patients they come from scores by heads that were fitted without them, so that the network
    does not learn to mend what only fits the training patients.
    """

    joint: JointFit
    fold: Fold
    fitted: FittedHead

    @classmethod
    def of(cls, joint: JointFit, fold: Fold) -> "HeadLogits":
        """Fit the head."""
        return cls(joint, fold, fit_head(joint, fold))

    def __call__(self, patients: Indices, keep: tuple[bool, ...] | None) -> Floats:
        """(n, T) of patients who are all labelled in the fold, or all tested under the pattern `keep`."""
        curve = self.fitted.calibrated.survival(self._score(patients, keep))
        return hazard_logits(curve)

    def _score(self, patients: Indices, keep: tuple[bool, ...] | None) -> Floats:
        if np.isin(patients, self.fold.labelled).all():
            return self.fitted.held_out[patients]
        data = self.joint.data
        (pattern,) = [name for name, kept in data.patterns.items() if kept == keep]
        x = self.fitted.features.tested(patients, pattern, self.joint.kept(pattern))
        types = data.store.patients["cohort"].to_numpy(dtype=str)[patients]
        return self.fitted.head(x, types)


def hazard_logits(survival: Floats) -> Floats:
    """Logits of the hazards (n, T) of survival curves (n, T) at the ends of bins."""
    before = np.concatenate([np.ones_like(survival[:, :1]), survival[:, :-1]], axis=1)
    hazard = np.clip(1 - survival / np.maximum(before, TINY), TINY, 1 - TINY)
    return np.log(hazard) - np.log1p(-hazard)


def fit_network(
    data: EvaluationData,
    outcome: Outcome,
    fit: Fit,
    network: tuple[Prime, PatientLoader],
    followed: Followed,
    start: StartLogits | None = None,
) -> pd.DataFrame:
    """Predictions of one fine-tuned fold; `followed` is told of its epochs, `start` is of the training."""
    (fold,) = fit.folds
    tuned = Finetuning(*network, outcome, fold, data.settings, fit.seed, fit.missing, start)
    with followed:
        trained = tuned.fit(followed.log) >= 0
    if data.settings.finetune.calibrate and trained:
        tuned.calibrate()
    frames: list[pd.DataFrame] = []
    for pattern, keep in data.patterns.items():
        tested = data.tested(fold, pattern)
        if len(tested):
            survival = tuned.predict(tested, keep)
            frames.append(prediction_rows(data, outcome, fit, fold, pattern, tested, survival, tuned.edges))
    table = pd.concat(frames, ignore_index=True)
    table.attrs["trainable_parameters"] = sum(p.numel() for p in tuned.model.parameters() if p.requires_grad)
    return table
