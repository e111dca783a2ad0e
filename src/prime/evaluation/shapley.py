"""Exact Shapley values of a few players from the value of every set of them.

Source: Shapley, "A value for n-person games", 1953. Modalities are the players, what a model says of a
patient from some of them alone is the value of that set; with M modalities there are only 2^M sets, so
nothing is sampled.
"""

from itertools import combinations
from math import factorial

import numpy as np

from prime.arrays import Floats


def shapley(values: Floats, players: int) -> Floats:
    """The Shapley value of every player.

    Args:
        values: (n, 2^players) of n games; column s is the value of the set whose members are the bits of s,
            so that column 0 is the value of nobody and the last column that of all.
        players: at least 1.

    Returns:
        (n, players), whose sum in a row is values[:, -1] - values[:, 0].

    Raises:
        ValueError: another number of columns.
    """
    if values.ndim != 2 or values.shape[1] != 1 << players or players < 1:
        raise ValueError(f"{players} players have {1 << players} sets, found values {values.shape}")
    result = np.zeros((len(values), players))
    for player in range(players):
        others = [other for other in range(players) if other != player]
        for size in range(players):
            weight = factorial(size) * factorial(players - size - 1) / factorial(players)
            for members in combinations(others, size):
                without = sum(1 << member for member in members)
                result[:, player] += weight * (values[:, without | 1 << player] - values[:, without])
    return result
