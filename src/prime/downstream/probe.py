"""Linear probes: heads on frozen, cached embeddings, all folds of a cohort fitted in one batch."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prime.arrays import Indices
from prime.downstream.embeddings import EmbeddingCache
from prime.downstream.hazard_model import fit_hazard_models
from prime.errors import InputError
from prime.objectives.survival import assign_bins, nll, survival
from prime.settings.evaluation import ProbeConfig
from prime.splits.evaluation_folds import enough
from prime.splits.folds import Fold
from prime.splits.outcomes import Outcome

PARTS = 5  # for scores of patients whom a head was fitted without
LEAST_SLOPE = 0.01


@dataclass(frozen=True)
class FittedHead:
    """A survival head on frozen embeddings: one linear map from what the network gives to bin logits.

    Attributes:
        weight: (blocks * width, T) float64; centring, scaling and principal components are folded in.
        bias: (T,) float64.
        edges: (T + 1,) float64, days; the first is -inf, the last +inf.
        ridge: the chosen penalty.
    """

    weight: Tensor
    bias: Tensor
    edges: NDArray[np.float64]
    ridge: float

    def survival(self, blocks: NDArray[np.float32]) -> NDArray[np.float64]:
        """Survival probability at the end of each bin: (n, blocks, width) to (n, T)."""
        logits = torch.from_numpy(blocks).double().flatten(1) @ self.weight + self.bias
        return survival(logits).numpy()


@dataclass(frozen=True)
class HeadExamples:
    """Rows to fit a head on: blocks (n, blocks, width), patient, time_days, event, weight (n,).

    edges (T + 1,): the time bins, from these patients' events where there are any.
    """

    blocks: NDArray[np.float32]
    patient: Indices
    time_days: NDArray[np.float64]
    event: NDArray[np.bool_]
    weight: NDArray[np.float64]
    edges: NDArray[np.float64]

    def take(self, rows: NDArray[np.bool_]) -> "HeadExamples":
        """Some of the rows, with the same time bins."""
        return HeadExamples(
            self.blocks[rows],
            self.patient[rows],
            self.time_days[rows],
            self.event[rows],
            self.weight[rows],
            self.edges,
        )


@dataclass(frozen=True)
class Projection:
    """Affine map of flattened blocks to p components: x @ matrix + offset."""

    matrix: Tensor
    offset: Tensor

    def __call__(self, blocks: NDArray[np.float32]) -> Tensor:
        """(n, blocks, width) to (n, p) float64."""
        return torch.from_numpy(blocks).double().flatten(1) @ self.matrix + self.offset


def fit_projection(blocks: NDArray[np.float32], components: int, spectrum_power: float) -> Projection:
    """Standardise each block's features and keep its leading principal components.

    Component j of a block has standard deviation (s_j / s_1) ** spectrum_power: 0 whitens, so that a ridge
    shrinks all components alike; 1 keeps the spectrum, so that it shrinks the minor ones more.
    Fitted on these rows alone, (n, blocks, width).
    """
    x = torch.from_numpy(blocks).double()
    mean, scale = x.mean(0), x.std(0)
    constant = scale < 1e-6
    z = ((x - mean) / scale.clamp_min(1e-6)).masked_fill(constant, 0.0)
    maps: list[Tensor] = []
    for block in range(z.shape[1]):
        part = z[:, block]
        _, s, v = torch.linalg.svd(part, full_matrices=False)
        keep = min(components, int((s > 1e-6 * s[0].clamp_min(1e-12)).sum()))
        deviation = s[:keep] / len(part) ** 0.5
        gain = (deviation / deviation[:1]) ** spectrum_power / deviation
        inverse = torch.where(constant[block], 0.0, 1 / scale[block].clamp_min(1e-6))
        maps.append(inverse[:, None] * v[:keep].T * gain)  # (width, components)
    matrix = torch.block_diag(*maps)
    return Projection(matrix, -(mean.flatten() @ matrix))


def _pad(parts: list[Tensor], fill: float = 0.0) -> Tensor:
    """Stack (n_i, ...) or (n_i, p_i) tensors, padded with `fill`."""
    shape = [max(p.shape[d] for p in parts) for d in range(parts[0].ndim)]
    out = parts[0].new_full((len(parts), *shape), fill)
    for row, part in zip(out, parts, strict=True):
        row[tuple(slice(0, n) for n in part.shape)] = part
    return out


def fit_heads(
    examples: list[HeadExamples], ridges: list[float], config: ProbeConfig
) -> list[list[FittedHead]]:
    """One head for each set of examples and each ridge, all fitted at once: result[set][ridge].

    The scaling and components of a head come from its own examples alone.
    """
    projections = [fit_projection(e.blocks, config.components, config.spectrum_power) for e in examples]
    edges = [e.edges for e in examples]
    features = [p(e.blocks) for p, e in zip(projections, examples, strict=True)]
    labels = [torch.from_numpy(assign_bins(e.time_days, cut)) for e, cut in zip(examples, edges, strict=True)]
    sets, count = len(examples), len(ridges)

    def repeat(stacked: Tensor) -> Tensor:
        return stacked.repeat_interleave(count, dim=0)

    fitted = fit_hazard_models(
        repeat(_pad(features)),
        repeat(_pad(labels)),
        repeat(_pad([torch.from_numpy(e.event) for e in examples])),
        repeat(_pad([torch.from_numpy(e.weight) for e in examples])),
        torch.tensor(ridges, dtype=torch.float64).repeat(sets),
        max(len(cut) - 1 for cut in edges),
        config.hazard == "proportional",
    )
    heads: list[list[FittedHead]] = []
    for i, (projection, cut) in enumerate(zip(projections, edges, strict=True)):
        p, t = projection.matrix.shape[1], len(cut) - 1
        row: list[FittedHead] = []
        for j, ridge in enumerate(ridges):
            weight, bias = fitted.weight[i * count + j, :p, :t], fitted.bias[i * count + j, :t]
            row.append(FittedHead(projection.matrix @ weight, bias + projection.offset @ weight, cut, ridge))
        heads.append(row)
    return heads


def head_nll(head: FittedHead, examples: HeadExamples) -> float:
    """Weighted mean negative log-likelihood of a head on examples; NaN where there are none."""
    if not len(examples.time_days):
        return float("nan")
    logits = torch.from_numpy(examples.blocks).double().flatten(1) @ head.weight + head.bias
    label = torch.from_numpy(assign_bins(examples.time_days, head.edges))
    loss = nll(logits, label, torch.from_numpy(examples.event), reduction="none").numpy()
    return float(np.average(loss, weights=examples.weight))


def with_slope(head: FittedHead, score: Tensor, examples: HeadExamples) -> FittedHead:
    """A head of proportional hazards with the slope and the baseline that held-out scores (n,) ask for.

    The slope is above zero, so that the order of risks stays.
    """
    fitted = fit_hazard_models(
        score[None, :, None],
        torch.from_numpy(assign_bins(examples.time_days, examples.edges))[None],
        torch.from_numpy(examples.event)[None],
        torch.from_numpy(examples.weight)[None],
        torch.tensor([1e-6 * max(float(score.var()), 1e-12)], dtype=torch.float64),
        len(examples.edges) - 1,
        True,
    )
    slope = float(fitted.weight[0, 0, 0].clamp_min(LEAST_SLOPE))
    centre = _line(examples.blocks, head.weight).mean()
    return FittedHead(slope * head.weight, fitted.bias[0] - slope * centre, head.edges, head.ridge)


def _line(blocks: NDArray[np.float32], weight: Tensor) -> Tensor:
    """The log odds (n,) that proportional weights give, less the baseline."""
    return torch.from_numpy(blocks).double().flatten(1) @ weight[:, 0]


def calibrated(
    heads: list[FittedHead], examples: list[HeadExamples], config: ProbeConfig
) -> list[FittedHead]:
    """Each head, fitted on its examples, with slope and baseline from heads that left out a part of them."""
    if config.hazard != "proportional":
        return heads
    part = [e.patient % PARTS for e in examples]
    rests = [e.take(p != k) for e, p in zip(examples, part, strict=True) for k in range(PARTS)]
    able = [bool(rest.event.any()) and len(rest.event) > 1 for rest in rests]
    ridges = sorted({head.ridge for head in heads})
    fitted = iter(fit_heads([rest for rest, use in zip(rests, able, strict=True) if use], ridges, config))
    found = [next(fitted) if use else None for use in able]
    result: list[FittedHead] = []
    for i, (head, own) in enumerate(zip(heads, examples, strict=True)):
        score = torch.zeros(len(own.event), dtype=torch.float64)
        for k in range(PARTS):
            row = found[i * PARTS + k]
            if row is not None:
                held, weight = part[i] == k, row[ridges.index(head.ridge)].weight
                centre = _line(own.blocks[~held], weight).mean()
                score[torch.from_numpy(held)] = _line(own.blocks[held], weight) - centre
        result.append(with_slope(head, score, own) if float(score.std()) > 0 else head)
    return result


def take_examples(
    cache: EmbeddingCache, outcome: Outcome, patients: Indices, patterns: list[str], bins: int
) -> HeadExamples:
    """Rows of these patients under these patterns; each patient weighs one in all."""
    present = [patients[cache.row[name][patients] >= 0] for name in patterns]
    who = np.concatenate(present)
    counts = np.bincount(who, minlength=len(outcome.usable))
    return HeadExamples(
        np.concatenate([cache.take(n, p) for n, p in zip(patterns, present, strict=True)]),
        who,
        outcome.time_days[who],
        outcome.event[who],
        1.0 / counts[who],
        outcome.edges(np.unique(who), bins) if outcome.event[who].any() else np.array([-np.inf, np.inf]),
    )


def training_patterns(config: ProbeConfig, missing: bool, pattern: str, patterns: list[str]) -> list[str]:
    """The patterns that the head for `pattern` is trained on, with or without training on what is missing."""
    if not missing:
        return ["all"]
    return [pattern] if config.missing_heads == "per_pattern" else patterns


def select_and_fit(
    cache: EmbeddingCache,
    outcome: Outcome,
    folds: list[Fold],
    config: ProbeConfig,
    bins: int,
    names: list[str],
) -> list[FittedHead]:
    """One head a fold, trained on the patterns `names`; the ridge with the lowest validation loss.

    With `refit`, the head is fitted again on training and validation patients with the chosen ridge.
    """
    train = [take_examples(cache, outcome, fold.train, names, bins) for fold in folds]
    ridges = list(config.ridge)
    heads = fit_heads(train, ridges, config) if len(ridges) > 1 or not config.refit else []
    chosen = [0] * len(folds)
    if len(ridges) > 1:
        held = [take_examples(cache, outcome, fold.validation, names, bins) for fold in folds]
        losses = [[head_nll(h, e) for h in row] for row, e in zip(heads, held, strict=True)]
        chosen = [int(np.argmin(np.nan_to_num(row, nan=np.inf))) for row in losses]
    if not config.refit:
        picked = [row[i] for row, i in zip(heads, chosen, strict=True)]
        return calibrated(picked, train, config) if config.calibrate else picked
    both = [
        take_examples(cache, outcome, np.concatenate([f.train, f.validation]), names, bins) for f in folds
    ]
    wanted = sorted(set(chosen))
    again = fit_heads(both, [ridges[i] for i in wanted], config)
    picked = [row[wanted.index(i)] for row, i in zip(again, chosen, strict=True)]
    return calibrated(picked, both, config) if config.calibrate else picked


def probe_folds(
    cache: EmbeddingCache,
    outcome: Outcome,
    folds: list[Fold],
    config: ProbeConfig,
    bins: int,
    patterns: list[str],
    missing: bool,
) -> dict[str, list[FittedHead]]:
    """The heads of every fold of one cohort, by test pattern. Shared heads are fitted once.

    `missing`: train also on what is left of the training patients when modalities are taken away.

    Raises InputError where a fold's training patients hold no event.
    """
    for fold in folds:
        if not outcome.event[fold.train].any():
            raise InputError(f"cohort {fold.cohort}, fold {fold.fold}: no event among its training patients")
    fitted: dict[tuple[str, ...], list[FittedHead]] = {}
    result: dict[str, list[FittedHead]] = {}
    for pattern in patterns:
        names = tuple(training_patterns(config, missing, pattern, patterns))
        if names not in fitted:
            fitted[names] = _fit_able(cache, outcome, folds, config, bins, list(names))
        result[pattern] = fitted[names]
    return result


def _fit_able(
    cache: EmbeddingCache,
    outcome: Outcome,
    folds: list[Fold],
    config: ProbeConfig,
    bins: int,
    names: list[str],
) -> list[FittedHead]:
    """The heads of the folds, each fold on its own merits: trained on `names`, or else on "all"."""
    able = [names == ["all"] or _trainable(cache, outcome, fold, names, bins) for fold in folds]
    heads: dict[int, FittedHead] = {}
    for wanted, use in ((True, names), (False, ["all"])):
        chosen = [i for i, found in enumerate(able) if found == wanted]
        if chosen:
            parts = select_and_fit(cache, outcome, [folds[i] for i in chosen], config, bins, use)
            heads |= dict(zip(chosen, parts, strict=True))
    return [heads[i] for i in range(len(folds))]


def _trainable(cache: EmbeddingCache, outcome: Outcome, fold: Fold, names: list[str], bins: int) -> bool:
    """Whether there are enough patients for a pattern's own head; else the head of "all" serves."""
    examples = take_examples(cache, outcome, fold.train, names, bins)
    return enough(len(examples.event), int(examples.event.sum()))
