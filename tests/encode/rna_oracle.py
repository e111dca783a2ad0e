"""An independent BulkRNABert: numpy in float64, head by head and row by row, and made-up weights for it.

It shares nothing with the package: it reads the tensors by the names of the published file.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.special import erf

Array = NDArray[np.float64]
ROWS = 256  # of attention at once


def config_values(genes: int, **changes: Any) -> dict[str, Any]:
    """config.json of the published checkpoint, for a number of genes."""
    return {
        "n_genes": genes, "n_expressions_bins": 64, "embed_dim": 256, "init_gene_embed_dim": 200,
        "project_gene_embedding": True, "use_gene_embedding": True, "num_attention_heads": 8, "key_size": 32,
        "ffn_embed_dim": 512, "num_layers": 4, "use_log_normalization": True, "use_max_normalization": True,
        "normalization_factor": 5.547176906585117,
    } | changes  # fmt: skip


def random_weights(config: dict[str, Any], seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Tensors under the published names; spread so that attention is far from uniform."""
    draw = np.random.default_rng(seed)

    def normal(*shape: int, scale: float) -> NDArray[np.float32]:
        return (draw.standard_normal(shape) * scale).astype(np.float32)

    dim, inner = config["embed_dim"], config["num_attention_heads"] * config["key_size"]
    made = {
        "expression_embedding_layer.weight": normal(config["n_expressions_bins"], dim, scale=1.0),
        "gene_embedding_layer.weight": normal(config["n_genes"], config["init_gene_embed_dim"], scale=1.0),
    }

    def linear(name: str, inputs: int, outputs: int, gain: float = 1.0) -> None:
        made[f"{name}.weight"] = normal(outputs, inputs, scale=gain / inputs**0.5)
        made[f"{name}.bias"] = normal(outputs, scale=0.1)

    linear("fc_gene_embedding", config["init_gene_embed_dim"], dim)
    for i in range(config["num_layers"]):
        block = f"transformer_layers.{i}"
        for norm in ("layer_norm_self_attention", "layer_norm_mlp"):
            made[f"{block}.{norm}.weight"] = 1 + normal(dim, scale=0.1)
            made[f"{block}.{norm}.bias"] = normal(dim, scale=0.1)
        linear(f"{block}.sa_layer.w_q", dim, inner, gain=1.5)
        linear(f"{block}.sa_layer.w_k", dim, inner, gain=1.5)
        linear(f"{block}.sa_layer.w_v", dim, inner)
        linear(f"{block}.sa_layer.output", inner, dim)
        linear(f"{block}.fc1", dim, config["ffn_embed_dim"])
        linear(f"{block}.fc2", config["ffn_embed_dim"], dim)
    linear("lm_head", dim, config["n_expressions_bins"])
    return made


def write_weights(folder: Path, config: dict[str, Any], seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """A folder as the hub has it, without a list of genes. Returns the tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    made = random_weights(config, seed)
    save_file(made, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return made


def slow_bins(tpm: Array, factor: float) -> list[int]:
    """Bins one gene at a time, from the definition."""
    found: list[int] = []
    for value in tpm:
        x = 0.0 if np.isnan(value) else np.log10(1.0 + value) / factor
        found.append(0 if x == 0 else min(63, 1 + sum(bool(x >= k / 63) for k in range(1, 64))))
    return found


def slow_tokens(weights: dict[str, NDArray[np.float32]], bins: list[int], config: dict[str, Any]) -> Array:
    """Tokens (G, D) float64 of the last block, rows of each attention matrix a few at a time."""
    w = {name: tensor.astype(np.float64) for name, tensor in weights.items()}
    x = w["expression_embedding_layer.weight"][bins]
    x = x + _linear(w, "fc_gene_embedding", w["gene_embedding_layer.weight"])
    for i in range(config["num_layers"]):
        block = f"transformer_layers.{i}"
        normed = _norm(w, f"{block}.layer_norm_self_attention", x)
        x = x + _attention(w, f"{block}.sa_layer", normed, config["num_attention_heads"])
        h = _linear(w, f"{block}.fc1", _norm(w, f"{block}.layer_norm_mlp", x))
        x = x + _linear(w, f"{block}.fc2", h * 0.5 * (1.0 + erf(h / np.sqrt(2.0))))
    return x


def _attention(w: dict[str, Array], name: str, x: Array, heads: int) -> Array:
    q, k, v = (_linear(w, f"{name}.{part}", x) for part in ("w_q", "w_k", "w_v"))
    size = q.shape[1] // heads
    mixed = np.empty_like(q)
    for head in range(heads):
        of = slice(head * size, (head + 1) * size)
        for start in range(0, len(x), ROWS):
            rows = slice(start, start + ROWS)
            score = q[rows, of] @ k[:, of].T / np.sqrt(size)
            score = np.exp(score - score.max(axis=1, keepdims=True))
            mixed[rows, of] = score @ v[:, of] / score.sum(axis=1, keepdims=True)
    return _linear(w, f"{name}.output", mixed)


def _linear(w: dict[str, Array], name: str, x: Array) -> Array:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _norm(w: dict[str, Array], name: str, x: Array) -> Array:
    centred = x - x.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    return centred / spread * w[f"{name}.weight"] + w[f"{name}.bias"]
