"""Second step: one patient's TPM becomes gene tokens of BulkRNABert, their mean, or log TPM."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prime.encode.rna.profiles import read_array, write_array
from prime.encode.work import Piece
from prime.errors import InputError, first_line
from prime.files import replacing

if TYPE_CHECKING:
    from prime.encode.rna.bulkrnabert import BulkRNABert
    from prime.encode.rna.weights import BulkRNABertWeights


@dataclass(frozen=True)
class TokenEncoder:
    """Runs BulkRNABert on a patient's profile.

    Attributes:
        weights: the weights.
        rows: genes (L,) whose tokens are kept; None: the mean over all genes.
        precision: "float32" or "bfloat16".
        device: torch's name of it.
        threads: processor threads.
        attributes: text written with the tokens.
        broken: patient to the reason why it has no profile.
    """

    weights: "BulkRNABertWeights"
    rows: tuple[int, ...] | None
    precision: str
    device: str
    threads: int
    attributes: Mapping[str, str]
    broken: Mapping[str, str]

    def __call__(self, piece: Piece) -> dict[str, Any]:
        """Write `features` (L, D) float16 to an .h5, or the mean (D,) float32 to an .npy; returns counts."""
        if piece.name in self.broken:
            raise InputError(self.broken[piece.name])
        import torch

        from prime.encode.rna.bulkrnabert import expression_bins

        tpm = read_array(piece.inputs[0])
        bins = expression_bins(tpm, self.weights.config)
        torch.set_num_threads(self.threads)
        model = loaded_model(self.weights, self.precision, self.device)
        with torch.inference_mode():
            rows = None if self.rows is None else torch.tensor(self.rows, device=self.device)
            tokens = model(torch.from_numpy(bins).to(self.device), rows).float()
            result = tokens.double().mean(dim=0).float() if rows is None else tokens.half()
        values = result.cpu().numpy()
        if not np.isfinite(values).all():
            raise InputError(f"{piece.name}: tokens beyond {values.dtype}; are the weights whole?")
        if self.rows is None:
            write_array(piece.outputs[0], values)
        else:
            write_tokens(piece.outputs[0], values, self.attributes)
        limit = 10.0**self.weights.config.normalisation - 1
        return {**facts(tpm), "clipped": int((np.nan_to_num(tpm) >= limit).sum())}


@dataclass(frozen=True)
class LogTpm:
    """log(1 + TPM) of the genes `rows` (L,), float32, NaN where a gene is missing; without any network."""

    rows: tuple[int, ...]
    base: int
    broken: Mapping[str, str]

    def __call__(self, piece: Piece) -> dict[str, Any]:
        """Write (L,) float32 to an .npy; returns counts."""
        if piece.name in self.broken:
            raise InputError(self.broken[piece.name])
        tpm = read_array(piece.inputs[0])
        logarithm = np.log1p(tpm[list(self.rows)]) / np.log(self.base)
        write_array(piece.outputs[0], logarithm.astype(np.float32))
        return facts(tpm)


def facts(tpm: NDArray[np.float64]) -> dict[str, Any]:
    """How many listed genes a profile has, of how many, and what their TPM sum to."""
    found = int((~np.isnan(tpm)).sum())
    return {"genes_found": found, "genes_listed": len(tpm), "tpm_sum": round(float(np.nansum(tpm)), 1)}


def write_tokens(path: Path, tokens: NDArray[np.float16], attributes: Mapping[str, str]) -> None:
    """Write an HDF5 file with `features` (L, D) float16 and text attributes, atomically."""
    import h5py

    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("features", data=tokens)
        for name, text in attributes.items():
            file.attrs[name] = text


@functools.lru_cache(maxsize=1)
def loaded_model(weights: "BulkRNABertWeights", precision: str, device: str) -> "BulkRNABert":
    """The network, once a process. Raises InputError where the device is not there."""
    import torch

    from prime.encode.rna.weights import load_model

    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    model = load_model(weights)
    try:
        return model.to(device=device, dtype=dtype)
    except (RuntimeError, AssertionError) as error:  # torch says so in several ways
        raise InputError(f"--device {device}: {first_line(error)}") from None
