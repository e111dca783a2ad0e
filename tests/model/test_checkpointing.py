"""A checkpoint comes back as it was, and a damaged one is one clear error."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from prime.errors import InputError
from prime.files import sha256_file
from prime.model.checkpoint import WEIGHTS, Checkpoint, load_checkpoint, save_description, save_network
from prime.model.prime import Prime
from prime.sealed import write_sealed
from prime.store.inputs import InputSpec, require_same_inputs
from prime.store.scaling import SourceScaling
from tests.made_up import inputs, make_batch, model_config, patterns_without_nothing


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Checkpoint]:
    torch.manual_seed(0)
    model = Prime(inputs(), model_config())
    rng = np.random.default_rng(0)

    def drawn(dim: int) -> SourceScaling:
        return SourceScaling(
            rng.normal(size=dim).astype(np.float32), rng.random(dim).astype(np.float32) + 0.5, 5.0
        )

    scaling = {
        name: replace(drawn(spec.dim), own={"A": drawn(spec.dim), "type é.2": drawn(spec.dim)})
        for name, spec in inputs().sources.items()
    }
    first = next(iter(scaling))
    scaling[first] = replace(scaling[first], own={})
    digest = save_network(tmp_path, model, scaling)
    save_description(tmp_path, model, {"seed": 3}, {"version": "x"}, {WEIGHTS: digest})
    return tmp_path, Checkpoint(model.eval(), scaling, {"seed": 3}, {"version": "x"})


def test_round_trip(saved: tuple[Path, Checkpoint]) -> None:
    folder, original = saved
    loaded = load_checkpoint(folder)
    batch = make_batch(patterns_without_nothing(5, 3, 0))
    with torch.no_grad():
        assert torch.equal(loaded.model(batch).fused, original.model(batch).fused)
    assert loaded.model.inputs == original.model.inputs
    assert loaded.model.config == original.model.config
    assert (loaded.config, loaded.manifest["version"]) == (original.config, "x")
    assert not loaded.model.training
    for name, scaling in original.scaling.items():
        assert np.array_equal(loaded.scaling[name].centre, scaling.centre)
        assert np.array_equal(loaded.scaling[name].scale, scaling.scale)
        assert loaded.scaling[name].clip == scaling.clip
        assert list(loaded.scaling[name].own) == list(scaling.own)
        for kind, own in scaling.own.items():
            assert np.array_equal(loaded.scaling[name].own[kind].centre, own.centre)
            assert np.array_equal(loaded.scaling[name].own[kind].scale, own.scale)


def test_saving_twice_gives_the_same_bytes(saved: tuple[Path, Checkpoint], tmp_path: Path) -> None:
    folder, original = saved
    before = (folder / "model.safetensors").read_bytes()
    save_network(folder, original.model, original.scaling)
    assert (folder / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    "damage", ["cut", "empty", "text", "pickle", "shape", "no inputs", "list", "no experiment", "wrong kind"]
)
def test_a_damaged_checkpoint_is_one_clear_error(saved: tuple[Path, Checkpoint], damage: str) -> None:
    folder, _ = saved
    weights, config = folder / "model.safetensors", folder / "config.json"
    described = json.loads(config.read_text(encoding="utf-8"))
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "empty":
        weights.write_bytes(b"")
    elif damage == "text":
        weights.write_bytes(b"these are no weights")
    elif damage == "pickle":
        torch.save({"a": torch.zeros(1)}, weights)
    elif damage == "shape":
        described["model"]["dim"] = 32
    elif damage == "no inputs":
        del described["inputs"]
    elif damage == "list":
        described = [described]
    elif damage == "no experiment":
        del described["experiment"]
    else:
        described["inputs"]["sources"]["genes"]["kind"] = "song"
    config.write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(InputError, match="damaged checkpoint") as caught:
        load_checkpoint(folder)
    assert "\n" not in str(caught.value)


def reseal(folder: Path) -> None:
    """Checksums anew, as of somebody who knows how the folder is sealed."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    names = manifest["sha256"]
    write_sealed(folder / "manifest.json", manifest, {name: sha256_file(folder / name) for name in names})


@pytest.mark.parametrize("change", ["config", "manifest", "no digests", "no digest", "no seal", "weights"])
def test_an_edited_checkpoint_is_refused(saved: tuple[Path, Checkpoint], change: str) -> None:
    folder, original = saved
    path = folder / ("config.json" if change == "config" else "manifest.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    if change == "config":
        found["experiment"]["seed"] = 4
    elif change == "manifest":
        found["version"] = "y"
    elif change == "no digests":
        found["sha256"] = {}
    elif change == "no digest":
        del found["sha256"]["config.json"]
        write_sealed(path, found, found["sha256"])
        found = json.loads(path.read_text(encoding="utf-8"))
    elif change == "no seal":
        del found["seal"]
    else:
        save_network(folder, original.model, {n: replace(s, clip=4.0) for n, s in original.scaling.items()})
    path.write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(InputError, match=r"damaged checkpoint|not the manifest of a checkpoint"):
        load_checkpoint(folder)


@pytest.mark.parametrize("part", ["weight", "centre", "scale", "negative", "own", "clip", "width"])
def test_numbers_that_are_none_are_refused_whatever_the_checksums_say(
    saved: tuple[Path, Checkpoint], part: str
) -> None:
    folder, _ = saved
    tensors = load_file(folder / "model.safetensors")
    key = {
        "weight": next(name for name in tensors if name.startswith("model.")),
        "centre": "scaling.genes.centre",
        "own": "scaling.genes.own_scale",
        "clip": "scaling.genes.clip",
    }.get(part, "scaling.genes.scale")
    if part == "negative":
        tensors[key] = -tensors[key]
    elif part == "width":
        tensors[key] = tensors[key][1:]
    else:
        tensors[key].view(-1)[0] = float("nan")
    save_file(tensors, folder / "model.safetensors")
    reseal(folder)
    with pytest.raises(InputError, match="damaged checkpoint"):
        load_checkpoint(folder)


def test_a_missing_checkpoint_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="finished `prime pretrain`"):
        load_checkpoint(tmp_path)


def test_inputs_must_be_those_of_the_model() -> None:
    spec = inputs()
    require_same_inputs(spec, spec, "here")
    fewer = InputSpec(
        modalities={k: v for k, v in spec.modalities.items() if k != "rna"}, sources=spec.sources
    )
    with pytest.raises(InputError, match="needs modality 'rna'"):
        require_same_inputs(spec, fewer, "here")
    other = InputSpec(modalities={**spec.modalities, "image": ("tiles",)}, sources=spec.sources)
    with pytest.raises(InputError, match="name the same sources"):
        require_same_inputs(spec, other, "here")
    wide = spec.sources["genes"].model_copy(update={"dim": 9})
    changed = InputSpec(modalities=spec.modalities, sources={**spec.sources, "genes": wide})
    with pytest.raises(InputError, match="'genes' has 9 features"):
        require_same_inputs(spec, changed, "here")
