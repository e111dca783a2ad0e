"""Second step: one patient's TPM becomes gene tokens of BulkRNABert, their mean, or log(1 + TPM)."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prime.encode.rna.profiles import read_array
from prime.encode.token_file import write_token_file
from prime.encode.torch_setup import torch_device, torch_threads
from prime.encode.work import Piece
from prime.errors import InputError
from prime.files import write_npy

if TYPE_CHECKING:
    from prime.encode.rna.bulkrnabert import BulkRNABert
    from prime.encode.rna.weights import BulkRNABertWeights


@dataclass(frozen=True)
class TokenEncoder:
    """Runs BulkRNABert on a patient's profile.

    Attributes:
        weights: the weights.
        rows: positions (L,) of the genes whose tokens are kept; None: the mean of all tokens.
        precision: "float32" or "bfloat16".
        device: torch's name, or `auto`: a GPU where there is one.
        threads: processor threads.
        attributes: texts written with the tokens.
        broken: of each patient without a profile, the reason.
    """

    weights: "BulkRNABertWeights"
    rows: tuple[int, ...] | None
    precision: str
    device: str
    threads: int
    attributes: Mapping[str, str]
    broken: Mapping[str, str]

    def __call__(self, piece: Piece) -> dict[str, Any]:
        """Write tokens (L, D) float16 to an .h5, or their mean (D,) float32 to an .npy. Returns counts."""
        if piece.name in self.broken:
            raise InputError(self.broken[piece.name])
        import torch

        from prime.encode.rna.bulkrnabert import expression_bins

        tpm = read_array(piece.inputs[0])
        bins = expression_bins(tpm, self.weights.config)
        model = loaded_model(self.weights, self.precision, self.device)
        device = model.gene.weight.device
        with torch_threads(self.threads), torch.inference_mode():
            rows = None if self.rows is None else torch.tensor(self.rows, device=device)
            tokens = model(torch.from_numpy(bins).to(device), rows).float()
            result = tokens.double().mean(dim=0).float() if rows is None else tokens.half()
        values = result.cpu().numpy()
        if not np.isfinite(values).all():
            raise InputError(f"{piece.name}: tokens beyond {values.dtype}; are the weights whole?")
        if self.rows is None:
            write_npy(piece.outputs[0], values)
        else:
            write_token_file(piece.outputs[0], {"features": values}, self.attributes)
        limit = 10.0**self.weights.config.normalisation - 1
        return {**gene_coverage(tpm), "clipped": int((np.nan_to_num(tpm) >= limit).sum())}


@dataclass(frozen=True)
class LogTpm:
    """log(1 + TPM) of the genes at `rows` (L,), float32, NaN where a gene is missing; uses no network."""

    rows: tuple[int, ...]
    base: int
    broken: Mapping[str, str]

    def __call__(self, piece: Piece) -> dict[str, Any]:
        """Write (L,) float32 to an .npy. Returns counts."""
        if piece.name in self.broken:
            raise InputError(self.broken[piece.name])
        tpm = read_array(piece.inputs[0])
        logarithm = np.log1p(tpm[list(self.rows)]) / np.log(self.base)
        write_npy(piece.outputs[0], logarithm.astype(np.float32))
        return gene_coverage(tpm)


def gene_coverage(tpm: NDArray[np.float64]) -> dict[str, Any]:
    """How many of the listed genes a profile (G,) has, how many are listed, and the sum of their TPM."""
    found = int((~np.isnan(tpm)).sum())
    return {"genes_found": found, "genes_listed": len(tpm), "tpm_sum": round(float(np.nansum(tpm)), 1)}


@functools.lru_cache(maxsize=1)
def loaded_model(weights: "BulkRNABertWeights", precision: str, device: str) -> "BulkRNABert":
    """The network, loaded once per process. Raises InputError where the device is not there."""
    import torch

    from prime.encode.rna.weights import load_model

    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    where = torch_device(device)
    return load_model(weights).to(device=where, dtype=dtype)
