"""What a pretraining loss is: it takes what it needs of the forward pass, and makes a scalar of it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from prime.arrays import Indices
from prime.catalogue.losses import LossSettings
from prime.model.moe import Routing
from prime.model.prime import Prime
from prime.store.batch import Batch
from prime.store.scaling import Scaling
from prime.store.store import Store

VIEWS = 2

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class TrainingData:
    """What a loss may look at before training begins.

    Attributes:
        store: the packed cohort.
        scaling: of its features, fitted on `patients`.
        patients: (n,) positions of the training patients in the store.
    """

    store: Store
    scaling: Scaling
    patients: Indices


@dataclass(frozen=True)
class ForwardPass:
    """One forward pass over B patients, each in V = 2 augmented views.

    Tensors of views are stacked view after view, (V*B, ...); `by_patient` gives them as (B, V, ...).

    Attributes:
        prime: the network.
        batch: its input.
        observed: (B, M) bool, True where the patient has the modality.
        own: (B, M, K, D) tokens of the observed modalities before augmentation, zeros elsewhere.
        kept: (V*B, M, K) bool, True where the view kept an own token.
        fused: (V*B, M, K, D) tokens after the backbone.
        pooled: (V*B, D) float32, `fused` pooled over `kept` (Eq. 13).
        routings: one for each sparse block, with V*B*M*K rows.
    """

    prime: Prime
    batch: Batch
    observed: Tensor
    own: Tensor
    kept: Tensor
    fused: Tensor
    pooled: Tensor
    routings: list[Routing]

    def by_patient(self, x: Tensor) -> Tensor:
        """(V*B, ...) to (B, V, ...)."""
        return x.view(VIEWS, -1, *x.shape[1:]).transpose(0, 1)

    def routed(self, name: str) -> Tensor:
        """An attribute of the routings of all L sparse blocks, (B, L, V*M*K, ...); (B, 0) where L = 0."""
        found = [getattr(routing, name) for routing in self.routings]
        if not found:
            return self.own.new_zeros((len(self.own), 0))
        rows = [self.by_patient(x.view(len(self.fused), -1, x.shape[-1])).flatten(1, 2) for x in found]
        return torch.stack(rows, dim=1)


class PretrainingLoss(nn.Module, ABC):
    """One term of the pretraining loss.

    In each step `tensors` runs inside the forward pass, on the patients of this process. What it returns is
    gathered over all processes, and `term` makes a scalar of it. Parameters of its own serve in `tensors`
    alone. A term that has nothing to compute (nobody has two modalities) is a zero that stays in the graph:
    all processes must have the same gradients to exchange.
    """

    diagnosed: ClassVar[tuple[str, ...]] = ()
    """The tensors that `diagnose` reads; they are kept for all validation patients."""

    def __init__(self, settings: LossSettings, prime: Prime, data: TrainingData) -> None:
        super().__init__()
        self.settings: Any = settings

    @abstractmethod
    def tensors(self, made: ForwardPass) -> Tensors:
        """What the term reads, by name, each (B, ...)."""

    @abstractmethod
    def term(self, rows: Tensors, temperature: Tensor) -> Tensor:
        """The loss, a scalar, from the tensors of the patients of all processes; not yet weighted.

        `temperature`: a scalar, that of InfoNCE.
        """

    def diagnose(self, rows: Tensors, types: Tensor, modalities: list[str]) -> dict[str, Any]:
        """Further entries of the log about the validation patients, as JSON.

        `rows`: the tensors of `diagnosed`; types (B,) int64: cancer types; names of the M modalities.
        """
        return {}
