"""Linear probes of one cohort: heads on the embeddings of its folds, and their predictions."""

from collections.abc import Callable

import pandas as pd

from prime.downstream.data import EvaluationData
from prime.downstream.embeddings import EmbeddingCache
from prime.downstream.fit import Fit, prediction_rows
from prime.downstream.probe import probe_folds
from prime.splits.folds import Fold
from prime.splits.outcomes import Outcome


def fit_probes(
    data: EvaluationData,
    outcome: Outcome,
    fit: Fit,
    embedded: Callable[[tuple[Fold, ...]], list[EmbeddingCache]],
) -> pd.DataFrame:
    """Predictions of the linear probes of one cohort; folds that share embeddings are fitted in one batch."""
    groups: dict[int, tuple[EmbeddingCache, list[Fold]]] = {}
    for cache, fold in zip(embedded(fit.folds), fit.folds, strict=True):
        groups.setdefault(id(cache), (cache, []))[1].append(fold)
    settings, names = data.settings, list(data.patterns)
    frames: list[pd.DataFrame] = []
    trainable = 0
    for cache, folds in groups.values():
        heads = probe_folds(cache, outcome, folds, settings.probe, settings.bins, names, fit.missing)
        distinct = {id(heads[p][0]): heads[p][0] for p in names}.values()
        trainable = sum(head.weight[:, 0].numel() + head.bias.numel() for head in distinct)
        for pattern in names:
            for fold, head in zip(folds, heads[pattern], strict=True):
                tested = data.tested(fold, pattern)
                survival = head.survival(cache.take(pattern, tested))
                frames.append(
                    prediction_rows(data, outcome, fit, fold, pattern, tested, survival, head.edges)
                )
    table = pd.concat(frames, ignore_index=True)
    table.attrs["trainable_parameters"] = trainable
    return table
