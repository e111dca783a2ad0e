"""Fitted patients who resemble a new one in what it has, with their outcomes."""

import numpy as np
import pandas as pd

from prime.arrays import Floats, Indices
from prime.predict.asked import MONTH
from prime.predict.kept_patients import KeptPatients
from prime.predict.patients import Patients


def similar_patients(kept: KeptPatients, patients: Patients, count: int, scored: set[str]) -> pd.DataFrame:
    """The nearest fitted patients of the same cancer type, who have at least what the new one has.

    Both are seen through what the new one has. Nobody of the scored set is a neighbour.

    Columns: position (among the patients), rank (from 1), similar_id, distance (1 is the median between two
    fitted patients of the type), months (of follow-up), event (1 observed, 0 not).

    Args:
        kept: the fitted patients.
        patients: new ones.
        count: neighbours of each, where there are so many.
        scored: ids of the scored set.
    """
    foreign = np.array([_key(name) not in {_key(own) for own in scored} for name in kept.ids])
    types, frames = np.array(kept.types), list[pd.DataFrame]()
    for pattern in patients.patterns:
        rows, space = patients.seen(pattern), kept.spaces.get(pattern)
        if space is None or not len(rows):
            continue
        points = (patients.read(rows, pattern) - space.centre) @ space.loadings
        for name in np.unique(patients.types[rows]):
            others = np.flatnonzero(foreign[space.rows] & (types[space.rows] == name))
            if len(others):
                mine = np.flatnonzero(patients.types[rows] == name)
                apart = (
                    np.linalg.norm(points[mine, None] - space.points[others], axis=2) / space.unit[str(name)]
                )
                frames.append(_nearest(kept, apart, rows[mine], space.rows[others], count))
    columns = ["position", "rank", "similar_id", "distance", "months", "event"]
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    return table.sort_values(["position", "rank"], kind="stable", ignore_index=True)


def _nearest(kept: KeptPatients, apart: Floats, rows: Indices, others: Indices, count: int) -> pd.DataFrame:
    order = np.argsort(apart, axis=1, kind="stable")[:, :count]
    chosen = others[order].ravel()
    return pd.DataFrame(
        {
            "position": np.repeat(rows, order.shape[1]),
            "rank": np.tile(np.arange(1, order.shape[1] + 1), len(rows)),
            "similar_id": [kept.ids[i] for i in chosen],
            "distance": np.take_along_axis(apart, order, axis=1).ravel(),
            "months": kept.time_days[chosen] / MONTH,
            "event": kept.event[chosen].astype(np.int64),
        }
    )


def _key(name: str) -> str:
    """An id without case and outer blanks."""
    return name.strip().upper()
