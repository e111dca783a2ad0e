"""PRIME under pretraining: one forward pass gives all that the losses read (paper III-E)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prime.model.prime import Prime, reliability_pool
from prime.model.prototypes import PrototypeBank, consensus
from prime.objectives.augmentation import dirichlet_weights, fill_dropped, sample_kept
from prime.pretraining.principal import Components
from prime.pretraining.retention import RetentionDecoder
from prime.settings.pretraining import LEARNED_TEMPERATURE
from prime.store.batch import Batch

VIEWS = 2


@dataclass(frozen=True)
class AugmentationSettings:
    """Eq. 12: drop rates, Dirichlet concentration, sparsity, and the choices the paper leaves open."""

    drop_modality: float
    drop_token: float
    kappa: float
    top_k: int
    noise: bool
    noise_on_missing: bool
    dropped_assignment: str


class Wrapped:
    """Carries a batch through Fabric's forward, which would otherwise try to rebuild the frozen dataclass."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch


class Predictor(nn.Module):
    """Predicts hidden tokens from fused ones; used only by the optional prediction loss."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )

    def forward(self, fused: Tensor) -> Tensor:
        """(..., D) to (..., D)."""
        return self.layers(fused)


class PretrainingModel(nn.Module):
    """PRIME, its two views, and the temperature."""

    def __init__(
        self,
        prime: Prime,
        augmentation: AugmentationSettings,
        temperature: float,
        learn_temperature: bool,
        predict: bool,
        summaries: dict[str, Components] | None = None,
        hide_input: float = 0.0,
    ) -> None:
        super().__init__()
        self.prime = prime
        self.augmentation = augmentation
        self.log_temperature = nn.Parameter(torch.tensor(temperature).log(), requires_grad=learn_temperature)
        self.predictor = Predictor(prime.config.dim) if predict else None
        self.retention = (
            None if summaries is None else RetentionDecoder(prime.inputs, summaries, prime.config.dim)
        )
        self.hide_input = hide_input

    def temperature(self) -> Tensor:
        """The InfoNCE temperature, a scalar."""
        return self.log_temperature.exp()

    @torch.no_grad()
    def hold_temperature(self) -> None:
        """Bring a learned temperature that left its range back to the nearer end; once after each step."""
        if self.log_temperature.requires_grad:
            self.log_temperature.clamp_(*map(math.log, LEARNED_TEMPERATURE))

    def view(
        self, own: Tensor, observed: Tensor, assignments: Tensor, agreed: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One augmented view before refinement: tokens (B, M, K, D) and kept (B, M, K)."""
        settings = self.augmentation
        kept = sample_kept(observed, own.shape[2], settings.drop_modality, settings.drop_token)
        return fill_dropped(own, self._filling(observed, assignments, agreed).expand_as(own), kept), kept

    def _filling(self, observed: Tensor, assignments: Tensor, agreed: Tensor) -> Tensor:
        """What replaces dropped and missing tokens, shaped to fit (B, M, K, D)."""
        settings, bank = self.augmentation, self.prime.bank
        if not isinstance(bank, PrototypeBank):
            return bank.fill(agreed)
        use_own = observed if settings.dropped_assignment == "own" else torch.zeros_like(observed)
        base = torch.where(use_own[..., None], assignments, agreed[:, None])  # (B, M, N)
        weights = dirichlet_weights(base, settings.kappa, settings.top_k, settings.noise)
        if not settings.noise_on_missing:
            weights = torch.where(observed[..., None], weights, base)
        return bank.mix(weights)

    def forward(self, wrapped: Wrapped) -> dict[str, Tensor | list[Tensor]]:
        """All tensors the losses read, for B patients and V = 2 views.

        observed (B, M); own (B, M, K, D); alignment (B, M, P); views (B, V, P); pooled (B, V, D);
        kept (B, V, M, K); consensus (B, N), or (B, 1) without prototypes; probabilities and experts of every
        sparse block, (B, V*M*K, E) and (B, V*M*K, k), none without the mixture; predicted (B, V, M, K, D)
        where the prediction loss is on; decoded and summaries (B, S, C), has_source (B, S) and components
        (B, S) where the retention loss is on.
        """
        batch = wrapped.batch
        observed = batch.observed
        own = self.prime.tokenize(batch, self.hide_input if self.training else 0.0)
        assignments = self.prime.bank.assign(own)  # (B, M, N)
        agreed = consensus(assignments, observed)  # (B, N)
        made = [self.view(own, observed, assignments, agreed) for _ in range(VIEWS)]
        self.prime.learn_mean(own, observed)
        tokens = torch.cat([tokens for tokens, _ in made])  # (V*B, M, K, D)
        kept = torch.cat([kept for _, kept in made])  # (V*B, M, K)
        refined = self.prime.refine(tokens, kept.any(dim=-1))
        fused, routings = self.prime.backbone(refined)
        pooled = reliability_pool(fused, kept)  # (V*B, D)

        def by_patient(x: Tensor) -> Tensor:
            return x.view(VIEWS, -1, *x.shape[1:]).transpose(0, 1)  # (B, V, ...)

        def slots(x: Tensor) -> Tensor:
            return by_patient(x.view(len(fused), -1, x.shape[-1])).flatten(1, 2)  # (B, V*M*K, ...)

        out: dict[str, Tensor | list[Tensor]] = {
            "observed": observed,
            "own": own,
            "alignment": self.prime.align(own),
            "views": by_patient(self.prime.fusion_head(pooled)),
            "pooled": by_patient(pooled),
            "kept": by_patient(kept),
            "consensus": agreed,
            "probabilities": [slots(r.probabilities) for r in routings],
            "experts": [slots(r.experts) for r in routings],
        }
        if self.predictor is not None:
            out["predicted"] = by_patient(self.predictor(fused).float())
        if self.retention is not None:
            out["decoded"], out["summaries"], out["has_source"] = self.retention(own, batch)
            out["components"] = self.retention.components.expand(len(observed), -1)
        return out
