"""The network of EfficientNet-Lite0 (Google, 2020): inverted bottlenecks (Tan and Le, ICML 2019) without
squeeze-and-excitation, ReLU6 throughout, padded as TensorFlow pads.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

# Of each stage: how many times channels are expanded, side of the kernel, stride, blocks, channels out.
STAGES = (
    (1, 3, 1, 1, 16), (6, 3, 2, 2, 24), (6, 5, 2, 2, 40), (6, 3, 2, 3, 80),
    (6, 5, 1, 3, 112), (6, 5, 2, 4, 192), (6, 3, 1, 1, 320),
)  # fmt: skip
STEM, HEAD = 32, 1280
EPSILON = 1e-3  # of batch normalisation


class Convolution(nn.Module):
    """A convolution without bias and its batch normalisation.

    The sides out are those in by `stride`, rounded up. Where the padding is odd, it is larger below and on
    the right.
    """

    def __init__(self, came: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv = nn.Conv2d(came, out, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """(b, in, h, w) to (b, out, ceil(h / stride), ceil(w / stride))."""
        high, wide = (self._padding(side) for side in x.shape[-2:])
        padded = nn.functional.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
        return self.norm(self.conv(padded))

    def _padding(self, side: int) -> int:
        return max(0, (-(-side // self.stride) - 1) * self.stride + self.kernel - side)


class Bottleneck(nn.Module):
    """Channels expanded, convolved each by itself, projected; what came in is added where it fits."""

    def __init__(self, came: int, out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = came * expansion
        self.expand = Convolution(came, wide) if expansion > 1 else None
        self.depthwise = Convolution(wide, wide, kernel, stride, groups=wide)
        self.project = Convolution(wide, out)
        self.adds = stride == 1 and came == out

    def forward(self, x: Tensor) -> Tensor:
        """(b, in, h, w) to (b, out, ceil(h / stride), ceil(w / stride))."""
        wide = x if self.expand is None else nn.functional.relu6(self.expand(x))
        found = self.project(nn.functional.relu6(self.depthwise(wide)))
        return x + found if self.adds else found


class EfficientNetLite0(nn.Module):
    """From pixels (b, 3, px, px) to features (b, 1280), the average over the last map."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, STEM, 3, 2)
        self.blocks = nn.ModuleList()
        came = STEM
        for expansion, kernel, stride, blocks, out in STAGES:
            for place in range(blocks):
                self.blocks.append(Bottleneck(came, out, expansion, kernel, 1 if place else stride))
                came = out
        self.head = Convolution(came, HEAD)

    def forward(self, pixels: Tensor) -> Tensor:
        """See the class."""
        x = nn.functional.relu6(self.stem(pixels))
        for block in self.blocks:
            x = block(x)
        return nn.functional.relu6(self.head(x)).mean(dim=(2, 3))


def network(weights: Mapping[str, Tensor]) -> EfficientNetLite0:
    """The network in eval mode, with weights by the names that their package gives them.

    Raises ValueError where one is missing, or too much: the classifier alone (`_fc`) is left out.
    """
    made = EfficientNetLite0()
    named = {theirs: ours for ours in made.state_dict() for theirs in [_published(ours)]}
    if set(named) != {name for name in weights if not name.startswith("_fc.")}:
        raise ValueError("these are not the weights of EfficientNet-Lite0")
    made.load_state_dict({ours: weights[theirs] for theirs, ours in named.items()})
    return made.to(torch.float32).eval()


def _published(name: str) -> str:
    """The package's name of one of our tensors: `blocks.3.expand.norm.weight` is `_blocks.3._bn0.weight`."""
    if not name.startswith("blocks."):
        part, kind, rest = name.split(".", 2)
        conv, norm = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}[part]
        return f"{conv if kind == 'conv' else norm}.{rest}"
    _, number, part, kind, rest = name.split(".", 4)
    norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[part]
    return f"_blocks.{number}.{f'_{part}_conv' if kind == 'conv' else norm}.{rest}"
