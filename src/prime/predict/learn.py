"""Learning a prognosis: the head, its bootstrap, and what held-out scores say of every pattern."""

from dataclasses import dataclass

import numpy as np

from prime.arrays import Flags, Floats, Indices
from prime.downstream.token_blocks import PatientFeatures
from prime.evaluation.lower_bounds import death_weights, depth_quantiles, label_quantiles
from prime.evaluation.next_test import Shift, fit_shift
from prime.methods.statistics.calibrated import CalibratedScore, calibrate
from prime.methods.statistics.cohort_heads import EndpointLabels, FitHead
from prime.methods.statistics.examples import Target
from prime.methods.statistics.ridge import bin_ends, learnable
from prime.methods.statistics.within_type import Types
from prime.objectives.survival import bin_edges
from prime.predict.prognosis import ANYONE, PERCENTS, Calibration, HeadDraws, Prognosis, TokenMap
from prime.seeds import named_seed
from prime.splits.outcomes import Outcome

YEAR = 365.25
YEARS = (1, 3, 5)  # at which baselines are known whatever the bins
AT_RISK = 10  # patients, at least, for that
FINE_BINS = 30
LEAST_EVENTS = 20  # of a cancer type with a calibration of its own, and of a pattern
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
    bounds = {pattern: _bound(labelled, bare, risks[pattern], pattern) for pattern in labelled.patterns}
    return Prognosis(
        bare.features, bare.tokens, head, bare.draws, calibrations, bounds, _shifts(labelled, risks)
    ), risks


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


# What scores mean -------------------------------------------------------------------------------------------


def _edges(outcome: Outcome, rows: Indices) -> Floats:
    """Fine bins from the events of these patients, with whole years where enough are still followed."""
    if outcome.horizon_days is not None:
        return np.array([-np.inf, np.inf])
    time, event = outcome.time_days[rows], outcome.event[rows]
    last = float(time[event].max())
    years = [YEAR * year for year in YEARS if YEAR * year < last and (time > YEAR * year).sum() >= AT_RISK]
    return np.unique(np.append(bin_edges(time, event, FINE_BINS), years))


def _target(outcome: Outcome, rows: Indices, edges: Floats) -> Target:
    return Target(outcome.time_days[rows], outcome.event[rows], edges, outcome.horizon_days is not None)


def _enough(target: Target) -> bool:
    events = int(target.event.sum())
    few = min(events, len(target.event) - events) if target.binary else events
    return learnable(target) and few >= LEAST_EVENTS


def _calibrations(labelled: Labelled, scores: Scores) -> dict[str, Calibration]:
    """That of every cancer type with enough events, and that of everybody together."""
    outcome, members = labelled.outcome, labelled.members
    groups = {ANYONE: members}
    for name in np.unique(labelled.types[members]):
        own = members[labelled.types[members] == name]
        if name and _enough(_target(outcome, own, np.array([-np.inf, np.inf]))):
            groups[str(name)] = own
    result: dict[str, Calibration] = {}
    for name, own in groups.items():
        edges = _edges(outcome, own)
        whole = _target(outcome, own, edges)
        fitted: dict[str, CalibratedScore] = {"all": calibrate(scores["all"][own], whole)}
        for pattern, found in scores.items():
            rows = own[~np.isnan(found[own])]
            target = _target(outcome, rows, edges)
            fitted[pattern] = calibrate(found[rows], target) if _enough(target) else fitted["all"]
        ends = np.zeros(1) if labelled.binary else bin_ends(whole)
        result[name] = Calibration(len(own), int(whole.event.sum()), ends, fitted, {})
    return result


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
        weight[mine] = death_weights(outcome.time_days[rows[mine]], outcome.event[rows[mine]])
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
