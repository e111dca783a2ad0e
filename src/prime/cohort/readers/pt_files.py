"""Tensors of users' `.pt` files: plain ones, of a size that their bytes can hold, never a pickle."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prime.errors import InputError


def read_tensor(path: Path, where: str) -> NDArray[np.float32]:
    """A floating-point tensor saved by torch.save, as float32. Raises InputError for anything else."""
    import torch

    _require_stored(path, where)
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is not its own
        raise InputError(
            f"{where}: {path}: not a plain tensor file ({type(error).__name__}); only a tensor saved by "
            f"torch.save is read, never a pickle of other objects"
        ) from None
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        kind = value.dtype if isinstance(value, torch.Tensor) else type(value).__name__
        raise InputError(f"{where}: {path}: expected a tensor (n, d) of floating-point numbers, found {kind}")
    if (kind := _unreadable(value)) is not None:
        raise InputError(
            f"{where}: {path}: {kind}; save a plain tensor with its numbers, tensor.cpu().clone()"
        )
    return value.detach().resolve_neg().float().numpy()


def _require_stored(path: Path, where: str) -> None:
    """Raise InputError for an archive that unpacks to more bytes than it has, as torch.save writes none."""
    try:
        if not zipfile.is_zipfile(path):
            return  # torch's older format
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(item.file_size for item in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, LookupError):
        return  # torch says what is wrong
    if unpacked > path.stat().st_size:
        raise InputError(f"{where}: {path}: a compressed archive; save it with torch.save alone")


def _unreadable(value: Any) -> str | None:
    """Why a tensor has no array of numbers, or more of them than are stored; None where it is plain."""
    import torch

    if value.is_nested:
        return "a nested tensor"
    if value.layout != torch.strided:
        return "a sparse tensor"
    if value.is_meta:
        return "a tensor without numbers (meta)"
    if value.numel() > value.untyped_storage().nbytes() // max(1, value.element_size()):
        return f"a tensor {tuple(value.shape)} of more numbers than are stored"
    return None
