"""One patient as a short report: what is predicted, what it rests on, who is alike, what could be tested."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from prime.arrays import Floats, Indices
from prime.explore.charts import Line, bar_chart, survival_chart
from prime.explore.cohort import Explored
from prime.explore.prepare import MONTHS
from prime.explore.sentences import Sentence
from prime.predict.asked import Asked
from prime.predict.predict import CPU, UNKNOWN, month_name, score_patients
from prime.serve.memory_store import part_of
from prime.store.vectors import source_vectors

YEARS = (1, 3, 5)
FEATURES = 12  # of a patient that are shown
SIMILAR = 8
END = 72.0  # months, of the axis
ENDS = ("rest", "average patient")


@dataclass(frozen=True)
class Chance:
    """A probability with its interval, in words."""

    label: str
    value: str
    interval: str


@dataclass(frozen=True)
class Share:
    """A part of the risk: of a modality or a feature; `value` is what was measured, with what is typical."""

    name: str
    contribution: float
    bar: Markup
    value: str = ""


@dataclass(frozen=True)
class Source:
    """A source of a modality, and whether the patient has it: rows, features without a number."""

    modality: str
    name: str
    seen: bool
    filled_in: bool
    detail: str


@dataclass(frozen=True)
class Alike:
    """A patient whose embedding is near: position, and what is known."""

    row: int
    patient_id: str
    type: str
    has: str
    cosine: float
    outcome: str


@dataclass(frozen=True)
class Test:
    """What a missing test could change; shares and probabilities as text."""

    name: str
    risk_now: float
    risk_low: float
    risk_high: float
    changes: str
    gain: str


@dataclass(frozen=True)
class PatientReport:
    """Everything that the page of a patient shows; empty or None where there is none."""

    row: int
    patient_id: str
    type: str
    site: str
    outcome: str
    status: str
    remarks: tuple[str, ...]
    chances: tuple[Chance, ...]
    median: str
    outlives: str
    percentile: str
    chart: Markup | None
    sources: tuple[Source, ...]
    modalities: tuple[Share, ...]
    features: tuple[Share, ...]
    sentences: tuple[Sentence, ...]
    similar: tuple[Alike, ...]
    tests: tuple[Test, ...]


def report(explored: Explored, row: int, sentences: Sequence[Sentence] = ()) -> PatientReport:
    """The report of the patient at a position in the store."""
    told = explored.prediction(row)
    scored = told is not None and told["status"] == "scored"
    return PatientReport(
        row=row,
        patient_id=explored.ids[row],
        type=explored.types[row] or "not stated",
        site=explored.sites[row] or "not stated",
        outcome=outcome_words(explored, row),
        status="" if told is None else str(told["status"]),
        remarks=() if told is None else _remarks(told),
        chances=_chances(explored, told) if told is not None and scored else (),
        median=_median(told) if told is not None and scored and explored.is_survival else "",
        outlives=_outlives(told) if told is not None and scored and explored.is_survival else "",
        percentile=_number(told["percentile"], "{:.0f}") if told is not None and scored else "",
        chart=_chart(explored, row) if scored and explored.is_survival else None,
        sources=tuple(_sources(explored, row, scored)),
        modalities=_by_modality(told) if told is not None and scored else (),
        features=_by_feature(explored, row) if scored else (),
        sentences=tuple(sentences),
        similar=tuple(alike(explored, row)),
        tests=_tests(explored, row) if scored else (),
    )


def outcome_words(explored: Explored, row: int) -> str:
    """What is known of a patient's outcome."""
    time, event = explored.outcome
    if np.isnan(time[row]):
        return "not known"
    what = f"event ({explored.endpoint})" if event[row] == 1 else "followed without an event"
    return f"{what}, {'at' if event[row] == 1 else 'up to'} {time[row]:.1f} months"


def _number(value: Any, form: str) -> str:
    return "" if value is None or np.isnan(float(value)) else form.format(float(value))


def _remarks(told: "pd.Series[Any]") -> tuple[str, ...]:
    """What has to be said before the numbers are read."""
    seen = {
        "fitting": "This patient served the fit of the model: the prediction is flattered.",
        "pretraining": "This patient served pretraining, without outcomes: the prediction may be flattered.",
        UNKNOWN: "Whether this patient served the model is not known: it travels without its patients.",
    }.get(str(told["seen_in"]), "")
    return tuple(text for text in (seen, str(told["reason"])) if text)


def _chances(explored: Explored, told: "pd.Series[Any]") -> tuple[Chance, ...]:
    if explored.is_survival:
        pairs = [(f"alive at {y} year{'s' * (y > 1)}", month_name(12 * y)) for y in YEARS]
    else:
        pairs = [("probability of the event", "probability")]
    found: list[Chance] = []
    for label, column in pairs:
        value = _number(100 * told[column], "{:.0f} %")
        ends = [_number(100 * told[column + end], "{:.0f}") for end in ("_low", "_high")]
        found.append(Chance(label, value or "not known", f"{ends[0]} to {ends[1]} %" if value else ""))
    return tuple(found)


def _median(told: "pd.Series[Any]") -> str:
    return _number(told["median_months"], "{:.0f} months") or "beyond what is known"


def _outlives(told: "pd.Series[Any]") -> str:
    return _number(told["outlives_90_months"], "{:.0f} months") or "not known"


