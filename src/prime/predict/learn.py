"""Learning a prognosis: the head, its bootstrap, and what held-out scores say of every pattern."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from prime.arrays import Flags, Floats, Indices
from prime.days import YEAR
from prime.downstream.cause_fits import cause_ends, cause_labels, hazards_of
from prime.downstream.joint_fits import target_of
from prime.downstream.token_blocks import PatientFeatures
from prime.evaluation.lower_bounds import death_weights, depth_quantiles, label_quantiles
from prime.evaluation.next_test import Shift, fit_shift
from prime.methods.statistics.calibrated import CalibratedScore, calibrate
from prime.methods.statistics.cohort_heads import CohortHead, EndpointLabels, FitHead
from prime.methods.statistics.examples import Target
from prime.methods.statistics.ridge import bin_ends, learnable
from prime.methods.statistics.within_type import Types
from prime.objectives.survival import bin_edges
from prime.predict.competing import CompetingHead, learn_hazards
from prime.predict.prognosis import ANYONE, PERCENTS, Calibration, HeadDraws, Prognosis, TokenMap
from prime.seeds import named_seed
from prime.splits.outcomes import Outcome

YEARS = (1, 3, 5)  # at which baselines are known whatever the bins
AT_RISK = 10  # patients, at least, for that
FINE_BINS = 30
LEAST_EVENTS = 20  # of a cancer type with a calibration of its own, and of a pattern
ANY_TIME = np.array([-np.inf, np.inf])  # a single bin
LEAST_WHOLE = 10  # patients who have a whole pattern, for percentiles from them alone

Scores = dict[str, Floats]  # by pattern, (P,) of all patients, NaN where there is none


@dataclass(frozen=True)
class Labelled:
    """Everything that a prognosis is learned from.

    Attributes:
        features: of all P patients.
        tokens: the map that made the last of them.
        types: (P,) cancer types.
        observed: (P, M).
        patterns: name to M flags.
        sources: of each pattern.
        endpoints: the task's labels first.
        rows: who has any of these labels, sorted.
        members: who has the task's, sorted.
        fold: (members,) the part in which each is held out.
        outcome: of the task.
    """

    features: PatientFeatures
    tokens: TokenMap
    types: Types
    observed: Flags
    patterns: dict[str, tuple[bool, ...]]
    sources: dict[str, tuple[str, ...]]
    endpoints: list[EndpointLabels]
    rows: Indices
    members: Indices
    fold: Indices
    outcome: Outcome

    @property
    def binary(self) -> bool:
        """Whether the task is a label at a horizon."""
        return self.outcome.horizon_days is not None

    def having(self, pattern: str) -> Indices:
        """The members of whom a pattern leaves something."""
        return self.members[(self.observed[self.members] & self.patterns[pattern]).any(axis=1)]

    def whole(self, pattern: str) -> Indices:
        """The members who have all of a pattern."""
        keep = np.array(self.patterns[pattern])
        return self.members[(self.observed[self.members] | ~keep).all(axis=1)]

    def tested(self, rows: Indices, pattern: str) -> Floats:
        """Features (n, p) as of new patients; "all" takes annotations that were predicted out of fold."""
        if pattern == "all":
            return self.features.training(rows)
        return self.features.tested(rows, pattern, self.sources[pattern])


def learn(labelled: Labelled, fit: FitHead, draws: int, seed: int) -> tuple[Prognosis, Scores]:
    """The prognosis, and held-out risks by pattern.

    Args:
        labelled: patients.
        fit: from features and labels to weights.
        draws: bootstrap samples.
        seed: of their draws.
    """
    x = np.zeros((len(labelled.types), len(labelled.features.scale)))
    x[labelled.rows] = labelled.features.training(labelled.rows)
    head = fit(x, labelled.types, labelled.endpoints, labelled.rows)
    scores = _held_out(labelled, fit, x)
    calibrations = _calibrations(labelled, scores)
    bare = Prognosis(
        labelled.features.design.map, labelled.tokens, head, _bootstrap(labelled, fit, x, draws, seed),
        calibrations, {}, {},
    )  # fmt: skip
    risks: Scores = {}
    for pattern, found in scores.items():
        who = np.flatnonzero(~np.isnan(found))
        risks[pattern] = np.full(len(found), np.nan)
        risks[pattern][who] = bare.risks(found[who], labelled.types[who], pattern)
    for name, calibration in calibrations.items():
        mine = np.isin(labelled.types, [name]) | (name == ANYONE)
        calibration.reference.update(_references(labelled, risks, mine))
    competing = _competing(labelled, fit, x, scores) if labelled.outcome.causes else None
    bounds = {pattern: _bound(labelled, bare, risks[pattern], pattern) for pattern in labelled.patterns}
    shifts = _shifts(labelled, risks)
    return replace(bare, bounds=bounds, shifts=shifts, competing=competing), risks


def network_spread(risks: Sequence[Scores]) -> dict[str, float]:
    """By pattern, the standard deviation of a held-out patient's risk over networks.

    The square root of the mean over patients of the variance (divisor K - 1) of K risks, one of each network:
    the part of the risk that follows from the seed of pretraining, the same for all patients of a pattern.

    Args:
        risks: of K >= 2 networks, the same patients scored by heads that were fitted without them; by pattern
            (P,), NaN where there is none.
    """
    found: dict[str, float] = {}
    for pattern, first in risks[0].items():
        values = np.stack([each[pattern] for each in risks])[:, ~np.isnan(first)]
        found[pattern] = float(np.sqrt(values.var(axis=0, ddof=1).mean())) if values.size else 0.0
    return found


# Scores of patients whom a head was fitted without ----------------------------------------------------------


def _held_out(labelled: Labelled, fit: FitHead, x: Floats) -> Scores:
    """Scores of members under every pattern, by heads fitted without their part."""
    scores = {name: np.full(len(labelled.types), np.nan) for name in labelled.patterns}
    part = np.full(len(labelled.types), -1)
    part[labelled.members] = labelled.fold
    for number in np.unique(labelled.fold):
        head = fit(x, labelled.types, labelled.endpoints, labelled.rows[part[labelled.rows] != number])
        for name in labelled.patterns:
            mine = labelled.having(name)
            mine = mine[part[mine] == number]
            if len(mine):
                scores[name][mine] = head(labelled.tested(mine, name), labelled.types[mine])
    return scores


def _bootstrap(labelled: Labelled, fit: FitHead, x: Floats, draws: int, seed: int) -> HeadDraws:
    """Heads of samples with replacement within each cancer type."""
    types, rows = labelled.types, labelled.rows
    groups = [rows[types[rows] == name] for name in np.unique(types[rows])]
    heads = []
    for number in range(draws):
        generator = np.random.default_rng(named_seed(seed, "bootstrap", number))
        sample = np.concatenate([generator.choice(group, len(group)) for group in groups])
        heads.append(fit(x, types, labelled.endpoints, sample))
    own = {
        name: np.stack([h.own.get(name, h.shared) for h in heads]) for name in (heads[0].own if heads else {})
    }
    shared = np.stack([head.shared for head in heads]) if heads else np.zeros((0, x.shape[1]))
    return HeadDraws(shared, own)


def _competing(labelled: Labelled, fit: FitHead, x: Floats, own: Scores) -> CompetingHead:
    """Heads of the events that compete with the task's, and the hazards of all causes."""
    outcome, members = labelled.outcome, labelled.members
    heads: list[CohortHead] = []
    scores = [own]
    for number in range(1, len(outcome.causes)):
        labels = [cause_labels(outcome, members, number)]
        other = replace(labelled, endpoints=labels, rows=members)
        heads.append(fit(x, labelled.types, labels, members))
        scores.append(_held_out(other, fit, x))
    groups = _groups(labelled)
    hazards = learn_hazards(
        {name: np.stack([found[name] for found in scores], axis=1) for name in own},
        groups,
        {name: cause_ends(outcome, rows) for name, rows in groups.items()},
        lambda rows, values, at: hazards_of(outcome, rows, values, at),
        lambda rows: _enough(target_of(outcome, rows, ANY_TIME)),
    )
    return CompetingHead(outcome.causes, tuple(heads), hazards)


