"""Whether there is a signal, where it comes from, and how steady it is."""

import math
from itertools import combinations

import numpy as np
import pandas as pd

from prime.arrays import Floats
from prime.audit.findings import Finding
from prime.audit.predictions import Predictions
from prime.evaluation.instability import changed_decisions, instability
from prime.evaluation.metrics import Score, concordance_within

LEVEL = 0.05
GAP = 0.02  # of the C-index, from which a person should look
SITE_ALONE = 0.55  # C-index of the site alone, from which a person should look
FEWEST_PAIRS = 1000  # of one site; fewer leave the C-index open by more than the gap
UNSTEADY = 0.1  # mean change of a patient's rank within the fold, of 1
FOLD = ("cohort", "fold", "seed")


def concordance_of(predictions: Predictions, columns: tuple[str, ...], risk: Floats | None = None) -> Score:
    """C-index over the pairs that agree in these columns; of labels the area under the ROC curve."""
    time, event = predictions.outcome
    risks = predictions.risk if risk is None else risk
    strata, entry = predictions.strata(*columns), predictions.entry
    late = entry if np.isfinite(entry).any() else None
    if late is not None:  # who was there from the beginning
        late = np.where(np.isfinite(late), late, time.min() - 1.0)
    return concordance_within(time, event, risks, strata, entry=late)


def permuted_labels(predictions: Predictions, replicates: int, seed: int) -> Finding:
    """The C-index against those of outcomes dealt anew within each fold."""
    tested = predictions.tested.first_seed
    name, score = "permuted labels", concordance_of(tested, FOLD)
    if math.isnan(score.value):
        return Finding(name, "not checked", f"no C-index: {score.reason}", {}, predictions.setting)
    generator, strata = np.random.default_rng(seed), tested.strata(*FOLD)
    places = [np.flatnonzero(strata == label) for label in np.unique(strata)]
    drawn = np.empty(replicates)
    for k in range(replicates):
        risk = tested.risk
        for rows in places:
            risk[rows] = risk[generator.permutation(rows)]
        drawn[k] = concordance_of(tested, FOLD, risk).value
    low, high = np.quantile(drawn, [0.025, 0.975])
    p = (1 + int((drawn >= score.value).sum())) / (replicates + 1)
    wrong_way = (1 + int((drawn <= score.value).sum())) / (replicates + 1)
    numbers = {"c_index": score.value, "low": float(low), "high": float(high), "p": p}
    text = f"C-index {score.value:.3f}; outcomes dealt anew give {low:.3f} to {high:.3f} (p {p:.3f})"
    if wrong_way < LEVEL / 2:
        text += ": below chance; is the risk turned around, or the event coded as censoring?"
        return Finding(name, "wrong", text, numbers, predictions.setting)
    if p > LEVEL:
        return Finding(name, "look", text + ": no better than chance", numbers, predictions.setting)
    return Finding(name, "fine", text, numbers, predictions.setting)


def type_alone(predictions: Predictions) -> Finding:
    """What the cancer type alone gives where patients of several types are ranked together."""
    tested, name = predictions.tested.first_seed, "cancer type alone"
    if "cohort" not in predictions.given or tested.frame["cohort"].nunique() < 2:
        text = "a single cancer type" if "cohort" in predictions.given else "give a column cohort"
        return Finding(name, "not checked", text, {}, predictions.setting)
    pooled = concordance_of(tested, ("fold",)).value
    within = concordance_of(tested, FOLD).value
    alone = concordance_of(tested, ("fold",), rates(tested, ["cohort"])).value
    numbers = {"pooled": pooled, "within_type": within, "type_alone": alone}
    text = (
        f"all pairs of a fold {pooled:.3f}, pairs of one type {within:.3f}; the type alone gives {alone:.3f}"
        " on all pairs"
    )
    if pooled - within > GAP:
        text += ": report the pairs of one type"
        return Finding(name, "look", text, numbers, predictions.setting)
    return Finding(name, "fine", text, numbers, predictions.setting)


