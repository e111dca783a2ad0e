"""Centroids of the features of many tiles, and the number of tiles of each."""

from typing import cast

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
CLUSTERS = 128
SEED = 42
BATCH = 1024  # scikit-learn's defaults, stated here so that a new default changes nothing
MAX_ITER = 100


def centroids(
    features: Rows, clusters: int = CLUSTERS, seed: int = SEED
) -> tuple[Rows, NDArray[np.int64], NDArray[np.int64]]:
    """Mini-batch k-means (Sculley, WWW 2010) of tiles' features (n, d), as they are, in one thread.

    Returns the centroids (k, d) float32, the number of tiles of each (k,) int64, and which of them each tile
    belongs to (n,) int64. If there are no more tiles than `clusters`, they are the centroids. Empty clusters
    are left out, so that k <= `clusters`.
    """
    if len(features) <= clusters:
        own = np.arange(len(features), dtype=np.int64)
        return features.astype(np.float32), np.ones_like(own), own
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    model = MiniBatchKMeans(clusters, batch_size=BATCH, max_iter=MAX_ITER, n_init="auto", random_state=seed)
    with threadpool_limits(limits=1):
        model.fit(np.ascontiguousarray(features, dtype=np.float32))
    labels = cast(NDArray[np.int32], model.labels_)
    counts = np.bincount(labels, minlength=clusters).astype(np.int64)
    place = np.cumsum(counts > 0) - 1  # once the empty ones are left out
    rows = np.asarray(model.cluster_centers_, dtype=np.float32)
    return rows[counts > 0], counts[counts > 0], place[labels].astype(np.int64)


def padded(rows: Rows, clusters: int = CLUSTERS) -> tuple[Rows, NDArray[np.bool_]]:
    """The rows (k, d) with zero rows added to (clusters, d), and the mask (clusters,), True for real rows."""
    filled = np.zeros((clusters, rows.shape[1]), dtype=np.float32)
    filled[: len(rows)] = rows
    return filled, np.arange(clusters) < len(rows)