# What scores mean -------------------------------------------------------------------------------------------


def _edges(outcome: Outcome, rows: Indices) -> Floats:
    """Fine bins from the events of these patients, with whole years where enough are still followed."""
    if outcome.horizon_days is not None:
        return np.array([-np.inf, np.inf])
    time, event = outcome.time_days[rows], outcome.event[rows]
    last = float(time[event].max())
    entry = np.zeros(len(rows)) if outcome.entry_days is None else outcome.entry_days[rows]
    followed = [(YEAR * year, (time > YEAR * year) & (entry < YEAR * year)) for year in YEARS]
    years = [days for days, at_risk in followed if days < last and at_risk.sum() >= AT_RISK]
    return np.unique(np.append(bin_edges(time, event, FINE_BINS), years))


def _enough(target: Target) -> bool:
    events = int(target.event.sum())
    few = min(events, len(target.event) - events) if target.binary else events
    return learnable(target) and few >= LEAST_EVENTS


def _calibrations(labelled: Labelled, scores: Scores) -> dict[str, Calibration]:
    """That of every cancer type with enough events, and that of everybody together."""
    outcome = labelled.outcome
    result: dict[str, Calibration] = {}
    for name, own in _groups(labelled).items():
        edges = _edges(outcome, own)
        whole = target_of(outcome, own, edges)
        fitted: dict[str, CalibratedScore] = {"all": calibrate(scores["all"][own], whole)}
        for pattern, found in scores.items():
            rows = own[~np.isnan(found[own])]
            target = target_of(outcome, rows, edges)
            fitted[pattern] = calibrate(found[rows], target) if _enough(target) else fitted["all"]
        ends = np.zeros(1) if labelled.binary else _rising(bin_ends(whole))
        result[name] = Calibration(len(own), int(whole.event.sum()), ends, fitted, {})
    return result


