"""Gated attention pooling of a bag of instances (Ilse et al., ICML 2018, Eq. 7 and 9)."""

import torch
from torch import Tensor, nn


class GatedAttentionPooling(nn.Module):
    """z = sum_i a_i h_i with a = softmax_i(w (tanh(V h_i) * sigmoid(U h_i))).

    Dropout follows each of the two branches, as in pathology models. w has no bias: softmax would remove it.
    """

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.content, self.gate = nn.Linear(dim, hidden), nn.Linear(dim, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)
        self.dropout = nn.Dropout(dropout)

    def weights(self, x: Tensor, mask: Tensor) -> Tensor:
        """Attention weights (B, S), float32, of x (B, S, D) without NaN: zero outside the mask (B, S) bool.

        They sum to 1 where the mask holds something.
        """
        content = self.dropout(torch.tanh(self.content(x)))  # (B, S, hidden)
        gate = self.dropout(torch.sigmoid(self.gate(x)))
        scores = self.score(content * gate).squeeze(-1).float()  # (B, S)
        lowest = torch.finfo(scores.dtype).min  # not -inf: softmax over nothing would be NaN
        return torch.where(mask, scores.masked_fill(~mask, lowest).softmax(dim=1), 0.0)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Pool x (B, S, D), whose masked rows can hold anything; mask (B, S) bool.

        Returns (B, D), float32, zero for an empty bag.
        """
        x = x.masked_fill(~mask[..., None], 0.0)
        return (self.weights(x, mask)[..., None] * x.float()).sum(dim=1)
