"""The patterns of missing modalities that a test goes through: pure functions of names and masks."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from prime.errors import InputError


def patterns(modalities: Sequence[str]) -> dict[str, tuple[bool, ...]]:
    """Every non-empty subset of the modalities, by name, in a fixed order.

    The full set is `all`; with one modality taken away (three or more modalities) `-name`; a single one
    `name`; any other subset its names joined by `+`. Larger subsets come first. Three modalities give
    `all, -image, -rna, -report, image, rna, report`.

    Args:
        modalities: M distinct names, in the cohort's order.

    Returns:
        2^M - 1 entries: name to M flags, True = a test may see that modality.

    Raises:
        InputError: no modality, a name given twice, or a name that is also a pattern's.
    """
    names = list(modalities)
    count = len(names)
    if not names:
        raise InputError("modalities: name at least one")
    if len(set(names)) != count:
        raise InputError(f"modalities: names must differ, found {', '.join(names)}")
    for name in names:
        if name == "all" or name.startswith("-") or "+" in name:
            raise InputError(f"modality {name!r}: 'all', a leading '-' and '+' name patterns; rename it")
    found: dict[str, tuple[bool, ...]] = {}
    for size in range(count, 0, -1):
        subsets = list(combinations(range(count), size))
        if 1 < size == count - 1:
            subsets.reverse()  # in the order of the modality taken away
        for subset in subsets:
            found[_name(names, subset)] = tuple(index in subset for index in range(count))
    return found


def _name(names: list[str], subset: tuple[int, ...]) -> str:
    if len(subset) == len(names):
        return "all"
    if len(subset) == 1:
        return names[subset[0]]
    if len(subset) == len(names) - 1:
        (absent,) = set(range(len(names))) - set(subset)
        return f"-{names[absent]}"
    return "+".join(names[index] for index in subset)


def keep_mask(observed: NDArray[np.bool_], pattern: Sequence[bool]) -> NDArray[np.bool_]:
    """The modalities that each patient has and the pattern allows.

    Args:
        observed: (B, M) bool.
        pattern: M flags, as `patterns` gives them.

    Returns:
        (B, M) bool, a new array. A row may be empty: that patient cannot be scored under this pattern.

    Raises:
        ValueError: observed that is not a bool matrix, or a pattern of another length.
    """
    present = np.asarray(observed)
    if present.dtype != np.bool_ or present.ndim != 2:
        raise ValueError(f"observed must be (B, M) bool, found {present.shape} {present.dtype}")
    if present.shape[1] != len(pattern):
        raise ValueError(f"pattern has {len(pattern)} flags for {present.shape[1]} modalities")
    return present & np.asarray(pattern, dtype=np.bool_)
