"""Where an encoder runs: torch's device and its number of threads."""

from collections.abc import Generator
from contextlib import contextmanager

from prime.errors import InputError, first_line


def torch_device(name: str) -> str:
    """The device of this name; `auto`: a GPU if there is one. Raises InputError for one that is missing."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # torch says so in several ways
        raise InputError(f"--device {name}: {first_line(error)}") from None
    return name


@contextmanager
def torch_threads(threads: int) -> Generator[None]:
    """Torch with this many threads in the block; another number may change the last digit of sums."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
