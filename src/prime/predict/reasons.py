"""Why a patient's risk is what it is: by modality, and by feature.

Modalities share a risk by their exact Shapley values: every set of them is scored. Within what a patient has,
the head is linear in blocks and covariates, so the contribution of every feature is exact: missing blocks are
linear in those that are there, and so are predicted annotations. PRIME's tokens stand as one part a modality.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from prime.arrays import Flags, Floats, Indices
from prime.evaluation.shapley import shapley
from prime.methods.statistics.blocks import Blocks
from prime.methods.statistics.design import COVARIATES
from prime.methods.statistics.examples import Population
from prime.methods.statistics.within_type import Types
from prime.predict.patients import Patients
from prime.predict.prognosis import Prognosis

CLINICAL = "clinical"  # the player that stands for covariates


def players(prognosis: Prognosis, modalities: tuple[str, ...]) -> tuple[str, ...]:
    """The names of those who share a risk: modalities, and covariates where they are features."""
    return modalities if prognosis.features.covariates is None else (*modalities, CLINICAL)


def modality_values(prognosis: Prognosis, patients: Patients) -> Floats:
    """Exact Shapley values (n, players) of the risks of patients; their sum is the risk.

    Without anything the risk is that of the average patient, 0; a modality that a patient lacks gets 0.
    """
    count = patients.observed.shape[1]
    clinical = np.array([name == COVARIATES for name in prognosis.features.owner])
    extra = prognosis.features.covariates is not None
    values = np.zeros((len(patients.rows), 1 << (count + extra)))
    bits = 1 << np.arange(count)
    for name, keep in patients.patterns.items():
        rows = patients.having(name)
        if not len(rows):
            continue
        x = patients.read(rows, name)
        own = bits[np.array(keep)].sum()
        shadows = [s for s in range(1 << count) if s & own == own]
        for with_clinical in range(1 + extra):
            seen = x if with_clinical or not extra else _without(x, clinical)
            risk = prognosis.risks(prognosis.head(seen, patients.types[rows]), patients.types[rows], name)
            for members in shadows:
                # The set's observed part must be exactly this pattern.
                same = ((patients.observed[rows] & _flags(members, count)) == np.array(keep)).all(axis=1)
                values[rows[same], members + (with_clinical << count)] = risk[same]
    if extra:
        alone = _clinical_alone(prognosis, patients, clinical)
        for members in range(1 << count):
            hidden = ~(patients.observed & _flags(members, count)).any(axis=1)
            values[hidden, members + (1 << count)] = alone[hidden]
    return shapley(values, count + extra)


def _clinical_alone(prognosis: Prognosis, patients: Patients, clinical: Flags) -> Floats:
    """What covariates (n,) add to the risk of an average patient of whom nothing else is known."""
    x = np.zeros((len(patients.rows), len(prognosis.head.shared)))
    x[:, np.flatnonzero(clinical)] = patients.features.design.covariates
    having, nothing = (
        prognosis.risks(prognosis.head(seen, patients.types), patients.types, "all")
        for seen in (x, np.zeros_like(x))
    )
    return having - nothing


def _without(x: Floats, clinical: Flags) -> Floats:
    result = x.copy()
    result[:, np.flatnonzero(clinical)] = 0.0
    return result


def _flags(members: int, count: int) -> Flags:
    return (members >> np.arange(count)) & 1 == 1


# Within what a patient has ----------------------------------------------------------------------------------


def feature_contributions(
    prognosis: Prognosis,
    patients: Patients,
    population: Population,
    names: dict[str, tuple[str, ...]],
    top: int,
) -> pd.DataFrame:
    """The `top` features of every patient that move the risk most, and the rest as one row.

    Columns: position (among the patients), source, feature, contribution (to the risk, log hazard or log
    odds). The contributions of a patient, with the rows `rest` and `average patient`, sum to the risk.

    Args:
        prognosis: the head.
        patients: who.
        population: their raw vectors.
        names: of the features of sources; numbers stand where there are none.
        top: rows a patient.
    """
    read = {s: population.sources[s]() for s in prognosis.features.encoders if s in population.sources}
    frames = [
        _contributions_of(prognosis, patients, read, names, rows, pattern, top)
        for pattern in patients.patterns
        for rows in _alike(patients, patients.seen(pattern))
    ]
    found = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return found.sort_values("position", kind="stable", ignore_index=True)


def _alike(patients: Patients, rows: Indices) -> list[Indices]:
    """These rows in groups of one cancer type and the same blocks."""
    there = patients.features.design.blocks.there[rows]
    keys = np.array(
        [f"{t}|{row.tobytes().hex()}" for t, row in zip(patients.types[rows], there, strict=True)]
    )
    return [rows[keys == key] for key in np.unique(keys)]


def _contributions_of(
    prognosis: Prognosis,
    patients: Patients,
    read: dict[str, tuple[Indices, Floats]],
    names: dict[str, tuple[str, ...]],
    rows: Indices,
    pattern: str,
    top: int,
) -> pd.DataFrame:
    """Of patients of one type, pattern and the same blocks."""
    types, design = patients.types[rows], patients.features.design
    weight = prognosis.head.own.get(str(types[0]), prognosis.head.shared)
    blocks = design.blocks.take(rows)
    effective = _effective_weights(prognosis, blocks, weight)
    parts: list[Floats] = []
    labels: list[tuple[str, str]] = []
    for source, encoder in prognosis.features.encoders.items():
        mine = blocks.owner == source
        if not blocks.there[0, mine].any():
            continue
        who, values = read[source]
        z = encoder.standardise(values[np.searchsorted(who, rows)], types)
        parts.append(z * (encoder.loadings @ effective[mine]))
        width = z.shape[1]
        own = names.get(source)
        labels += [(source, own[i] if own and len(own) == width else str(i)) for i in range(width)]
    place = blocks.first(prognosis.features.counts).values.shape[1]
    if prognosis.features.covariates is not None:
        columns = prognosis.features.covariates.names
        parts.append(design.covariates[rows] * weight[place : place + len(columns)])
        labels += [(CLINICAL, name) for name in columns]
    x = patients.read(rows, pattern)
    start = len(prognosis.features.scale)
    for number, encoder in enumerate(prognosis.tokens.encoders):
        stop = start + encoder.loadings.shape[1]
        parts.append((x[:, start:stop] @ weight[start:stop])[:, None])
        labels.append(("tokens", f"block {number}"))
        start = stop
    whole = np.concatenate(parts, axis=1)
    return _largest(*_on_the_scale_of_risk(prognosis, whole, x, types, pattern), labels, rows, top)


def _effective_weights(prognosis: Prognosis, blocks: Blocks, weight: Floats) -> Floats:
    """What one unit of each observed column (p,) adds to the score, by way of filled-in columns as well."""
    size = len(blocks.owner)
    there = np.repeat(blocks.there[:1], size, axis=0)
    unit = replace(blocks, values=np.eye(size) * there, there=there, types=np.repeat(blocks.types[:1], size))
    features = prognosis.features
    bare = replace(features, covariates=None)
    x = bare.of_blocks(Population(unit.types, {}, {}, np.zeros(0, dtype=np.int64)), unit)
    filled = x.features(np.arange(size), tuple(np.unique(blocks.owner)))
    clinical = 0 if features.covariates is None else len(features.covariates.names)
    lead = blocks.first(features.counts).values.shape[1]
    own = np.concatenate([weight[:lead], weight[lead + clinical : len(features.scale)]])
    return filled @ own


def _on_the_scale_of_risk(
    prognosis: Prognosis, parts: Floats, x: Floats, types: Types, pattern: str
) -> tuple[Floats, Floats]:
    """Contributions (n, k) to the risk instead of the score, and what the average patient has (n,)."""
    scores = prognosis.head(x, types)
    scaled, average = np.empty_like(parts), np.empty(len(parts))
    for calibration, rows in prognosis.by_calibration(types):
        model = calibration.scores[pattern].model
        line = model.score(scores[rows, None])
        risk = calibration.risk(scores[rows], pattern)
        shrunk = np.divide(risk, line, out=np.ones_like(risk), where=line != 0)
        scaled[rows] = parts[rows] * float(model.weight[0]) * shrunk[:, None]
        average[rows] = -float(model.weight[0] * model.centre[0]) * shrunk
    return scaled, average


def _largest(
    parts: Floats, average: Floats, labels: list[tuple[str, str]], rows: Indices, top: int
) -> pd.DataFrame:
    """The largest of parts (n, k) a patient, then the rest and what the average patient has."""
    order = np.argsort(-np.abs(parts), axis=1, kind="stable")[:, :top]
    kept = np.take_along_axis(parts, order, axis=1)
    values = np.column_stack([kept, parts.sum(axis=1) - kept.sum(axis=1), average])
    source = np.array([s for s, _ in labels], dtype=object)[order]
    feature = np.array([f for _, f in labels], dtype=object)[order]
    ends = np.full((len(rows), 2), "", dtype=object)
    last = np.tile(np.array(["rest", "average patient"], dtype=object), (len(rows), 1))
    return pd.DataFrame(
        {
            "position": np.repeat(rows, values.shape[1]),
            "source": np.concatenate([source, ends], axis=1).ravel(),
            "feature": np.concatenate([feature, last], axis=1).ravel(),
            "contribution": values.ravel(),
        }
    )
