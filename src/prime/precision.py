"""In which precision networks compute: bfloat16 where the device multiplies it in hardware."""

from typing import Literal

Precision = Literal["auto", "bf16-mixed", "32-true"]


def fast_bfloat16(device: str = "cpu") -> bool:
    """Whether a kind of device (`cpu`, `cuda`, `mps`) multiplies bfloat16 matrices in hardware.

    A processor that does takes a third of the time of float32; one that does not, ten times as long.
    """
    import torch

    if device == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu":
        return False
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    found = {} if capabilities is None else capabilities()
    return any(bool(found.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def resolved(precision: str, device: str) -> Literal["bf16-mixed", "32-true"]:
    """The precision that `auto` means on a kind of device; any other as it is."""
    if precision == "auto":
        return "bf16-mixed" if fast_bfloat16(device) else "32-true"
    return "bf16-mixed" if precision == "bf16-mixed" else "32-true"
