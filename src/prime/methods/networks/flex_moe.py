"""Flex-MoE: a bank of tokens for what is missing, and one expert for each combination of modalities.

In one picture:

    tokens of what is there, and of the bank for (combination, missing modality) where not
    -> M * K tokens -> sparse and vanilla blocks (one expert a combination) -> mean -> head
"""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from prime.errors import InputError
from prime.methods.interface import FusionNetwork
from prime.methods.layers.tokens import Tokenizers
from prime.model.backbone import FusionBlock
from prime.model.heads import HazardHead, Prediction
from prime.model.moe import Routing
from prime.objectives.balance import balance_loss
from prime.settings.model import ModelConfig
from prime.settings.strict import Strict
from prime.store.batch import Batch
from prime.store.inputs import InputSpec


class FlexMoESettings(Strict):
    """`top_k` experts a token; `router_weight` weighs the two terms that train the router."""

    top_k: int = Field(default=2, ge=1)
    router_weight: float = Field(default=1e-2, ge=0)


def combination(observed: Tensor) -> Tensor:
    """The number 0 ... 2^M - 2 of a patient's combination of modalities; 2^M - 2 is all of them.

    observed (B, M) bool with one True a row; modality m counts 2^m. Returns (B,) int64.
    """
    bits = 2 ** torch.arange(observed.shape[1], device=observed.device)
    return (observed * bits).sum(dim=1) - 1


def specialisation_loss(probabilities: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy that pushes the first choice of tokens to their expert (S-router, Yun et al. 2024).

    probabilities (S, E): the router's full softmax; target (S,) int64. Returns the mean, zero without tokens.
    """
    chosen = probabilities.gather(1, target[:, None])
    tiny = torch.finfo(probabilities.dtype).tiny
    return -chosen.clamp_min(tiny).log().sum() / max(1, len(target))


class MissingBank(nn.Module):
    """Learned tokens for every pair of an observed combination and a modality that it lacks.

    An entry is the modality's shared tokens plus what is the pair's own, which starts at zero: a combination
    that training never showed falls back to the tokens that the other combinations trained.
    """

    rows: Tensor

    def __init__(self, modalities: int, config: ModelConfig) -> None:
        super().__init__()
        pairs = [(c, m) for c in range(2**modalities - 1) for m in range(modalities) if not (c + 1) >> m & 1]
        rows = torch.zeros(2**modalities - 1, modalities, dtype=torch.int64)
        for row, pair in enumerate(pairs):
            rows[pair] = row
        self.register_buffer("rows", rows, persistent=False)
        self.shared = nn.Parameter(torch.randn(modalities, config.queries, config.dim))
        self.own = nn.Parameter(torch.zeros(len(pairs), config.queries, config.dim))

    def forward(self, tokens: Tensor, observed: Tensor) -> Tensor:
        """tokens (B, M, K, D), observed (B, M) bool. Returns tokens with the missing ones from the bank."""
        entries = self.shared + self.own[self.rows[combination(observed)]]  # (B, M, K, D)
        return torch.where(observed[..., None, None], tokens, entries)


def router_losses(routings: list[Routing], observed: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
    """The two terms that train the router, means over sparse blocks.

    observed (B, M) bool; `tokens`: tokens of a patient, all of them routed. Returns the balance over complete
    patients' tokens (G-router) and the specialisation loss of the others' (S-router), scalars.
    """
    complete = observed.all(dim=1).repeat_interleave(tokens)  # (B * tokens,)
    target = combination(observed).repeat_interleave(tokens)[~complete]
    balance = [balance_loss(r.probabilities, r.experts, complete) for r in routings]
    special = [specialisation_loss(r.probabilities[~complete], target) for r in routings]
    return torch.stack(balance).mean(), torch.stack(special).mean()


class FlexMoE(FusionNetwork):
    """Tokens of the bank where a modality is missing, sparse and vanilla blocks in turn, mean, head."""

    Settings = FlexMoESettings

    modality: Tensor

    def __init__(self, inputs: InputSpec, config: ModelConfig, settings: Any, baseline: Tensor) -> None:
        super().__init__(inputs, config, settings, baseline)
        count = len(inputs.modalities)
        experts = 2**count - 1
        if count < 2:
            raise InputError(
                "flex_moe has an expert for each combination of modalities; it needs two or more modalities"
            )
        if settings.top_k > experts:
            raise InputError(f"flex_moe: top_k {settings.top_k} exceeds the {experts} experts")
        mixture = config.model_copy(update={"experts": experts, "top_k": settings.top_k})
        self.tokenizers = Tokenizers(inputs, config)
        self.bank = MissingBank(count, config)
        self.blocks = nn.ModuleList(
            FusionBlock(count, mixture, sparse=i % 2 == 0) for i in range(config.blocks)
        )
        self.norm = nn.LayerNorm(config.dim)
        self.head = HazardHead(config.dim, baseline)
        self.register_buffer(
            "modality", torch.arange(count).repeat_interleave(config.queries), persistent=False
        )

    def forward(self, batch: Batch) -> Prediction:
        """Hazard logits of a batch, and the router's terms, weighted."""
        observed = batch.observed
        x = self.bank(self.tokenizers(batch), observed).flatten(1, 2)  # (B, M * K, D)
        routings: list[Routing] = []
        for block in self.blocks:
            x, routing = block(x, self.modality)
            if routing is not None:
                routings.append(routing)
        balance, special = router_losses(routings, observed, x.shape[1])
        weight = self.settings.router_weight
        logits = self.head(self.norm(x).mean(dim=1))
        return Prediction(logits, {"balance": weight * balance, "specialisation": weight * special})
