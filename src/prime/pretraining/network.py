"""PRIME under pretraining: two augmented views of a batch, and the losses that are made of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from prime.model.prime import Prime, reliability_pool
from prime.model.prototypes import PrototypeBank, consensus
from prime.objectives.augmentation import dirichlet_weights, fill_dropped, sample_kept
from prime.pretraining.diagnostics import expert_use, neighbour_accuracy, prototype_use, spread
from prime.pretraining.losses.interface import VIEWS, ForwardPass, PretrainingLoss, Tensors
from prime.settings.pretraining import LEARNED_TEMPERATURE, PretrainConfig
from prime.store.batch import Batch

NETWORK = "network"


class OpaqueBatch:
    """A batch that Fabric hands on as it is; it would try to rebuild the frozen dataclass."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch


@dataclass
class Found:
    """What a forward pass gives for B patients, by the name of a loss, each (B, ...).

    Attributes:
        rows: the tensors that each loss reads.
        diagnosed: those that diagnostics read, of each loss and of the `network` itself, without gradients.
    """

    rows: dict[str, Tensors]
    diagnosed: dict[str, Tensors]


class PretrainingModel(nn.Module):
    """PRIME, the losses that train it, and their temperature."""

    def __init__(self, prime: Prime, settings: PretrainConfig, losses: Mapping[str, PretrainingLoss]) -> None:
        super().__init__()
        self.prime = prime
        self.settings = settings
        learn = settings.learn_temperature
        self.log_temperature = nn.Parameter(torch.tensor(settings.temperature).log(), requires_grad=learn)
        self.losses = nn.ModuleDict(losses)

    @property
    def loss_of(self) -> Mapping[str, PretrainingLoss]:
        """The losses by name."""
        return cast(Mapping[str, PretrainingLoss], self.losses)

    def temperature(self) -> Tensor:
        """The temperature of InfoNCE, a scalar."""
        return self.log_temperature.exp()

    @torch.no_grad()
    def hold_temperature(self) -> None:
        """Bring a learned temperature that a step took out of its range back to the nearer end."""
        if self.log_temperature.requires_grad:
            self.log_temperature.clamp_(*map(math.log, LEARNED_TEMPERATURE))

    def view(
        self, own: Tensor, observed: Tensor, assignments: Tensor, agreed: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One augmented view before refinement (Eq. 12): tokens (B, M, K, D) and kept (B, M, K)."""
        settings = self.settings
        kept = sample_kept(observed, own.shape[2], settings.drop_modality, settings.drop_token)
        return fill_dropped(own, self._filling(observed, assignments, agreed).expand_as(own), kept), kept

    def _filling(self, observed: Tensor, assignments: Tensor, agreed: Tensor) -> Tensor:
        """What replaces dropped and missing tokens, of a shape that expands to (B, M, K, D)."""
        settings, bank = self.settings, self.prime.bank
        if not isinstance(bank, PrototypeBank):
            return bank.fill(agreed)
        use_own = observed if settings.dropped_assignment == "own" else torch.zeros_like(observed)
        base = torch.where(use_own[..., None], assignments, agreed[:, None])  # (B, M, N)
        weights = dirichlet_weights(base, settings.kappa, settings.top_k, settings.dirichlet_noise)
        if not settings.dirichlet_missing:
            weights = torch.where(observed[..., None], weights, base)
        return bank.mix(weights)

    def forward(self, opaque: OpaqueBatch) -> Found:
        """Two views of B patients through the network, and what losses and diagnostics read of them."""
        batch = opaque.batch
        observed = batch.observed
        own = self.prime.tokenize(batch, self.settings.hide_input if self.training else 0.0)
        assignments = self.prime.bank.assign(own)  # (B, M, N)
        agreed = consensus(assignments, observed)  # (B, N)
        views = [self.view(own, observed, assignments, agreed) for _ in range(VIEWS)]
        self.prime.learn_mean(own, observed)
        tokens = torch.cat([tokens for tokens, _ in views])  # (V*B, M, K, D)
        kept = torch.cat([kept for _, kept in views])  # (V*B, M, K)
        refined = self.prime.refine(tokens, kept.any(dim=-1))
        fused, routings = self.prime.backbone(refined)
        pooled = reliability_pool(fused, kept)  # (V*B, D)
        made = ForwardPass(self.prime, batch, observed, own, kept, fused, pooled, routings)
        rows = {name: loss.tensors(made) for name, loss in self.loss_of.items()}
        diagnosed = {n: {key: rows[n][key] for key in loss.diagnosed} for n, loss in self.loss_of.items()}
        first_view = pooled[: len(own)]
        diagnosed[NETWORK] = {
            "pooled": first_view, "consensus": agreed, "experts": made.routed("experts")
        }  # fmt: skip
        detached = {n: {key: x.detach() for key, x in tensors.items()} for n, tensors in diagnosed.items()}
        return Found(rows, detached)

    def weigh(self, rows: dict[str, Tensors]) -> dict[str, Tensor]:
        """The losses and `total`, their weighted sum (Eq. 16), of the tensors of all processes; scalars."""
        temperature, losses = self.temperature(), self.loss_of
        terms = {name: losses[name].term(tensors, temperature) for name, tensors in rows.items()}
        weighted = [losses[name].settings.weight * term for name, term in terms.items()]
        return {**terms, "total": torch.stack(weighted).sum()}

    def diagnose(self, diagnosed: dict[str, Tensors], types: Tensor) -> dict[str, Any]:
        """Entries of the log beside the losses, from the tensors of `Found.diagnosed`, as JSON.

        types (B,) int64: their cancer types.
        """
        modalities = list(self.prime.inputs.modalities)
        result: dict[str, Any] = {}
        for name, loss in self.loss_of.items():
            result |= loss.diagnose(diagnosed[name], types, modalities)
        seen = diagnosed[NETWORK]
        places = self.prime.backbone.modality.repeat(VIEWS).cpu()  # (V*M*K,)
        return {
            **result,
            "cancer_type_knn": neighbour_accuracy(seen["pooled"], types),
            "spread": spread(seen["pooled"]),
            **prototype_use(seen["consensus"]),
            **expert_use(seen["experts"], places, len(modalities), self.prime.config.experts),
        }
