"""Checkpoints in timm's layout: every architecture against a model of transformers with the same weights."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    ViTConfig,
    ViTModel,
)

from prime.encode.slides.encoders import find_encoder
from prime.encode.slides.encoders.interface import EncoderChoice
from prime.encode.slides.encoders.timm_network import resampled, shape_of
from prime.errors import InputError

Tensors = dict[str, torch.Tensor]
DIM, DEPTH, SIDE, PATCH = 24, 2, 40, 8  # a grid of 5 by 5
MEAN, STD = [0.707, 0.578, 0.703], [0.211, 0.230, 0.177]
TILES = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3)).astype(np.uint8)
CONFIG: dict[str, Any] = {
    "architecture": "vit_small_patch8_224", "num_classes": 0, "global_pool": "token",
    "model_args": {"img_size": SIDE, "num_heads": 3, "init_values": 1e-5},
    "pretrained_cfg": {"input_size": [3, SIDE, SIDE], "mean": MEAN, "std": STD, "interpolation": "bicubic"},
}  # fmt: skip


def filled(model: Any) -> Any:
    """The model with every weight drawn, so that no part of it is zero or one."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.named_parameters():
            drawn = torch.randn(value.shape, generator=generator)
            value.copy_(1 + 0.2 * drawn if "norm" in name and "weight" in name else 0.3 * drawn)
    return model.eval()


def vit() -> Any:
    """The structure of UNI without LayerScale: class token, GELU."""
    sizes = {
        "hidden_size": DIM,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": 3,
        "intermediate_size": 40,
    }
    config = ViTConfig(image_size=SIDE, patch_size=PATCH, layer_norm_eps=1e-6, **sizes)
    return filled(ViTModel(config, add_pooling_layer=False))


def dinov2(gated: bool, registers: int = 0) -> Any:
    """LayerScale; with `gated` the SwiGLU of Virchow, UNI2-h, Prov-GigaPath and H-optimus."""
    kind, config = (
        (Dinov2WithRegistersModel, Dinov2WithRegistersConfig) if registers else (Dinov2Model, Dinov2Config)
    )
    more = {"num_register_tokens": registers} if registers else {}
    return filled(
        kind(
            config(
                hidden_size=DIM, num_hidden_layers=DEPTH, num_attention_heads=3, image_size=SIDE,
                patch_size=PATCH, mlp_ratio=2, use_swiglu_ffn=gated, layer_norm_eps=1e-6, **more,
            )
        )
    )  # fmt: skip


def of_vit(model: Any) -> Tensors:
    """The weights of a ViT by timm's names."""
    s = model.state_dict()
    found = {
        "cls_token": s["embeddings.cls_token"], "pos_embed": s["embeddings.position_embeddings"],
        "patch_embed.proj.weight": s["embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": s["embeddings.patch_embeddings.projection.bias"],
        "norm.weight": s["layernorm.weight"], "norm.bias": s["layernorm.bias"],
    }  # fmt: skip
    for i in range(DEPTH):
        own = {key.partition(f".{i}.")[2]: value for key, value in s.items() if f".{i}." in key}
        found |= block(own, f"blocks.{i}.")
    return found


NAMES = {  # of parts of a block; several of transformers, one below the other, are one of timm
    "norm1": ("norm1", "layernorm_before"), "norm2": ("norm2", "layernorm_after"),
    "attn.qkv": ("attention.q_proj attention.k_proj attention.v_proj",),
    "attn.proj": ("attention.o_proj",),
    "mlp.fc1": ("mlp.gate_proj mlp.up_proj", "mlp.fc1"), "mlp.fc2": ("mlp.down_proj", "mlp.fc2"),
}  # fmt: skip


def block(own: Tensors, name: str) -> Tensors:
    """One block by timm's names."""
    found: Tensors = {}
    for kind in ("weight", "bias"):
        for ours, theirs in NAMES.items():
            parts = next(each.split() for each in theirs if f"{each.split()[0]}.{kind}" in own)
            found[f"{name}{ours}.{kind}"] = torch.cat([own[f"{part}.{kind}"] for part in parts])
    for ours, theirs in (("ls1.gamma", "layer_scale1.lambda1"), ("ls2.gamma", "layer_scale2.lambda1")):
        if theirs in own:
            found[name + ours] = own[theirs]
    return found


def of_dinov2(model: Any, without_places: bool = False) -> Tensors:
    """The weights by timm's names; `without_places` puts the class token's position into the token itself."""
    found = of_vit(model)
    s = model.state_dict()
    if "embeddings.register_tokens" in s:
        found["reg_token"] = s["embeddings.register_tokens"]
    places = found["pos_embed"]
    if without_places:  # no_embed_class: H-optimus, UNI2-h
        found["cls_token"], found["pos_embed"] = found["cls_token"] + places[:, :1], places[:, 1:]
    elif "reg_token" in found:  # Virchow2: registers have positions too, taken off the tokens here
        drawn = torch.randn(found["reg_token"].shape, generator=torch.Generator().manual_seed(1))
        found["reg_token"] = found["reg_token"] - drawn
        found["pos_embed"] = torch.cat([places[:, :1], drawn, places[:, 1:]], dim=1)
    return found


def save(folder: Path, weights: Tensors, suffix: str = "safetensors", **changes: Any) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | changes), encoding="utf-8")
    whole = {key: value.contiguous().clone() for key, value in weights.items()}
    if suffix == "safetensors":
        save_file(whole, folder / "model.safetensors")
    else:
        torch.save(whole, folder / "pytorch_model.bin")
    return str(folder)


