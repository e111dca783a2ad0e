"""Settings of the model. Values the paper does not state are marked "assumed" here and in docs/method.md."""

from typing import Literal

from pydantic import Field, model_validator

from prime.settings.strict import Strict


class ModelConfig(Strict):
    """The network (paper section III).

    Only `prototypes` (128, from Fig. 4) is the paper's; every other default is assumed. The ablations are
    `imputation` (any value but prototypes), `refiner: false` and `mixture: false`; see docs/method.md.
    """

    dim: int = Field(default=128, ge=8)
    queries: int = Field(default=16, ge=1)
    heads: int = Field(default=4, ge=1)
    mlp_ratio: int = Field(default=4, ge=1)
    blocks: int = Field(default=4, ge=1)
    experts: int = Field(default=8, ge=1)
    top_k: int = Field(default=2, ge=1)
    prototypes: int = Field(default=128, ge=2)
    temperature: float = Field(default=0.1, gt=0)
    similarity: Literal["cosine", "dot"] = "cosine"
    detach_assignment: bool = False
    imputation: Literal["prototypes", "zero", "mean", "mask"] = "prototypes"
    mean_decay: float = Field(default=0.99, ge=0, le=1)
    refiner: bool = True
    refine_observed: bool = True
    mixture: bool = True
    gate: Literal["add", "concat"] = "add"
    modality_embedding: bool = True
    position_embedding: bool = False
    projection_dim: int = Field(default=128, ge=2)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    attention: Literal["auto", "matmul", "sdpa"] = "auto"

    @model_validator(mode="after")
    def _consistent(self) -> "ModelConfig":
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} must be a multiple of heads {self.heads}")
        if self.top_k > self.experts:
            raise ValueError(f"top_k {self.top_k} cannot exceed experts {self.experts}")
        return self
