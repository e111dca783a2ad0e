"""BulkRNABert's weights: finding them, the names of their tensors, and what is recorded of them."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from prime.encode.record import UNKNOWN, EncoderRecord
from prime.encode.rna.bulkrnabert import BulkRNABert, BulkRNABertConfig
from prime.errors import InputError, some
from prime.files import sha256_paths
from prime.hub import ModelFiles, model_folder, recorded_name
from prime.parsing import read_json

WEIGHTS = "model.safetensors"
FILES = ModelFiles(
    weights=(WEIGHTS,),
    others=("config.json", "tokenizer_config.json", "common_gene_id.txt", "data/tcga_sample.csv"),
    described=f"{WEIGHTS} and config.json of InstaDeepAI/BulkRNABert",
)
GENE_FILES = ("common_gene_id.txt", "data/bulkrnabert/common_gene_id.txt", "data/tcga_sample.csv")
LICENCE = "CC BY-NC-SA 4.0"

# Our names of tensors, and those of the file on the hub; {i} counts the blocks from 0.
NAMES: dict[str, str] = {
    "expression.weight": "expression_embedding_layer.weight",
    "gene.weight": "gene_embedding_layer.weight",
    "project.weight": "fc_gene_embedding.weight",
    "project.bias": "fc_gene_embedding.bias",
    **{
        f"blocks.{{i}}.{ours}.{part}": f"transformer_layers.{{i}}.{theirs}.{part}"
        for ours, theirs in {
            "attention_norm": "layer_norm_self_attention",
            "query": "sa_layer.w_q",
            "key": "sa_layer.w_k",
            "value": "sa_layer.w_v",
            "output": "sa_layer.output",
            "hidden_norm": "layer_norm_mlp",
            "widen": "fc1",
            "narrow": "fc2",
        }.items()
        for part in ("weight", "bias")
    },
}
UNUSED = re.compile(r"lm_head\..*")  # predicts masked bins, after the tokens

# normalisation of the published checkpoints, and what each was trained on
TRAINED_ON = {
    5.547176906585117: "TCGA",
    5.873553674586928: "GTEx, ENCODE, in one of two checkpoints also TCGA",
}
CONFIG_KEYS = {
    "n_genes": "n_genes",
    "n_bins": "n_expressions_bins",
    "dim": "embed_dim",
    "gene_dim": "init_gene_embed_dim",
    "heads": "num_attention_heads",
    "hidden": "ffn_embed_dim",
    "layers": "num_layers",
}
EXPECTED_FLAGS = (
    "use_gene_embedding",
    "project_gene_embedding",
    "use_log_normalization",
    "use_max_normalization",
)


@dataclass(frozen=True)
class BulkRNABertWeights:
    """A folder with BulkRNABert's weights.

    Attributes:
        folder: where they are.
        name: as the user gave it, without a path.
        sha256: over the names and contents of model.safetensors and config.json.
        config: the network's sizes.
        key_map: names of tensors in the file to the published ones, None for those to leave out.
    """

    folder: Path
    name: str
    sha256: str
    config: BulkRNABertConfig
    key_map: tuple[tuple[str, str | None], ...] = ()


def find_weights(name: str, normalisation: float | None, key_map: Path | None) -> BulkRNABertWeights:
    """A local folder with model.safetensors and config.json, or a name on the model hub (fetched, or cached).

    Raises InputError: neither, no weights there, a config without its keys or of another kind of network.
    """
    folder = model_folder(name, FILES, f"--weights {name}")
    if not (folder / WEIGHTS).is_file():
        raise InputError(
            f"--weights {name}: no {WEIGHTS} there; give a folder as InstaDeepAI/BulkRNABert has it on the"
            " hub (the .joblib files of the JAX repository are pickles, which are never loaded)"
        )
    config = read_config(folder, normalisation)
    digest = sha256_paths([folder / WEIGHTS, folder / "config.json"])
    return BulkRNABertWeights(folder, recorded_name(name), digest, config, _read_key_map(key_map))


def gene_file(folder: Path) -> Path | None:
    """The list of genes beside the weights, None where there is none."""
    return next((folder / name for name in GENE_FILES if (folder / name).is_file()), None)


def read_config(folder: Path, normalisation: float | None) -> BulkRNABertConfig:
    """The sizes in config.json; the normalisation as given, else from there or tokenizer_config.json."""
    path = folder / "config.json"
    found = read_json(path)
    tokenizer = folder / "tokenizer_config.json"
    more = read_json(tokenizer) if tokenizer.is_file() else {}
    if not isinstance(found, dict) or not isinstance(more, dict):
        raise InputError(f"{path}: expected an object of settings")
    values: dict[str, Any] = {ours: found.get(theirs) for ours, theirs in CONFIG_KEYS.items()}
    values["key_size"] = found.get("key_size")
    if values["key_size"] is None and isinstance(values["dim"], int) and isinstance(values["heads"], int):
        values["key_size"] = values["dim"] // max(1, values["heads"])
    wrong = [key for key, value in values.items() if not isinstance(value, int) or value < 1]
    if wrong:
        key = CONFIG_KEYS.get(wrong[0], wrong[0])
        raise InputError(
            f"{path}: {key} is {found.get(key)!r}; expected a whole number from 1, as BulkRNABert has"
        )
    off = [key for key in EXPECTED_FLAGS if found.get(key, True) is not True]
    if off:
        raise InputError(f"{path}: {off[0]} is {found[off[0]]!r}; only networks where it is true are read")
    factor = normalisation or found.get("normalization_factor") or more.get("normalization_factor")
    if not isinstance(factor, int | float) or factor <= 0:
        raise InputError(
            f"{path}: no normalization_factor there or in tokenizer_config.json; give --normalisation"
            f" ({', '.join(f'{value}: {name}' for value, name in TRAINED_ON.items())})"
        )
    return BulkRNABertConfig(normalisation=float(factor), **values)


def load_model(weights: BulkRNABertWeights) -> BulkRNABert:
    """The network with its weights, float32, in eval mode.

    Raises InputError: a file that is not safetensors, and tensors that are missing, unexpected or of another
    shape, all listed.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = weights.folder / WEIGHTS
    try:
        stored = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a whole safetensors file ({error}); download it again") from None
    model = BulkRNABert(weights.config)
    model.load_state_dict(_renamed(stored, weights, model.state_dict()))
    return model.float().eval()