def states(model: Any) -> torch.Tensor:
    pixels = (torch.from_numpy(TILES).double() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    with torch.no_grad():
        return model.double()(pixel_values=pixels.permute(0, 3, 1, 2)).last_hidden_state


MODEL_ARGS = CONFIG["model_args"]
CASES: dict[str, tuple[Any, Any, dict[str, Any], Any]] = {
    "vit": (vit, of_vit, {}, lambda s: s[:, 0]),
    "uni": (lambda: dinov2(False), of_dinov2, {}, lambda s: s[:, 0]),
    "virchow": (
        lambda: dinov2(True), of_dinov2, {"global_pool": ""},
        lambda s: torch.cat([s[:, 0], s[:, 1:].mean(1)], -1),
    ),
    "virchow2": (
        lambda: dinov2(True, 4), of_dinov2, {"global_pool": ""},
        lambda s: torch.cat([s[:, 0], s[:, 5:].mean(1)], -1),
    ),
    "gigapath": (lambda: dinov2(True), of_dinov2, {}, lambda s: s[:, 0]),
    "h-optimus": (lambda: dinov2(True, 4), lambda m: of_dinov2(m, True), {}, lambda s: s[:, 0]),
    "uni2-h": (
        lambda: dinov2(True, 8), lambda m: of_dinov2(m, True),
        {"model_args": MODEL_ARGS | {"no_embed_class": True, "reg_tokens": 8}}, lambda s: s[:, 0],
    ),
    "avg": (lambda: dinov2(False), of_dinov2, {"global_pool": "avg"}, lambda s: s[:, 1:].mean(1)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_features_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    make, weights_of, changes, pool = CASES[name]
    model = make()
    suffix = "bin" if name == "gigapath" else "safetensors"
    path = save(tmp_path / name, weights_of(model), suffix, **changes)
    encoder = find_encoder(EncoderChoice(path)).load()
    found = encoder.encode(TILES)
    np.testing.assert_allclose(found, pool(states(model)).numpy(), rtol=2e-4, atol=2e-4)
    assert np.abs(found[0] - found[1]).max() > 0.05


def test_pooling_and_record(tmp_path: Path) -> None:
    model = dinov2(False)
    weights = of_dinov2(model)
    path = save(tmp_path / "m", weights)
    (tmp_path / "m" / "README.md").write_text("---\nlicense: cc-by-nc-nd-4.0\n---\n", encoding="utf-8")
    encoder = find_encoder(EncoderChoice(path))
    assert (encoder.record.encoder, encoder.record.licence) == ("m", "cc-by-nc-nd-4.0")
    assert encoder.pixels.mean == tuple(MEAN)
    cls, mean, both = (encoder.load(p).encode(TILES) for p in ("cls", "mean", "cls+mean"))
    assert np.array_equal(both, np.concatenate([cls, mean], axis=1))
    whole = states(model).numpy()
    np.testing.assert_allclose(mean, whole[:, 1:].mean(1), rtol=2e-4, atol=2e-4)
    # a norm after pooling, as timm has it with global_pool avg
    weights = {key.replace("norm.", "fc_norm.", key.startswith("norm.")): v for key, v in weights.items()}
    path = save(tmp_path / "f", weights, global_pool="avg")
    found = find_encoder(EncoderChoice(path)).load().encode(TILES)
    model.layernorm = torch.nn.Identity()
    rows = states(model)[:, 1:].mean(1)
    scale, shift = weights["fc_norm.weight"].double(), weights["fc_norm.bias"].double()
    expected = (rows - rows.mean(1, keepdim=True)) / (rows.var(1, keepdim=True, correction=0) + 1e-6).sqrt()
    np.testing.assert_allclose(found, (expected * scale + shift).numpy(), rtol=3e-4, atol=3e-4)


@pytest.mark.parametrize("grid", [3, 8])
def test_positions_of_another_side_are_those_of_pillow(grid: int) -> None:
    """Pillow has the same filter, written by others: each number of a position is a picture of 5 by 5."""
    weights = of_dinov2(dinov2(True, 4))
    shape = shape_of(CONFIG, {key: tuple(value.shape) for key, value in weights.items()})
    found = resampled(weights["pos_embed"], shape, grid)
    assert found.shape == (1, 5 + grid**2, DIM)
    assert torch.equal(found[:, :5], weights["pos_embed"][:, :5])
    pictures = weights["pos_embed"][0, 5:].reshape(5, 5, DIM).numpy()
    for number in range(DIM):
        picture = Image.fromarray(pictures[:, :, number].copy())
        expected = np.asarray(picture.resize((grid, grid), Image.Resampling.BICUBIC))
        np.testing.assert_allclose(found[0, 5:, number].reshape(grid, grid), expected, atol=1e-5)


def test_tiles_of_another_side(tmp_path: Path) -> None:
    path = save(tmp_path / "m", of_dinov2(dinov2(False)))
    larger = find_encoder(EncoderChoice(path, side_px=64)).load()
    tiles = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    assert larger.encode(tiles).shape == (2, DIM)
    with pytest.raises(InputError, match="tiles of 60 pixels are not whole patches of 8"):
        find_encoder(EncoderChoice(path, side_px=60)).load()


def test_attention_without_bias(tmp_path: Path) -> None:
    """As if the bias were zero."""
    weights = of_dinov2(dinov2(False))
    zero = {k: torch.zeros_like(v) if k.endswith("qkv.bias") else v for k, v in weights.items()}
    without = {k: v for k, v in weights.items() if not k.endswith("qkv.bias")}
    one, other = (
        find_encoder(EncoderChoice(save(tmp_path / n, w))).load().encode(TILES)
        for n, w in (("zero", zero), ("without", without))
    )
    np.testing.assert_allclose(one, other, atol=1e-6)


def bad(change: str, weights: Tensors) -> tuple[Tensors, dict[str, Any]]:
    if change == "missing":
        return {k: v for k, v in weights.items() if k != "blocks.1.norm2.bias"}, {}
    if change == "strange":
        return weights | {"blocks.0.attn.q_norm.weight": torch.ones(8)}, {}
    if change == "positions":
        return weights | {"pos_embed": torch.zeros(1, 24, DIM)}, {}
    if change == "heads":
        return weights, {"model_args": {}}
    if change == "pool":
        return weights, {"global_pool": "map"}
    if change == "resnet":
        return weights, {"architecture": "resnet50"}
    assert change == "pixels"
    return weights, {"pretrained_cfg": {"input_size": [3, 40, 40]}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", "the weights lack 1 tensors, first blocks.1.norm2.bias"),
        ("strange", "hold 1 of another network, first blocks.0.attn.q_norm.weight"),
        ("positions", "24 positions are not those of a square of patches"),
        ("heads", "tokens of 24 numbers: state num_heads under model_args"),
        ("pool", "global_pool 'map'; read are 'token', 'avg', ''"),
        ("resnet", "architecture 'resnet50' in config.json; read are"),
        ("pixels", "needs pretrained_cfg with input_size"),
    ],
)
def test_what_is_not_understood_is_one_clear_error(change: str, message: str, tmp_path: Path) -> None:
    weights, changes = bad(change, of_dinov2(dinov2(False)))
    path = save(tmp_path / "m", weights, **changes)
    with pytest.raises(InputError) as raised:
        find_encoder(EncoderChoice(path)).load()
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


class Evil:
    """Would make a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_pickles_are_read_as_tensors_alone(tmp_path: Path) -> None:
    path = save(tmp_path / "m", {"a": torch.zeros(1)}, "bin")
    mark = tmp_path / "ran"
    (tmp_path / "m" / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(InputError, match=r"encoder m: pytorch_model\.bin: "):
        find_encoder(EncoderChoice(path)).load()
    assert not mark.exists()
    (tmp_path / "m" / "pytorch_model.bin").unlink()
    with pytest.raises(InputError, match=r"not a folder|neither a folder|expected model"):
        find_encoder(EncoderChoice(path))
