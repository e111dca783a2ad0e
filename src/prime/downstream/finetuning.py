"""Full fine-tuning of PRIME with a survival head, from a checkpoint or from random weights (paper IV-C)."""

import copy
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from prime.downstream.data import EvaluationData
from prime.downstream.embeddings import read_out
from prime.downstream.fit import Fit, prediction_rows
from prime.downstream.supervised import FoldBatches, Schedule, SupervisedTraining, training_baseline
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
    """One fit: a cohort's fold, its bins, its model. `missing`: with modality dropout."""

    def __init__(
        self,
        prime: Prime,
        loader: PatientLoader,
        outcome: Outcome,
        fold: Fold,
        settings: EvaluateConfig,
        seed: int,
        missing: bool,
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
        model = SurvivalModel(prime, config.readout, width, baseline).to(device)
        super().__init__(
            model, _optimizer(model, config), batches, outcome, fold, edges, loader.store.observed(),
            schedule, rng,
        )  # fmt: skip


def fit_network(
    data: EvaluationData,
    outcome: Outcome,
    fit: Fit,
    network: tuple[Prime, PatientLoader],
    followed: Followed,
) -> pd.DataFrame:
    """Predictions of one fine-tuned fold; `followed` is told of its epochs."""
    (fold,) = fit.folds
    tuned = Finetuning(*network, outcome, fold, data.settings, fit.seed, fit.missing)
    with followed:
        tuned.fit(followed.log)
    if data.settings.finetune.calibrate:
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
