"""Encoders: found, recorded, refused; what they give against a plain forward pass."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertModel,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    ResNetConfig,
    ResNetModel,
    SwinConfig,
    SwinModel,
    ViTConfig,
    ViTModel,
)

from prime.encode.record import EncoderRecord
from prime.encode.slides.encoders import NAMED, find_encoder
from prime.encode.slides.encoders.colour import FEATURE_NAMES, STAINS, colour_features
from prime.encode.slides.encoders.interface import EncoderChoice, LoadedEncoder, Pixels, TileEncoder
from prime.encode.slides.filters import TissueTests
from prime.encode.slides.slide_stage import SlideJob, SlideSettings, encode_slide
from prime.encode.work import Piece
from prime.errors import InputError
from tests.encode.slide_files import write_slide

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
TILES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)


def model_of(kind: str) -> Any:
    torch.manual_seed(0)
    if kind == "vit":
        return ViTModel(ViTConfig(image_size=32, patch_size=8, **SMALL), add_pooling_layer=False)
    if kind == "registers":
        config = Dinov2WithRegistersConfig(image_size=32, patch_size=8, num_register_tokens=3, **SMALL)
        return Dinov2WithRegistersModel(config)
    if kind == "swin":
        return SwinModel(
            SwinConfig(
                image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4
            )
        )
    if kind == "resnet":
        model = ResNetModel(
            ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic")
        )
        for name, values in model.named_buffers():
            if name.endswith("running_mean"):
                values.uniform_(-0.1, 0.1)
        return model
    return BertModel(BertConfig(vocab_size=9, **SMALL))


def save(folder: Path, kind: str, **changes: Any) -> Path:
    model_of(kind).save_pretrained(folder)
    settings = {"size": {"height": 32, "width": 32}, "image_mean": MEAN, "image_std": STD} | changes
    text = json.dumps({key: value for key, value in settings.items() if value is not None})
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")
    return folder


def find(name: str, **options: Any) -> TileEncoder:
    return find_encoder(EncoderChoice(name, **options))


def hidden(kind: str) -> torch.Tensor:
    pixels = (torch.from_numpy(TILES).double() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    with torch.no_grad():
        output = model_of(kind).eval().double()(pixel_values=pixels.permute(0, 3, 1, 2))
    return output.last_hidden_state


@pytest.mark.parametrize(
    ("kind", "pooling", "dim", "pooled"),
    [
        ("vit", None, 16, lambda states: states[:, 0]),
        ("vit", "cls", 16, lambda states: states[:, 0]),
        ("vit", "mean", 16, lambda states: states[:, 1:].mean(1)),
        ("registers", "mean", 16, lambda states: states[:, 4:].mean(1)),
        ("swin", None, 16, lambda states: states.mean(1)),
        ("resnet", None, 12, lambda states: states.mean((2, 3))),
    ],
)
def test_features_are_those_of_the_model(
    kind: str, pooling: Any, dim: int, pooled: Any, tmp_path: Path
) -> None:
    encoder = find(str(save(tmp_path / kind, kind))).load(pooling)
    found = encoder.encode(TILES)
    assert (found.shape, found.dtype, encoder.dim) == ((5, dim), np.float32, dim)
    np.testing.assert_allclose(found, pooled(hidden(kind)).numpy(), rtol=1e-4, atol=1e-5)
    assert np.array_equal(found, encoder.encode(TILES))
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_bfloat16_is_near_and_not_the_same(tmp_path: Path) -> None:
    checkpoint = find(str(save(tmp_path / "vit", "vit")))
    full, lowered = (checkpoint.load(None, p).encode(TILES) for p in ("float32", "bfloat16"))
    assert lowered.dtype == np.float32
    assert 0 < np.abs(full - lowered).max() < 0.1


def test_the_record_names_no_place_and_hashes_the_weights(tmp_path: Path) -> None:
    folder = save(tmp_path / "here" / "vit", "vit")
    one = find(str(folder)).record
    assert (one.encoder, one.weights, one.licence, one.trained_on) == ("vit", "vit", "unknown", "unknown")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")
    told = find(str(folder), trained_on="TCGA").record
    assert (told.licence, told.trained_on, told.weights_sha256) == ("apache-2.0", "TCGA", one.weights_sha256)
    weights = load_file(folder / "model.safetensors")
    next(iter(weights.values())).add_(1)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert find(str(folder)).record.weights_sha256 != one.weights_sha256


@pytest.mark.parametrize(
    ("changes", "side"),
    [
        ({"size": 24}, 24),
        (
            {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}, "do_center_crop": True},
            32,
        ),
        ({"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}, 40),
    ],
)
def test_the_side_is_the_preprocessor_s(changes: dict[str, Any], side: int, tmp_path: Path) -> None:
    folder = save(tmp_path / "vit", "vit", **changes)
    assert find(str(folder)).pixels.side_px == side
    assert find(str(folder), side_px=48).pixels.side_px == 48


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_mean": None}, "needs size, image_mean and image_std"),
        ({"image_std": [1, 1]}, "needs size, image_mean and image_std"),
        ({"size": {"height": 3, "width": 4}}, "needs size, image_mean and image_std"),
    ],
)
def test_a_preprocessor_that_says_too_little(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        find(str(save(tmp_path / "vit", "vit", **changes)))


def test_what_is_no_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(tmp_path / "vit", "vit")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"vit: no preprocessor_config\.json"):
        find(str(folder))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickled weights"):
        find(str(folder))
    with pytest.raises(InputError, match="not a folder"):
        find(str(tmp_path / "nothing"))

    def offline(*_: Any, **__: Any) -> str:
        raise ConnectionError

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(
        InputError, match=r"owkin/none: neither a folder nor reachable on the hub \(Connection"
    ):
        find("owkin/none")


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    folder = save(tmp_path / "vit", "vit")
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if name.endswith("weight"))
    save_file({k: v for k, v in weights.items() if k != lost}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match="the weights lack 1 of the model's tensors"):
        find(str(folder)).load()
    (folder / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(InputError, match="encoder vit: "):
        find(str(folder)).load()


@pytest.mark.parametrize(
    ("kind", "pooling", "side", "message"),
    [
        ("bert", None, None, "model_type 'bert' in config.json; read are vit"),
        ("swin", "cls", None, "a swin has no class token; use --pooling mean"),
        ("resnet", "cls", None, "a resnet has no class token"),
        ("vit", None, 48, "does not take tiles of 48 pixels"),
    ],
)
def test_what_a_network_does_not_have(
    kind: str, pooling: Any, side: int | None, message: str, tmp_path: Path
) -> None:
    checkpoint = find(str(save(tmp_path / kind, kind)), side_px=side)
    with pytest.raises(InputError, match=message):
        checkpoint.load(pooling)


def test_no_such_device(tmp_path: Path) -> None:
    checkpoint = find(str(save(tmp_path / "vit", "vit")))
    with pytest.raises(InputError, match="--device nonsense: "):
        checkpoint.load(device="nonsense")


def test_colour_by_hand() -> None:
    found = dict(zip(FEATURE_NAMES, colour_features(TILES)[2], strict=True))
    red = TILES[2, :, :, 0].astype(float) / 255
    assert found["red_mean"] == pytest.approx(red.mean(), rel=1e-6)
    assert found["red_std"] == pytest.approx(red.std(), rel=1e-6)
    assert found["red_q90"] == pytest.approx(np.quantile(red, 0.9), rel=1e-6)
    amounts = np.array([0.8, 0.4])
    density = amounts @ (STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True))
    stained = (256 * 10**-density - 1).round().astype(np.uint8)
    stains = dict(zip(FEATURE_NAMES, colour_features(np.tile(stained, (1, 4, 4, 1)))[0], strict=True))
    assert stains["haematoxylin_q50"] == pytest.approx(0.8, abs=0.02)
    assert stains["eosin_mean"] == pytest.approx(0.4, abs=0.02)
    assert stains["residual_q10"] == pytest.approx(0.0, abs=0.02)
    encoder = find("colour").load()
    assert encoder.dim == 30
    assert np.array_equal(encoder.encode(TILES), colour_features(TILES))


class GreyEncoder(TileEncoder):
    """The mean grey value: an encoder of a user's own."""

    def load(self, *_: Any, **__: Any) -> LoadedEncoder:
        return LoadedEncoder(1, ("grey",), lambda tiles: tiles.mean((1, 2, 3))[:, None].astype(np.float32))


def test_an_encoder_of_one_file_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = EncoderRecord("grey", "none", "none", "MIT", "nothing")
    pixels = Pixels(16, 1.0, (0.0,), (1.0,))
    monkeypatch.setitem(NAMED, "grey", lambda choice: GreyEncoder(record, pixels))
    settings = SlideSettings(find("grey"), None, "float32", 32.0, TissueTests(None, None, None))
    write_slide(tmp_path / "slide.tif", np.full((64, 64, 3), 90, np.uint8), mpp=1.0)
    piece = Piece("slide", (tmp_path / "slide.tif",), (tmp_path / "slide.h5", tmp_path / "slide.jpg"))
    facts = encode_slide(SlideJob(settings, None, "cpu", 8, 1, 1), piece)
    with h5py.File(tmp_path / "slide.h5") as file:
        assert file["features"][()].tolist() == [[90.0]] * 4
        assert dict(file["features"].attrs)["encoder"] == "grey"
        assert dict(file["features"].attrs)["feature_names"] == "grey"
    assert facts["kept"] == 4
