"""Sparse mixture of experts with a modality-aware gate (paper III-D, Eq. 9)."""

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prime.settings.model import ModelConfig


@dataclass(frozen=True)
class Routing:
    """To which experts S tokens were sent.

    Attributes:
        probabilities: (S, E) float32, the full softmax of the router.
        experts: (S, k) int64, the chosen experts.
    """

    probabilities: Tensor
    experts: Tensor


def route(logits: Tensor, top_k: int) -> tuple[Tensor, Routing]:
    """Top-k of the router's softmax, renormalised over the chosen (Eq. 9).

    logits (S, E) float32. Returns weights (S, k) that sum to 1, and the routing. `topk` breaks ties by
    position on a given machine, so the choice is deterministic.
    """
    probabilities = logits.softmax(dim=-1)
    top, experts = probabilities.topk(top_k, dim=-1)
    return top / top.sum(dim=-1, keepdim=True), Routing(probabilities, experts)


class MixtureOfExperts(nn.Module):
    """E feed-forward experts; each token goes to its k best, and none is dropped."""

    def __init__(self, modalities: int, config: ModelConfig) -> None:
        super().__init__()
        dim, hidden, experts = config.dim, config.mlp_ratio * config.dim, config.experts
        self.top_k = config.top_k
        self.concatenate = config.gate == "concat"
        self.modality = nn.Parameter(torch.randn(modalities, dim) * 0.02)
        self.router = nn.Linear(2 * dim if self.concatenate else dim, experts, bias=False)
        self.weight_in = nn.Parameter(torch.empty(experts, hidden, dim))
        self.bias_in = nn.Parameter(torch.zeros(experts, hidden))
        self.weight_out = nn.Parameter(torch.empty(experts, dim, hidden))
        self.bias_out = nn.Parameter(torch.zeros(experts, dim))
        for expert in range(experts):
            nn.init.xavier_uniform_(self.weight_in[expert])
            nn.init.xavier_uniform_(self.weight_out[expert])

    def gate_logits(self, x: Tensor, modality: Tensor) -> Tensor:
        """Router logits (S, E) in float32 for tokens x (S, D) of modalities (S,) int64."""
        with torch.autocast(x.device.type, enabled=False):
            embedding = self.modality[modality]
            gate = torch.cat([x.float(), embedding], -1) if self.concatenate else x.float() + embedding
            return self.router(gate)

    def forward(self, x: Tensor, modality: Tensor) -> tuple[Tensor, Routing]:
        """x (S, D), modality (S,) int64. Returns (S, D) and the routing, which is not stored."""
        weights, routing = route(self.gate_logits(x, modality), self.top_k)
        slots = routing.experts.flatten()  # (S*k,)
        order = slots.argsort(stable=True)
        counts = cast(list[int], torch.bincount(slots, minlength=self.weight_in.shape[0]).tolist())
        token = order // self.top_k
        gathered = x.index_select(0, token)
        outputs = [self._expert(expert, part) for expert, part in enumerate(torch.split(gathered, counts))]
        scaled = torch.cat(outputs).float() * weights.flatten().index_select(0, order)[:, None]
        result = torch.zeros(x.shape, dtype=torch.float32, device=x.device).index_add(0, token, scaled)
        return result, routing

    def _expert(self, expert: int, x: Tensor) -> Tensor:
        hidden = F.gelu(F.linear(x, self.weight_in[expert], self.bias_in[expert]))
        return F.linear(hidden, self.weight_out[expert], self.bias_out[expert])
