"""Vision transformers as timm stores them (Dosovitskiy et al., ICLR 2021; Oquab et al., TMLR 2024).

Covered are class and register tokens with or without positions, LayerScale, GELU and packed SwiGLU, attention
with or without bias, and a final norm before or after pooling.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prime.encode.slides.encoders.interface import Pooling

EPSILON = 1e-6  # of layer norms
HEADS = {192: 3, 320: 5, 384: 6, 512: 8, 768: 12, 1024: 16, 1280: 16, 1408: 16, 1536: 24, 1664: 16}
POOLINGS: dict[str, Pooling] = {"token": "cls", "avg": "mean", "": "cls+mean"}  # timm's global_pool
IGNORED = ("head.", "head_dist.")  # classifiers

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class ViTShape:
    """What a checkpoint is.

    Attributes:
        dim, depth, heads: width of tokens, number of blocks, heads of attention.
        patch: side of a patch in pixels.
        grid: patches on a side for which there are positions.
        has_class: whether there is a class token; `registers`: how many tokens more.
        placed: whether class and register tokens have positions too.
        gated: whether the MLPs are packed SwiGLU.
        pooling: the checkpoint's own.
    """

    dim: int
    depth: int
    heads: int
    patch: int
    grid: int
    has_class: bool
    registers: int
    placed: bool
    gated: bool
    pooling: Pooling

    @property
    def prefix(self) -> int:
        """How many tokens stand before those of the patches."""
        return int(self.has_class) + self.registers


def shape_of(config: Mapping[str, Any], shapes: Shapes) -> ViTShape:
    """What the config and the shapes of the tensors tell.

    Raises ValueError where they do not fit together.
    """
    arguments: dict[str, Any] = dict(config.get("model_args") or {})
    for key in ("patch_embed.proj.weight", "pos_embed", "blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc2.weight"):
        if key not in shapes:
            raise ValueError(f"the weights lack {key}")
    dim, _, patch, _ = shapes["patch_embed.proj.weight"]
    heads = arguments.get("num_heads") or HEADS.get(dim)
    if not heads or dim % heads:
        raise ValueError(f"tokens of {dim} numbers: state num_heads under model_args in config.json")
    registers = shapes["reg_token"][1] if "reg_token" in shapes else 0
    has_class = "cls_token" in shapes
    positions = shapes["pos_embed"][1]
    placed = not arguments.get("no_embed_class", _is_square(positions))
    patches = positions - (int(has_class) + registers if placed else 0)
    if not _is_square(patches):
        raise ValueError(f"{positions} positions are not those of a square of patches")
    inside, out = shapes["blocks.0.mlp.fc1.weight"][0], shapes["blocks.0.mlp.fc2.weight"][1]
    if inside not in (out, 2 * out):
        raise ValueError(f"MLPs of {inside} and {out} numbers are neither plain nor packed SwiGLU")
    pool = str(config.get("global_pool", arguments.get("global_pool", "token")))
    if pool not in POOLINGS:
        raise ValueError(f"global_pool {pool!r}; read are {', '.join(map(repr, POOLINGS))}")
    pooling: Pooling = "mean" if not has_class else POOLINGS[pool]
    numbers = {key.split(".")[1] for key in shapes if key.startswith("blocks.")}
    shape = ViTShape(
        dim, len(numbers), int(heads), patch, isqrt(patches), has_class, registers, placed,
        inside == 2 * out, pooling,
    )  # fmt: skip
    _require_keys(shape, shapes)
    return shape


def _is_square(number: int) -> bool:
    return number > 0 and isqrt(number) ** 2 == number


def _require_keys(shape: ViTShape, shapes: Shapes) -> None:
    """Raise ValueError where a tensor is missing or is one that the network does not have."""
    pairs = ["patch_embed.proj"] + ["norm_pre"] * ("norm_pre.weight" in shapes)
    pairs += [name for name in ("norm", "fc_norm") if f"{name}.weight" in shapes] or ["norm"]
    parts = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    pairs += [f"blocks.{i}.{part}" for i in range(shape.depth) for part in parts]
    wanted = {f"{pair}.{kind}" for pair in pairs for kind in ("weight", "bias")} | {"pos_embed"}
    wanted |= {"cls_token"} if shape.has_class else set()
    wanted |= {"reg_token"} if shape.registers else set()
    if "blocks.0.ls1.gamma" in shapes:
        wanted |= {f"blocks.{i}.ls{n}.gamma" for i in range(shape.depth) for n in (1, 2)}
    if "blocks.0.attn.qkv.bias" not in shapes:
        wanted -= {f"blocks.{i}.attn.qkv.bias" for i in range(shape.depth)}
    there = {key for key in shapes if not key.startswith(IGNORED)}
    missing, strange = sorted(wanted - there), sorted(there - wanted)
    told = [f"the weights lack {len(missing)} tensors, first {missing[0]}"] if missing else []
    told += [f"hold {len(strange)} of another network, first {strange[0]}"] if strange else []
    if told:
        raise ValueError("; ".join(told))


class TimmViT(nn.Module):
    """From pixels (b, 3, px, px) to tokens (b, prefix + patches, dim), after the last norm, if there is one.

    Args:
        shape: of the checkpoint.
        weights: by timm's names.
        grid: patches on a side of what it will see; positions are interpolated where this is not the shape's.
    """

    def __init__(self, shape: ViTShape, weights: Mapping[str, Tensor], grid: int) -> None:
        super().__init__()
        self.shape = shape
        kept = {key: value for key, value in weights.items() if not key.startswith(IGNORED)}
        kept["pos_embed"] = resampled(kept["pos_embed"], shape, grid)
        self._keys = {key: key.replace(".", "_") for key in kept}
        for key, name in self._keys.items():
            self.register_buffer(name, kept[key])

    def get(self, key: str) -> Tensor | None:
        """The tensor of timm's name; None where the checkpoint has none."""
        name = self._keys.get(key)
        return None if name is None else cast(Tensor, getattr(self, name))

    def forward(self, pixels: Tensor) -> Tensor:
        """See the class."""
        weight, bias = self.get("patch_embed.proj.weight"), self.get("patch_embed.proj.bias")
        assert weight is not None
        x = F.conv2d(pixels, weight, bias, stride=self.shape.patch).flatten(2).transpose(1, 2)
        x = self._with_prefix(x)
        x = self._norm(x, "norm_pre")
        for number in range(self.shape.depth):
            block = f"blocks.{number}."
            x = x + self._scaled(self._attention(self._norm(x, f"{block}norm1"), block), f"{block}ls1.gamma")
            x = x + self._scaled(self._mlp(self._norm(x, f"{block}norm2"), block), f"{block}ls2.gamma")
        return self._norm(x, "norm")

    def pool_norm(self, x: Tensor) -> Tensor:
        """The norm of pooled features, where there is one."""
        return self._norm(x, "fc_norm")

    def _with_prefix(self, x: Tensor) -> Tensor:
        """Class and register tokens before those of the patches (b, n, dim), and positions."""
        positions = self.get("pos_embed")
        assert positions is not None
        if not self.shape.placed:
            x = x + positions
        first = [token for key in ("cls_token", "reg_token") if (token := self.get(key)) is not None]
        x = torch.cat([*(token.expand(len(x), -1, -1) for token in first), x], dim=1)
        return x + positions if self.shape.placed else x

    def _norm(self, x: Tensor, key: str) -> Tensor:
        weight = self.get(f"{key}.weight")
        return (
            x if weight is None else F.layer_norm(x, x.shape[-1:], weight, self.get(f"{key}.bias"), EPSILON)
        )

    def _linear(self, x: Tensor, key: str) -> Tensor:
        weight = self.get(f"{key}.weight")
        assert weight is not None
        return F.linear(x, weight, self.get(f"{key}.bias"))

    def _scaled(self, x: Tensor, key: str) -> Tensor:
        gamma = self.get(key)
        return x if gamma is None else x * gamma

    def _attention(self, x: Tensor, block: str) -> Tensor:
        batch, tokens, dim = x.shape
        parts = self._linear(x, f"{block}attn.qkv").reshape(batch, tokens, 3, self.shape.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(query, key, value)
        return self._linear(found.transpose(1, 2).reshape(batch, tokens, dim), f"{block}attn.proj")

    def _mlp(self, x: Tensor, block: str) -> Tensor:
        """GELU; or SwiGLU, whose first half of `fc1` is the gate, and goes through SiLU."""
        inside = self._linear(x, f"{block}mlp.fc1")
        if self.shape.gated:
            gate, value = inside.chunk(2, dim=-1)
            return self._linear(F.silu(gate) * value, f"{block}mlp.fc2")
        return self._linear(F.gelu(inside), f"{block}mlp.fc2")


def pooled(network: TimmViT, tokens: Tensor, pooling: Pooling) -> Tensor:
    """Features (b, dim) of tokens, or (b, 2 dim) for `cls+mean`; registers count in none of them."""
    assert pooling in get_args(Pooling)
    mean = tokens[:, network.shape.prefix :].mean(dim=1)
    if pooling == "cls+mean":
        return torch.cat([tokens[:, 0], mean], dim=-1)
    return network.pool_norm(tokens[:, 0] if pooling == "cls" else mean)


def resampled(positions: Tensor, shape: ViTShape, grid: int) -> Tensor:
    """Positions (1, n, dim) of a grid of another side: bicubic, without aliasing, as timm does."""
    if grid == shape.grid:
        return positions
    first = shape.prefix if shape.placed else 0
    square = positions[:, first:].reshape(1, shape.grid, shape.grid, -1).permute(0, 3, 1, 2)
    changed = F.interpolate(square, size=(grid, grid), mode="bicubic", antialias=True)
    return torch.cat([positions[:, :first], changed.flatten(2).transpose(1, 2)], dim=1)
