"""Checks of the arrays that the metrics are given, shared by all of them.

Each returns the array in the type that the equations use, or raises ValueError naming the argument.
"""

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Flags, Floats


def survival_arrays(time: NDArray[np.floating], event: NDArray[np.bool_]) -> tuple[Floats, Flags]:
    """Times as float64 and events as bool, both (n,); ValueError where they are not that."""
    events = bool_vector(event, "event")
    return finite_vector(time, len(events), "time"), events


def follow_up_times(time: NDArray[np.floating]) -> Floats:
    """Times as float64 (n,); ValueError where one is negative or not finite."""
    times = finite_vector(time, None, "time")
    if (times < 0.0).any():
        raise ValueError(f"time has {int((times < 0.0).sum())} negative values")
    return times


def entry_times(entry: NDArray[np.floating], time: Floats) -> Floats:
    """Times of delayed entry as float64, as long as `time`; ValueError where one is not before its time."""
    entries = finite_vector(entry, len(time), "entry")
    if (entries >= time).any():
        raise ValueError(f"entry has {int((entries >= time).sum())} values that are not before the time")
    return entries


def cause_vector(values: NDArray[np.integer], length: int) -> NDArray[np.int64]:
    """Causes as int64 (0 = censored, else the number of the event); ValueError where they are not that."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.shape != (length,) or (array < 0).any():
        raise ValueError(
            f"cause must be whole numbers from 0, of shape ({length},), found {array.dtype} of {array.shape}"
        )
    return array.astype(np.int64)


def bool_vector(values: NDArray[np.bool_], name: str) -> Flags:
    """The vector as it is; ValueError where it is not bool or not one vector."""
    array = np.asarray(values)
    if array.dtype != np.bool_ or array.ndim != 1:
        raise ValueError(f"{name} must be one bool vector, found {array.dtype} of shape {array.shape}")
    return array


def sized_bool_vector(values: NDArray[np.bool_], length: int, name: str) -> Flags:
    """The vector as it is; ValueError where it is not bool or has another length."""
    array = np.asarray(values)
    if array.dtype != np.bool_ or array.shape != (length,):
        raise ValueError(
            f"{name} must be bool of shape ({length},), found {array.dtype} of shape {array.shape}"
        )
    return array


def finite_vector(values: NDArray[np.floating], length: int | None, name: str) -> Floats:
    """The vector as float64; ValueError for another length (None: any) or values that are not finite."""
    array = np.asarray(values, dtype=np.float64)
    return finite_matrix(array, array.shape[:1] if length is None else (length,), name)


def finite_matrix(array: Floats, shape: tuple[int, ...], name: str) -> Floats:
    """The array as it is; ValueError for another shape or values that are not finite."""
    if array.shape != shape or not shape:
        raise ValueError(f"{name} must have shape {shape or '(q,)'}, found {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has {int((~np.isfinite(array)).sum())} values that are not finite")
    return array


def probability_vector(values: NDArray[np.floating], length: int, name: str) -> Floats:
    """The vector as float64; ValueError for another length or values outside [0, 1]."""
    array = finite_vector(values, length, name)
    check_probabilities(array, name)
    return array


def check_probabilities(values: Floats, name: str) -> None:
    """ValueError where a value lies outside [0, 1] or is NaN."""
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"{name} must lie within [0, 1]")


def check_level(level: float) -> None:
    """ValueError where the coverage of an interval is not in (0, 1)."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be in (0, 1), found {level}")