def record(
    weights: BulkRNABertWeights, licence: str | None = None, trained_on: str | None = None
) -> EncoderRecord:
    """What is stored with the features; the user's word comes first.

    Without it the licence is the publisher's, and the training data are those of the published weights
    with this normalisation.
    """
    config = weights.config
    known = next((data for f, data in TRAINED_ON.items() if abs(f - config.normalisation) < 1e-9), UNKNOWN)
    return EncoderRecord("BulkRNABert", weights.name, weights.sha256, licence or LICENCE, trained_on or known)


def _renamed(
    stored: dict[str, Tensor], weights: BulkRNABertWeights, wanted: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors under our names, of the shapes wanted. Raises InputError that lists what does not fit."""
    path = weights.folder / WEIGHTS
    ours = _published_names(weights.config.layers)
    result: dict[str, Tensor] = {}
    unexpected: list[str] = []
    shapes: list[str] = []
    for name, tensor in stored.items():
        published = _mapped(name, weights.key_map)
        if published is None or UNUSED.fullmatch(published):
            continue
        if published not in ours or ours[published] in result:
            unexpected.append(name)
            continue
        target = ours[published]
        if tensor.shape != wanted[target].shape:
            shapes.append(f"{name} is {tuple(tensor.shape)} instead of {tuple(wanted[target].shape)}")
        result[target] = tensor
    missing = [theirs for theirs, target in ours.items() if target not in result]
    parts = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    faults = [f"{what}: {some(names, 8)}" for what, names in parts.items() if names]
    if faults:
        raise InputError(
            f"{path}: not BulkRNABert's tensors; {'; '.join(faults)}. If only the names differ, write those"
            " of the file and the published ones as JSON and give it as --key-map"
        )
    return result


def _published_names(layers: int) -> dict[str, str]:
    """Published name of each tensor to ours."""
    return {
        theirs.format(i=i): ours.format(i=i)
        for ours, theirs in NAMES.items()
        for i in (range(layers) if "{i}" in theirs else range(1))
    }


def _mapped(name: str, key_map: tuple[tuple[str, str | None], ...]) -> str | None:
    """The published name of a tensor of the file, by the first pattern that matches; None: leave it out."""
    for theirs, published in key_map:
        match = re.fullmatch(re.escape(theirs).replace(r"\{i\}", r"(\d+)", 1), name)
        if match:
            return None if published is None else published.replace("{i}", "".join(match.groups()))
    return name


def _read_key_map(path: Path | None) -> tuple[tuple[str, str | None], ...]:
    if path is None:
        return ()
    found = read_json(path)
    if not isinstance(found, dict) or not all(v is None or isinstance(v, str) for v in found.values()):
        raise InputError(
            f'{path}: expected {{"name in the file": "published name"}}, {{i}} for the number of the block,'
            f" null for a tensor to leave out; found {json.dumps(found)[:80]}"
        )
    return tuple((str(name), published) for name, published in found.items())
