"""BulkRNABert: its traps one by one, agreement with the slow copy, and the reading of weights."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from prime.encode.rna.bulkrnabert import BulkRNABert, BulkRNABertConfig, expression_bins
from prime.encode.rna.weights import NAMES, find_weights, gene_file, load_model, record
from prime.errors import InputError
from tests.encode.rna_oracle import config_values, slow_bins, slow_tokens, write_weights

TCGA_FACTOR = 5.547176906585117
GTEX_FACTOR = 5.873553674586928
CONFIG = BulkRNABertConfig(normalisation=TCGA_FACTOR)
GENES = 700


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bulkrnabert")
    write_weights(path, config_values(GENES))
    return path


def expression(genes: int = GENES, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    tpm = np.exp(draw.normal(1, 3, genes)) * (draw.random(genes) > 0.1)
    tpm[:3] = (np.nan, 400_000.0, 0.0)
    return tpm


@pytest.mark.parametrize(("factor", "limit"), [(TCGA_FACTOR, 352_513), (GTEX_FACTOR, 747_400)])
def test_values_beyond_the_normalisation_stay_in_the_last_bin(factor: float, limit: int) -> None:
    """numpy's digitize says 64 there, a row that the embedding does not have."""
    config = replace(CONFIG, normalisation=factor)
    tpm = np.array([limit - 100.0, limit + 100.0, 1e6])
    raw = np.digitize(np.log10(1 + tpm) / factor, np.linspace(0, 1, 64))
    assert raw.tolist() == [63, 64, 64]
    assert expression_bins(tpm, config).tolist() == [63, 63, 63]
    model = BulkRNABert(replace(config, n_genes=3, layers=1))
    assert torch.isfinite(model(torch.from_numpy(expression_bins(tpm, config)))).all()


def test_binning_leaves_its_input_alone_and_gives_the_same_twice() -> None:
    """The publisher's tokeniser divides in place, so that a second call divides again."""
    tpm = expression()
    before = tpm.copy()
    first = expression_bins(tpm, CONFIG)
    assert np.array_equal(tpm, before, equal_nan=True)
    assert np.array_equal(expression_bins(tpm, CONFIG), first)


def test_bins_by_hand() -> None:
    """10 ** (factor k / 63) - 1 opens bin k + 1; exactly 0, and a missing gene, are bin 0."""
    edges = 10 ** (TCGA_FACTOR * np.arange(63) / 63) - 1
    assert expression_bins(edges[1:] * (1 + 1e-9), CONFIG).tolist() == list(range(2, 64))
    assert expression_bins(edges[1:] * (1 - 1e-9), CONFIG).tolist() == list(range(1, 63))
    assert expression_bins(np.array([0.0, np.nan, 1e-12]), CONFIG).tolist() == [0, 0, 1]
    assert expression_bins(expression(), CONFIG).tolist() == slow_bins(expression(), TCGA_FACTOR)


@pytest.mark.parametrize(
    "changes",
    [{}, {"embed_dim": 48, "num_attention_heads": 3, "key_size": 20, "num_layers": 2, "ffn_embed_dim": 31}],
)
def test_the_port_agrees_with_the_slow_copy(tmp_path: Path, changes: dict) -> None:
    config = config_values(GENES, **changes)
    weights = write_weights(tmp_path, config, seed=3)
    bins = expression_bins(expression(), CONFIG)
    truth = slow_tokens(weights, slow_bins(expression(), TCGA_FACTOR), config)
    model = load_model(find_weights(str(tmp_path), None, None))
    with torch.inference_mode():
        found = model(torch.from_numpy(bins)).numpy()
        exact = model.double()(torch.from_numpy(bins)).numpy()
    assert truth.std() > 1
    assert np.abs(exact - truth).max() < 1e-10
    assert np.abs(found - truth).max() < 1e-4


def test_attention_in_parts_is_the_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(find_weights(str(folder), None, None)).double()
    bins = torch.from_numpy(expression_bins(expression(), CONFIG))
    rows = torch.tensor([5, 0, 699, 123])
    with torch.inference_mode():
        whole = model(bins)
        assert torch.allclose(model(bins, rows), whole[rows], rtol=0, atol=1e-12)
        monkeypatch.setattr("prime.encode.rna.bulkrnabert.QUERIES", 13)
        assert torch.allclose(model(bins), whole, rtol=0, atol=1e-12)


