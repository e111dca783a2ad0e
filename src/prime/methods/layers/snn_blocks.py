"""The block of self-normalising networks (Klambauer et al., NeurIPS 2017)."""

from typing import Literal

from torch import nn

Activation = Literal["elu", "selu"]


class SelfNormalisingBlock(nn.Sequential):
    """Linear, ELU or SELU, AlphaDropout: (..., in) to (..., out).

    Weights start at N(0, 1 / in), biases at zero, so that inputs of mean 0 and variance 1 stay so under SELU.
    AlphaDropout keeps mean and variance of SELU's outputs; behind ELU, where pathology models put it, only
    roughly.
    """

    def __init__(self, width_in: int, width_out: int, activation: Activation, dropout: float) -> None:
        linear = nn.Linear(width_in, width_out)
        nn.init.normal_(linear.weight, std=width_in**-0.5)
        nn.init.zeros_(linear.bias)
        super().__init__(linear, nn.ELU() if activation == "elu" else nn.SELU(), nn.AlphaDropout(dropout))