def site(predictions: Predictions) -> Finding:
    """How much of the ranking knowing the hospital gives, and what is left among patients of one hospital."""
    tested, name = predictions.tested.first_seed, "site"
    known = tested.frame["site"] != ""
    located = Predictions(tested.frame[known].reset_index(drop=True), tested.setting, tested.given)
    if not known.any() or located.frame["site"].nunique() < 2:
        text = "give a column site, or TCGA barcodes as ids"
        return Finding(name, "not checked", text, {}, predictions.setting)
    every, one = concordance_of(located, FOLD), concordance_of(located, (*FOLD, "site"))
    alone = concordance_of(located, FOLD, rates(located, ["cohort", "site"])).value
    folds = located.frame.groupby(["cohort", "site"])["fold"].nunique()
    keys = pd.MultiIndex.from_frame(located.frame[["cohort", "site"]])
    shared = float((folds.reindex(keys).to_numpy() > 1).mean())
    numbers = {
        "all_pairs": every.value, "pairs_of_one_site": one.value, "site_alone": alone,
        "share_trained_on_site": shared, "pairs": float(one.pairs or 0),
    }  # fmt: skip
    text = (
        f"{shared:.0%} of tested patients come from a site that other folds hold; all pairs"
        f" {every.value:.3f}, pairs of one site {_text(one.value)} ({one.pairs or 0:,}); the site alone gives"
        f" {alone:.3f}"
    )
    gap = every.value - one.value
    if (gap > GAP and (one.pairs or 0) >= FEWEST_PAIRS) or alone > SITE_ALONE:
        text += ": test with folds of whole sites"
        return Finding(name, "look", text, numbers, predictions.setting)
    return Finding(name, "fine", text, numbers, predictions.setting)


def rates(predictions: Predictions, columns: list[str]) -> Floats:
    """(n,) events by time of each patient's group in the other folds, drawn to the mean by one event."""
    frame = predictions.frame
    frame = frame.assign(time=frame["time"] - np.maximum(frame["entry"], 0.0))
    total = frame["event"].sum() / max(frame["time"].sum(), 1e-12)
    found = np.empty(len(frame))
    for fold, mine in frame.groupby("fold", sort=False):
        sums = frame[frame["fold"] != fold].groupby(columns)[["event", "time"]].sum()
        rate = (sums["event"] + 1.0) / (sums["time"] + 1.0 / max(float(total), 1e-12))
        keys = pd.MultiIndex.from_frame(mine[columns]) if len(columns) > 1 else pd.Index(mine[columns[0]])
        found[mine.index.to_numpy()] = rate.reindex(keys).fillna(float(total)).to_numpy()
    return found


def best_epoch(predictions: Predictions) -> Finding:
    """What choosing the best epoch on the test fold would add to the last one's C-index."""
    name = "selection on the test fold"
    frame = predictions.frame[predictions.frame["part"] == "test"]
    if frame["epoch"].nunique() < 2:
        text = "give predictions of several epochs with a column epoch"
        return Finding(name, "not checked", text, {}, predictions.setting)
    gaps: list[float] = []
    for _, fold in frame.groupby(list(FOLD), sort=False):
        by_epoch = [
            concordance_of(Predictions(part.reset_index(drop=True), "", predictions.given), FOLD).value
            for _, part in fold.groupby("epoch")
        ]
        gaps.append(float(np.nanmax(by_epoch) - by_epoch[-1]) if not np.isnan(by_epoch).all() else math.nan)
    gap = float(np.nanmean(gaps)) if gaps else math.nan
    numbers = {"gap": gap, "folds": float(len(gaps))}
    text = f"the best epoch of each test fold is {gap:.3f} above the last one ({len(gaps)} folds)"
    if gap > GAP:
        text += ": be sure that the epoch was not chosen there"
        return Finding(name, "look", text, numbers, predictions.setting)
    return Finding(name, "fine", text, numbers, predictions.setting)


def seeds(predictions: Predictions) -> Finding:
    """How far patients' ranks and the C-index move from seed to seed."""
    tested, name = predictions.tested, "instability over seeds"
    if tested.frame["seed"].nunique() < 2:
        return Finding(
            name,
            "not checked",
            "give predictions of several seeds with a column seed",
            {},
            predictions.setting,
        )
    frame = tested.frame.assign(
        rank=tested.frame.groupby(list(FOLD))["risk"].rank(pct=True, method="average")
    )
    wide = frame.pivot_table(index=["cohort", "patient_id"], columns="seed", values="rank").dropna()
    scores = [
        concordance_of(Predictions(part.reset_index(drop=True), "", tested.given), FOLD).value
        for _, part in frame.groupby("seed", sort=False)
    ]
    ranks = wide.to_numpy(dtype=np.float64).T
    if not ranks.shape[1]:
        return Finding(name, "not checked", "no patient is tested with every seed", {}, predictions.setting)
    moved = instability(ranks.mean(axis=0), ranks).mean_error
    crossed = [changed_decisions(a, b[None], 0.5).mean() for a, b in combinations(ranks, 2)]
    numbers = {
        "mean_move": moved, "cross_median": float(np.mean(crossed)), "c_index_std": float(np.nanstd(scores)),
        "seeds": float(len(scores)), "patients": float(ranks.shape[1]),
    }  # fmt: skip
    text = (
        f"a patient's place in the fold moves by {100 * moved:.1f} % around the mean of {len(scores)} seeds;"
        f" {numbers['cross_median']:.0%} change sides of the median from seed to seed; C-index ±"
        f" {numbers['c_index_std']:.3f}"
    )
    return Finding(name, "look" if moved > UNSTEADY else "fine", text, numbers, predictions.setting)


def _text(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