MEMORY = """
import resource, sys, torch
from prime.encode.rna.bulkrnabert import BulkRNABert, BulkRNABertConfig
torch.set_num_threads(1)
genes = int(sys.argv[1])
model = BulkRNABert(BulkRNABertConfig(5.5, n_genes=genes, layers=1))
with torch.inference_mode():
    model(torch.zeros(genes, dtype=torch.int64), torch.arange(2))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model(torch.zeros(genes, dtype=torch.int64))
more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(more * (1 if sys.platform == "darwin" else 1024))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no peak memory of a process there")
def test_attention_never_holds_all_pairs_of_genes() -> None:
    """5,000 genes: all pairs of eight heads would take 0.8 GB."""
    done = subprocess.run([sys.executable, "-c", MEMORY, "5000"], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 0.5 * 5_000**2 * 8 * 4


def test_every_gene_reaches_every_token(folder: Path) -> None:
    """Attention is over all genes: the last gene's expression changes the first gene's token."""
    model = load_model(find_weights(str(folder), None, None))
    bins = torch.from_numpy(expression_bins(expression(), CONFIG))
    other = bins.clone()
    other[-1] = (other[-1] + 30) % 64
    with torch.inference_mode():
        assert not torch.equal(model(bins)[0], model(other)[0])


def test_a_folder_is_read_and_recorded(folder: Path) -> None:
    weights = find_weights(str(folder), None, None)
    assert weights.config == replace(CONFIG, n_genes=GENES)
    made_by = record(weights)
    assert made_by.encoder == "BulkRNABert"
    assert made_by.weights == folder.name
    assert (made_by.licence, made_by.trained_on) == ("CC BY-NC-SA 4.0", "TCGA")
    assert len(made_by.weights_sha256) == 64
    assert record(find_weights(str(folder), GTEX_FACTOR, None)).trained_on.startswith("GTEx, ENCODE")
    assert record(find_weights(str(folder), 5.0, None)).trained_on == "unknown"
    assert record(weights, "mine", "our hospital").attributes()["trained_on"] == "our hospital"
    assert gene_file(folder) is None


def test_every_parameter_has_a_published_name(folder: Path) -> None:
    model = BulkRNABert(replace(CONFIG, n_genes=5))
    ours = {re.sub(r"blocks\.\d", "blocks.{i}", name) for name in model.state_dict()}
    assert ours == set(NAMES)


def rename(tensors: dict, old: str, new: str) -> dict:
    return {name.replace(old, new): tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (
            lambda t: rename(t, "fc1", "dense"),
            ["missing: transformer_layers.0.fc1.weight,", "unexpected: transformer_layers.0.dense.bias"],
        ),
        (
            lambda t: {k: v for k, v in t.items() if k != "fc_gene_embedding.bias"},
            ["missing: fc_gene_embedding.bias"],
        ),
        (
            lambda t: t | {"gene_embedding_layer.weight": t["gene_embedding_layer.weight"][:9]},
            ["of another shape: gene_embedding_layer.weight is (9, 200) instead of (700, 200)"],
        ),
        (lambda t: t | {"bias_k": np.zeros(3, np.float32)}, ["unexpected: bias_k", "--key-map"]),
    ],
)
def test_tensors_that_do_not_fit_are_listed(folder: Path, tmp_path: Path, change, parts: list[str]) -> None:
    save_file(
        {k: np.ascontiguousarray(v) for k, v in change(load_file(folder / "model.safetensors")).items()},
        tmp_path / "model.safetensors",
    )
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(InputError, match=r"model\.safetensors: not BulkRNABert's tensors") as caught:
        load_model(find_weights(str(tmp_path), None, None))
    for part in parts:
        assert part in str(caught.value)


def test_a_key_map_gives_other_names_their_place(folder: Path, tmp_path: Path) -> None:
    tensors = rename(load_file(folder / "model.safetensors"), "transformer_layers", "encoder.h")
    tensors = rename(tensors, "sa_layer.w_q", "q") | {"classifier": np.zeros(2, np.float32)}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    names: dict[str, str | None] = {"classifier": None}
    for published in NAMES.values():
        theirs = published.replace("transformer_layers", "encoder.h").replace("sa_layer.w_q", "q")
        names[theirs] = published
    mapping = tmp_path / "names.json"
    mapping.write_text(json.dumps(names), encoding="utf-8")
    found = load_model(find_weights(str(tmp_path), None, mapping)).state_dict()
    truth = load_model(find_weights(str(folder), None, None)).state_dict()
    assert all(torch.equal(found[name], truth[name]) for name in truth)
    mapping.write_text("[1]", encoding="utf-8")
    with pytest.raises(InputError, match=r"names\.json: expected"):
        find_weights(str(tmp_path), None, mapping)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_layers": None}, "num_layers is None"),
        ({"embed_dim": "256"}, "embed_dim is '256'"),
        ({"project_gene_embedding": False}, "project_gene_embedding is False"),
        ({"normalization_factor": None}, "no normalization_factor there or in tokenizer_config.json"),
    ],
)
def test_a_config_of_something_else_is_refused(folder: Path, tmp_path: Path, changes, message: str) -> None:
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config_values(GENES, **changes)), encoding="utf-8")
    with pytest.raises(InputError, match=r"config\.json: ") as caught:
        find_weights(str(tmp_path), None, None)
    assert message in str(caught.value)


def test_the_tokenizers_normalisation_is_read_too(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    config = config_values(GENES, normalization_factor=None)
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text('{"normalization_factor": 5.5}', encoding="utf-8")
    assert find_weights(str(tmp_path), None, None).config.normalisation == 5.5
    assert find_weights(str(tmp_path), 4.5, None).config.normalisation == 4.5


def test_missing_and_damaged_weights_are_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"no model\.safetensors there"):
        find_weights(str(tmp_path), None, None)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(InputError, match=r"model\.safetensors: not a whole safetensors file"):
        load_model(find_weights(str(tmp_path), None, None))

    def unreachable(*_: object, **__: object) -> str:
        raise ConnectionError

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(InputError, match=r"neither a folder nor reachable on the hub \(ConnectionError\)"):
        find_weights("InstaDeepAI/BulkRNABert", None, None)