def _chart(explored: Explored, row: int) -> Markup | None:
    """The patient's curve with its interval, over the band of everybody of the same type."""
    table = explored.findings.predictions
    if table is None or np.isnan(float(table[month_name(MONTHS[0])].iloc[row])):
        return None
    curves = [
        table[[month_name(month) + end for month in MONTHS]].to_numpy(dtype=np.float64)
        for end in ("", "_low", "_high")
    ]
    months = np.append(0.0, MONTHS)
    own, low, high = (np.append(1.0, values[row]) for values in curves)
    peers = curves[0][np.array(explored.types, dtype=object) == explored.types[row]]
    peers = peers[~np.isnan(peers).all(axis=1)]
    lines = [Line("interval", months, own, "c0", low, high)]
    if len(peers) > 1:
        band = [np.append(1.0, _quantile(peers, share)) for share in (0.1, 0.5, 0.9)]
        lines.insert(0, Line("type", months, band[1], "peer", band[0], band[2]))
    time, _ = explored.outcome
    marks = [float(time[row])] if time[row] <= END else []
    return survival_chart(lines, END, f"Predicted survival of {explored.ids[row]} over 69 months", marks)


def _quantile(values: Floats, share: float) -> Floats:
    """Quantiles (T,) of the known values of columns (n, T); NaN where nothing is known."""
    known = ~np.isnan(values).all(axis=0)
    result = np.full(values.shape[1], np.nan)
    result[known] = np.nanquantile(values[:, known], share, axis=0)
    return result


def _sources(explored: Explored, row: int, scored: bool) -> list[Source]:
    """Every source of the network, with what the patient has of it."""
    found: list[Source] = []
    store = explored.store
    for modality, names in explored.checkpoint.model.inputs.modalities.items():
        for name in names:
            if name not in store.sources or store.index(name)[row, 1] == 0:
                found.append(Source(modality, name, False, scored, "not there"))
                continue
            start, count = store.index(name)[row].tolist()
            values = np.asarray(store.values(name)[start : start + count])
            missing = int(np.isnan(values).all(axis=0).sum())
            rows = f"{count:,} {'rows' if count > 1 else 'row'} of {values.shape[1]:,} features"
            lack = f", {missing:,} without a number" if missing else ""
            found.append(Source(modality, name, True, False, rows + lack))
    return found


def _scaled(shares: Sequence[tuple[str, float, str]]) -> tuple[Share, ...]:
    """Shares with bars that are as long as they are large."""
    largest = max((abs(value) for _, value, _ in shares), default=0.0) or 1.0
    return tuple(
        Share(name, value, bar_chart(value / largest, "worse" if value > 0 else "better"), text)
        for name, value, text in shares
    )


def _by_modality(told: "pd.Series[Any]") -> tuple[Share, ...]:
    why = [(str(c).removeprefix("why_"), float(told[c]), "") for c in told.index if str(c).startswith("why_")]
    return _scaled(why)


def _by_feature(explored: Explored, row: int) -> tuple[Share, ...]:
    """The features that move the risk most; what they hold, and what is typical in the fit."""
    model = explored.model
    assert model is not None
    part = part_of(explored.store, np.array([row]))
    reasons = score_patients(model, part, CPU, Asked(), FEATURES, any_type=True).reasons
    assert reasons is not None
    shares: list[tuple[str, float, str]] = []
    values: dict[str, Floats] = {}
    for item in reasons.to_dict("records"):
        source, feature = str(item["source"]), str(item["feature"])
        if source and source in part.sources and source not in values:
            values[source] = source_vectors(part, source)[1][0]
        name = feature if feature in ENDS and not source else f"{source}: {feature}"
        shares.append((name, float(item["contribution"]), _value(explored, source, feature, values)))
    return _scaled(shares)


def _value(explored: Explored, source: str, feature: str, values: dict[str, Floats]) -> str:
    model, names = explored.model, explored.store.sources
    known = names[source].feature_names if source in names else None
    if model is None or known is None or feature not in known or len(values[source]) != len(known):
        return ""
    place = known.index(feature)
    value = values[source][place]
    trained = list(model.description.feature_names.get(source, ()))
    text = "no number" if np.isnan(value) else f"{value:.3g}"
    if feature not in trained:
        return text
    centre = float(model.ranges[source].centre[trained.index(feature)])
    return f"{text} (median {centre:.3g})"


def alike(explored: Explored, row: int, most: int = SIMILAR) -> list[Alike]:
    """The patients whose embeddings have the largest cosine with a patient's, the nearest first."""
    pooled = explored.findings.pooled
    if np.isnan(pooled[row]).any():
        return []
    size = np.linalg.norm(pooled, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = pooled @ pooled[row] / (size * size[row])
    cosine[row] = -np.inf
    near: Indices = np.argsort(-np.nan_to_num(cosine, nan=-np.inf), kind="stable")[:most]
    return [
        Alike(
            i, explored.ids[i], explored.types[i], explored.patterns[i], float(cosine[i]),
            outcome_words(explored, i),
        )
        for i in near.tolist()
        if np.isfinite(cosine[i])
    ]  # fmt: skip


def _tests(explored: Explored, row: int) -> tuple[Test, ...]:
    table = explored.findings.tests
    if table is None:
        return ()
    mine = table[table["patient_id"] == explored.ids[row]]
    return tuple(
        Test(
            str(item["test"]), float(item["risk_now"]), float(item["risk_low"]), float(item["risk_high"]),
            _number(100 * item["group_changes"], "{:.0f} %"), _number(item["gain"], "{:.4f}"),
        )
        for item in mine.to_dict("records")
    )  # fmt: skip