def _groups(labelled: Labelled) -> dict[str, Indices]:
    """The members of every cancer type with enough events, and everybody."""
    members, types = labelled.members, labelled.types[labelled.members]
    parts = {str(name): members[types == name] for name in np.unique(types) if name}
    able = {n: own for n, own in parts.items() if _enough(target_of(labelled.outcome, own, ANY_TIME))}
    return {ANYONE: members, **able}


def _rising(ends: Floats) -> Floats:
    """Ends with the last one beyond the others, where the last event is at an edge."""
    if len(ends) > 1 and ends[-1] <= ends[-2]:
        ends[-1] = ends[-2] + 1
    return ends


def _references(labelled: Labelled, risks: Scores, mine: Flags) -> dict[str, Floats]:
    """Percentiles of the risks of those of `mine` (P,) who have a whole pattern.

    Of all who have any of it where they are few; with everything observed where nobody has any of it.
    """
    result: dict[str, Floats] = {}
    for pattern, found in risks.items():
        whole, some = (rows[mine[rows]] for rows in (labelled.whole(pattern), labelled.having(pattern)))
        rows = whole if len(whole) >= LEAST_WHOLE else some
        values = found[rows] if len(rows) else risks["all"][labelled.members[mine[labelled.members]]]
        result[pattern] = np.percentile(values, PERCENTS)
    return result


def _bound(labelled: Labelled, prognosis: Prognosis, risk: Floats, pattern: str) -> Floats:
    """How far the curves (or how high the probabilities) of held-out patients were at their outcomes."""
    rows = labelled.having(pattern)
    outcome, types = labelled.outcome, labelled.types[rows]
    if labelled.binary:
        probability = np.empty(len(rows))
        for calibration, mine in prognosis.by_calibration(types):
            probability[mine] = calibration.probability(risk[rows[mine]], pattern)
        return label_quantiles(probability, outcome.event[rows])
    depth = np.empty(len(rows))
    for calibration, mine in prognosis.by_calibration(types):
        days = np.minimum(outcome.time_days[rows[mine]], calibration.ends[-1])
        hazard = calibration.hazard(days, pattern)
        depth[mine] = -np.expm1(-hazard * np.exp(risk[rows[mine]]))
    weight = np.zeros(len(rows))
    for name in np.unique(types):
        mine = types == name
        who = rows[mine]
        entry = None if outcome.entry_days is None else outcome.entry_days[who]
        weight[mine] = death_weights(outcome.time_days[who], outcome.event[who], entry)
    return depth_quantiles(depth, weight)


def _shifts(labelled: Labelled, risks: Scores) -> dict[str, Shift]:
    """What each larger set of modalities adds: of one more, and of all."""
    found: dict[str, Shift] = {}
    for small, few in labelled.patterns.items():
        for large, more in labelled.patterns.items():
            added = sum(more) - sum(few)
            inside = all(m or not f for f, m in zip(few, more, strict=True))
            if not inside or added < 1 or (added > 1 and not all(more)):
                continue
            rows = labelled.whole(large)
            if (shift := fit_shift(risks[small][rows], risks[large][rows])) is not None:
                found[f"{small}>{large}"] = shift
    return found
