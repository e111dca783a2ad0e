"""PRIME: tokenizers, prototype bank, refiners and backbone (paper section III)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prime.model.attention import init_linear, module_key
from prime.model.backbone import Backbone
from prime.model.constants import MeanTokens, constant_tokens
from prime.model.heads import ProjectionHead
from prime.model.moe import Routing
from prime.model.prototypes import PrototypeBank, consensus, impute
from prime.model.refiner import Refiner
from prime.model.tokenizer import ModalityTokenizer
from prime.seeds import named_seed
from prime.settings.model import ModelConfig
from prime.store.batch import Batch
from prime.store.inputs import InputSpec


@dataclass(frozen=True)
class Completed:
    """A batch up to imputation: every modality has tokens.

    Attributes:
        observed: (B, M) bool.
        tokens: (B, M, K, D) tokens before refinement, own or imputed (U, Eq. 6).
        consensus: (B, N) prototype consensus (Eq. 5); (B, 1) ones where imputation uses no prototypes.
    """

    observed: Tensor
    tokens: Tensor
    consensus: Tensor


@dataclass(frozen=True)
class Encoding(Completed):
    """A batch after the whole network.

    Attributes:
        refined: (B, M, K, D) what enters the backbone (Eq. 7).
        fused: (B, M, K, D) contextualised tokens.
        routings: one for each sparse block.
    """

    refined: Tensor
    fused: Tensor
    routings: list[Routing]


def reliability_pool(fused: Tensor, reliable: Tensor) -> Tensor:
    """Mean of the fused tokens over reliable positions only (Eq. 13).

    fused (B, M, K, D), reliable (B, M, K) bool. Zero where a patient has no reliable token. Returns (B, D).
    """
    weight = reliable.to(torch.float32)[..., None]
    total = torch.where(weight > 0, fused.float(), 0.0).sum(dim=(1, 2))
    return total / weight.sum(dim=(1, 2)).clamp_min(1.0)


class Prime(nn.Module):
    """The whole network. Names of modalities carry no meaning for it, only their order does."""

    def __init__(self, inputs: InputSpec, config: ModelConfig) -> None:
        super().__init__()
        self.inputs = inputs
        self.config = config
        names = list(inputs.modalities)
        self.tokenizers = nn.ModuleDict(
            {
                module_key(name): ModalityTokenizer(
                    {s: inputs.sources[s] for s in inputs.modalities[name]}, config
                )
                for name in names
            }
        )
        self.bank = (
            PrototypeBank(config)
            if config.imputation == "prototypes"
            else constant_tokens(len(names), config)
        )
        self.refiners = nn.ModuleDict(
            {module_key(name): Refiner(config) for name in names} if config.refiner else {}
        )
        self.backbone = Backbone(len(names), config)
        self.alignment_heads = nn.ModuleDict(
            {module_key(name): ProjectionHead(config.dim, config.projection_dim) for name in names}
        )
        self.fusion_head = ProjectionHead(config.dim, config.projection_dim)
        self.apply(init_linear)

    def tokenize(self, batch: Batch, hide: float = 0.0) -> Tensor:
        """Tokens of the observed modalities (Eq. 2), zeros elsewhere. Returns (B, M, K, D).

        `hide` is the share of input tokens hidden at random, for pretraining.
        """
        parts = [
            self.tokenizers[module_key(name)]({s: batch.sources[s] for s in sources}, hide)
            for name, sources in self.inputs.modalities.items()
        ]
        return torch.stack(parts, dim=1).float()

    def align(self, tokens: Tensor) -> Tensor:
        """Alignment embeddings of each modality (Eq. 10): (B, M, K, D) to (B, M, P)."""
        heads = list(self.alignment_heads.values())
        return torch.stack([head(tokens[:, m].mean(dim=1)) for m, head in enumerate(heads)], dim=1)

    def refine(self, tokens: Tensor, observed: Tensor) -> Tensor:
        """Refined tokens (Eq. 7), (B, M, K, D).

        `refine_observed: false` leaves own tokens as they are, `refiner: false` all of them.
        """
        if not self.config.refiner:
            return tokens
        refined = torch.stack(
            [refiner(tokens[:, m]) for m, refiner in enumerate(self.refiners.values())], dim=1
        ).float()
        return (
            refined
            if self.config.refine_observed
            else torch.where(observed[..., None, None], tokens, refined)
        )

    def learn_mean(self, own: Tensor, observed: Tensor) -> None:
        """In training, update the running mean (`imputation: mean`) with own tokens (B, M, K, D).

        To be called after imputation, so that a step imputes the mean of earlier steps only.
        """
        if self.training and isinstance(self.bank, MeanTokens):
            self.bank.update(own, observed)

    def complete(self, own: Tensor, observed: Tensor) -> Completed:
        """Own tokens (B, M, K, D), and imputed ones where a modality is not observed (B, M).

        Raises ValueError for a patient without any.
        """
        agreed = consensus(self.bank.assign(own), observed)  # (B, N)
        tokens = impute(own, observed, self.bank.fill(agreed).expand_as(own))
        self.learn_mean(own, observed)
        return Completed(observed, tokens, agreed)

    def encode(self, found: Completed) -> Encoding:
        """Refine and fuse the tokens of a completed batch."""
        refined = self.refine(found.tokens, found.observed)
        fused, routings = self.backbone(refined)
        return Encoding(found.observed, found.tokens, found.consensus, refined, fused.float(), routings)

    def forward(self, batch: Batch) -> Encoding:
        """Encode patients with the modalities that they have. Raises ValueError for one without any."""
        return self.encode(self.complete(self.tokenize(batch), batch.observed))


def random_prime(inputs: InputSpec, config: ModelConfig, seed: int) -> Prime:
    """PRIME with the random weights of a seed: those that pretraining with this seed starts from."""
    torch.manual_seed(named_seed(seed, "weights"))
    return Prime(inputs, config)
