"""Full fine-tuning of PRIME with a survival head, from a checkpoint or from random weights (paper IV-C)."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import copy
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prime.cohort.batch import Batch
from prime.cohort.loading import PatientLoader
from prime.cohort.splits import Fold, named_seed
from prime.model.prime import Prime
from prime.objectives.survival import assign_bins, nll, survival
from prime.training.config import EvaluateConfig, ReadoutConfig
from prime.training.embed import read_out
from prime.training.hazard_model import baseline_logits, person_periods
from prime.training.outcomes import Outcome

Indices = NDArray[np.int64]


class SurvivalModel(nn.Module):
    """PRIME and a linear hazard head on its readout, which starts at the same hazards (T,) for everyone."""

    def __init__(
        self, prime: Prime, readout: ReadoutConfig, blocks: int, width: int, baseline: Tensor
    ) -> None:
        super().__init__()
        self.prime = prime
        self.readout = readout
        self.head = nn.Sequential(
            nn.Flatten(), nn.LayerNorm(blocks * width), nn.Linear(blocks * width, len(baseline))
        )
        linear = self.head[2]
        assert isinstance(linear, nn.Linear)
        nn.init.zeros_(linear.weight)
        with torch.no_grad():
            linear.bias.copy_(baseline)

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, T), float32."""
        return self.head(read_out(self.prime(batch), self.readout).float()).float()


def _minibatches(rng: np.random.Generator, patients: Indices, size: int) -> list[Indices]:
    return np.array_split(rng.permutation(patients), max(1, round(len(patients) / size)))


def _drop_modalities(observed: NDArray[np.bool_], rate: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Modality dropout of (B, M); every patient keeps at least one observed modality."""
    noise = np.where(observed, rng.random(observed.shape), -1.0)
    kept = observed & (noise >= rate)
    kept[np.arange(len(kept)), noise.argmax(axis=1)] |= ~kept.any(axis=1)
    return kept


class Finetuning:
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
        self.loader, self.outcome, self.fold = loader, outcome, fold
        self.config, self.alpha = settings.finetune, settings.alpha
        readout = settings.finetune.readout
        self.edges = outcome.edges(fold.train, settings.bins)
        self.drop_modality = settings.finetune.drop_modality if missing else 0.0
        self.observed = loader.store.observed()
        self.rng = np.random.default_rng(named_seed(seed, "finetune", fold.cohort, fold.fold))
        torch.manual_seed(named_seed(seed, "finetune", fold.cohort, fold.fold))
        prime = copy.deepcopy(prime).eval()
        self.device = next(prime.parameters()).device
        with torch.inference_mode():
            shape = read_out(prime(loader.batch(fold.train[:2]).to(self.device)), readout).shape
        blocks, width = shape[1], shape[2]
        self.model = SurvivalModel(prime, readout, blocks, width, self._baseline()).to(self.device)

    def _baseline(self) -> Tensor:
        """Hazard logits (T,) of the training patients as a whole, which the head starts from."""
        train = self.fold.train
        label = torch.from_numpy(assign_bins(self.outcome.time_days[train], self.edges))
        event = torch.from_numpy(self.outcome.event[train])
        return baseline_logits(*person_periods(label, event, len(self.edges) - 1)).float()

    def _optimizer(self) -> torch.optim.Optimizer:
        config = self.config
        rates = {"prime": config.learning_rate, "head": config.head_learning_rate}
        groups = [
            {"params": list(getattr(self.model, name).parameters()), "lr": rate}
            for name, rate in rates.items()
        ]
        return torch.optim.AdamW(groups, weight_decay=config.weight_decay)

    def _logits(self, patients: Indices, kept: NDArray[np.bool_] | None) -> Tensor:
        batch = self.loader.batch(patients)
        if kept is not None:
            batch = batch.keep(torch.from_numpy(kept))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16-mixed"):
            return self.model(batch.to(self.device))

    def _loss(self, patients: Indices, kept: NDArray[np.bool_] | None, alpha: float) -> Tensor:
        label = torch.from_numpy(assign_bins(self.outcome.time_days[patients], self.edges)).to(self.device)
        event = torch.from_numpy(self.outcome.event[patients]).to(self.device)
        return nll(self._logits(patients, kept), label, event, alpha)

    def fit(self) -> int:
        """Train, stopping early on the validation likelihood. Returns the best epoch, whose weights stay."""
        optimizer, best, best_epoch = self._optimizer(), float("inf"), -1
        state = copy.deepcopy(self.model.state_dict())
        for epoch in range(self.config.epochs):
            self.model.train()
            for patients in _minibatches(self.rng, self.fold.train, self.config.batch_size):
                kept = None
                if self.drop_modality > 0:
                    kept = _drop_modalities(self.observed[patients], self.drop_modality, self.rng)
                optimizer.zero_grad(set_to_none=True)
                self._loss(patients, kept, self.alpha).backward()
                nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                optimizer.step()
            loss = self.validation_loss()
            if loss < best:
                best, best_epoch, state = loss, epoch, copy.deepcopy(self.model.state_dict())
            elif epoch - best_epoch >= self.config.patience:
                break
        self.model.load_state_dict(state)
        return best_epoch

    @torch.inference_mode()
    def validation_loss(self) -> float:
        """Negative log-likelihood (alpha 0) of the validation patients with whatever they have."""
        self.model.eval()
        return float(self._loss(self.fold.validation, None, 0.0))

    @torch.inference_mode()
    def predict(self, patients: Indices, keep: tuple[bool, ...], size: int = 256) -> NDArray[np.float64]:
        """Survival (n, T) of patients under a pattern that leaves each of them something."""
        self.model.eval()
        kept = self.observed[patients] & np.array(keep)
        parts = [
            survival(self._logits(patients[part], kept[part])).double().cpu().numpy()
            for part in _slices(len(patients), size)
        ]
        return np.concatenate(parts)


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
