"""Scoring new patients with whatever they have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from prime.arrays import Flags, Floats
from prime.errors import InputError
from prime.files import replacing, write_csv, writing_below
from prime.predict.asked import MONTH, Asked
from prime.predict.columns import (
    month_name,
    no_columns,
    possible_in_words,
    probability_columns,
    risk_interval,
    survival_columns,
)
from prime.predict.incidence import incidence_columns, incidence_values, score_intervals
from prime.predict.inputs import observed_modalities, require_inputs
from prime.predict.model_folder import FittedModel, load_model
from prime.predict.patient_figure import FEATURES, grid_months, patient_figures, write_patient_figures
from prime.predict.patients import Patients, read_patients
from prime.predict.reasons import feature_contributions, modality_values, players
from prime.predict.similar import similar_patients
from prime.predict.source_values import source_values
from prime.predict.unusual import unusual
from prime.predict.worth_of_tests import worth_of_tests
from prime.render.figure import Figure
from prime.store.store import Store

CPU = torch.device("cpu")
PLAIN = Asked()
RISKS: tuple[str, ...] = ("risk", "risk_low", "risk_high")
NOTHING = "no modality: none of the patient's data could be used"
UNKNOWN = "unknown"  # whether a patient served a model that travels without its patients
SHARED_BASELINE = "survival is by the baseline of all types together: the model has none of this type alone"

Names = NDArray[np.object_]


def _labels(names: Sequence[str], rows: Flags) -> list[str]:
    return ["+".join(n for n, has in zip(names, row, strict=True) if has) for row in rows.tolist()]


def columns(model: FittedModel, asked: Asked) -> list[str]:
    """The numbers of a table of predictions, in their order."""
    names = ["risk", "risk_low", "risk_high", "percentile"]
    if (competing := model.prognosis.competing) is not None:
        names += list(incidence_columns(competing.names, asked))
    elif model.description.task.horizon_days is not None:
        names += ["probability", "probability_low", "probability_high", "possible"]
    else:
        names += ["median_months", asked.outlived]
        for months in asked.months:
            names += [month_name(months) + end for end in ("", "_low", "_high")]
    return [*names, *(f"why_{name}" for name in players(model.prognosis, model.modalities))]


def _blank(model: FittedModel, store: Store, asked: Asked) -> pd.DataFrame:
    """A row for every patient, with what was used and imputed, and no score yet."""
    names = model.modalities
    observed = observed_modalities(store, model.checkpoint.model.inputs)
    has: Flags = np.logical_or.reduce(observed, axis=1)
    cohorts = store.patients["cohort"].to_numpy(dtype=str)
    ids = store.patients["patient_id"].to_numpy(dtype=object)
    table = pd.DataFrame(
        {
            "patient_id": ids,
            "cohort": cohorts,
            "status": np.where(has, "scored", "not scored"),
            "reason": np.where(has, _remarks(model, store), NOTHING),
            "seen_in": _seen_in(model, ids),
            "pattern": _labels(names, observed),
            "imputed": _labels(names, ~observed & has[:, None]),
        }
    )
    if (landmark := model.description.task.landmark_days) is not None:
        table["from_months"] = landmark / MONTH
    blank = {column: "" if column == "possible" else np.nan for column in columns(model, asked)}
    return pd.concat([table, pd.DataFrame(blank, index=table.index)], axis=1)


def _of_fitted_type(model: FittedModel, store: Store) -> Flags:
    """(P,) whether a patient is of a cancer type that the model was fitted on, as far as types are stated."""
    cohorts = store.patients["cohort"].to_numpy(dtype=str)
    return np.isin(cohorts, (*model.description.cohorts, "")) | (not store.typed)


def _remarks(model: FittedModel, store: Store) -> Names:
    """(P,) what is to be said of the cancer type of each patient; nothing where it has its own baseline."""
    fitted, calibrations = model.description.cohorts, model.prognosis.calibrations
    other = f"scored, but the model was fitted on {', '.join(fitted)} only"
    if "recalibration" not in model.checkpoint.manifest:
        other += "; how long such patients live is not known: no survival is given (see prime recalibrate)"
    shared = ~np.isin(store.patients["cohort"].to_numpy(dtype=str), list(calibrations)) & (len(fitted) > 1)
    remarks = np.where(shared, SHARED_BASELINE, "").astype(object)
    remarks[~_of_fitted_type(model, store)] = other
    return remarks


def _hide_absolute(model: FittedModel, store: Store, table: pd.DataFrame, tests: pd.DataFrame) -> None:
    """Leave out what rests on a baseline that is not that of the patient's cancer type; risks stay."""
    others = ~_of_fitted_type(model, store)
    if "recalibration" in model.checkpoint.manifest or not others.any():
        return
    absolute = ("median_", "outlives_", "survival_", "probability", "incidence_", "free_")
    table.loc[others, [c for c in map(str, table) if c.startswith(absolute)]] = np.nan
    if "possible" in table:
        table.loc[others, "possible"] = ""
    ids = set(table.loc[others, "patient_id"])
    tests.loc[tests["patient_id"].isin(ids), ["threshold", "gain"]] = np.nan


def _seen_in(model: FittedModel, ids: Names) -> list[str]:
    """How each patient already served: `fitting`, `pretraining`, not at all (empty), or `unknown`."""
    if not model.knows_patients:
        return [UNKNOWN] * len(ids)
    manifest = model.checkpoint.manifest
    pretraining = manifest.get("pretraining", manifest)
    seen = {*pretraining.get("train_patients", ()), *pretraining.get("validation_patients", ())}
    fitted = set(manifest.get("fitted_patients", ()))
    return ["fitting" if i in fitted else "pretraining" if i in seen else "" for i in map(str, ids)]


def _score_part(model: FittedModel, patients: Patients, asked: Asked, table: pd.DataFrame) -> None:
    """Fill in the rows of some patients."""
    prognosis = model.prognosis
    binary = model.description.task.horizon_days is not None
    make = probability_columns if binary else survival_columns
    if prognosis.competing is not None:
        make = no_columns
    for pattern in patients.patterns:
        seen = patients.seen(pattern)
        if not len(seen):
            continue
        x = patients.read(seen, pattern)
        types = patients.types[seen]
        score = prognosis.head(x, types)
        risk = prognosis.risks(score, types, pattern)
        reach = risk_interval(model, patients, seen, x, pattern, asked.level)
        for calibration, mine in prognosis.by_calibration(types):
            three = risk[mine], risk[mine] - reach[mine], risk[mine] + reach[mine]
            found: dict[str, Floats] = dict(zip(RISKS, three, strict=True))
            found["percentile"] = calibration.percentile(risk[mine], pattern)
            found |= make(model, calibration, pattern, three, asked)
            rows = patients.rows[seen[mine]]
            if prognosis.competing is not None:
                ends = score_intervals(calibration, score[mine], reach[mine], pattern)
                found |= incidence_values(prognosis.competing, x[mine], ends, types[mine], asked, pattern)
            table.loc[rows, list(found)] = np.stack(list(found.values()), axis=1)
            if binary:
                table.loc[rows, "possible"] = possible_in_words(
                    found["probability"], prognosis.bounds[pattern], asked
                )
    why = modality_values(prognosis, patients)
    names = [f"why_{name}" for name in players(prognosis, model.modalities)]
    table.loc[patients.rows, names] = why


@dataclass(frozen=True)
class Predictions:
    """What a model says of a cohort.

    Attributes:
        patients: one row a patient, see `score_patients`.
        tests: one row for each test that a patient lacks, see `worth_of_tests`; patient_id comes first.
        reasons: the features that move each patient's risk most, see `feature_contributions`; None if not
            asked for.
        similar: fitted patients who resemble each, see `similar_patients`; None if not asked for.
    """

    patients: pd.DataFrame
    tests: pd.DataFrame
    reasons: pd.DataFrame | None
    similar: pd.DataFrame | None = None


def score_patients(
    model: FittedModel,
    store: Store,
    device: torch.device = CPU,
    asked: Asked = PLAIN,
    top: int = 0,
    any_type: bool = False,
    similar: int = 0,
    by_source: bool = False,
) -> Predictions:
    """One row a patient of the store, in its order.

    Columns: patient_id, cohort, status (scored / not scored), reason, seen_in (whether the patient served in
    the fit or in pretraining), pattern (the modalities used), imputed (those filled in), risk (log hazard
    ratio, or log odds ratio, to the average patient of the cancer type; higher = worse) with its interval,
    percentile (0 to 100 among the type's patients seen through the same pattern). Then, for time to event,
    median_months (empty where survival does not fall to one half in the follow-up), the months that are
    outlived with the probability `asked.level`, and survival with its interval at each of `asked.months`
    (empty beyond the follow-up); for a binary task the probability of the event with its interval, and the
    labels that can't be ruled out. Last `why_NAME`, the share of each modality in the risk, and with
    `by_source` `why_MODALITY.SOURCE`, that of each source (`source_values`).

    `top`: how many features a patient stand in the reasons; 0 for no reasons. `similar`: how many fitted
    patients stand beside each; 0 for none. `any_type`: give survival and
    probabilities of cancer types that the model was not fitted on as well, by the baseline of all its types
    together, as a validation judges them; else they are left out, and the risk alone is given.

    Raises InputError where the cohort's sources are not the model's, and where similar patients are asked for
    and the model holds none.
    """
    if similar and model.patients is None:
        raise InputError(f"--similar: {_no_patients(model)}")
    store = require_inputs(store, model.checkpoint.model.inputs, model.description)
    table = _blank(model, store, asked)
    _add_reasons(table, unusual(model, store))
    tests: list[pd.DataFrame] = []
    reasons: list[pd.DataFrame] = []
    alike: list[pd.DataFrame] = []
    scored = {str(name) for name in table["patient_id"]}
    names = {n: tuple(f) for n, f in model.description.feature_names.items()}
    for patients, population in read_patients(model, store, device):
        _score_part(model, patients, asked, table)
        risk = table["risk"].to_numpy(dtype=np.float64)[patients.rows]
        tests.append(_of_store(worth_of_tests(model, patients, risk, asked), patients))
        if top:
            found = feature_contributions(model.prognosis, patients, population, names, top)
            reasons.append(_of_store(found, patients))
        if similar and model.patients is not None:
            alike.append(_of_store(similar_patients(model.patients, patients, similar, scored), patients))
    if by_source:
        table = _with_sources(model, store, device, table)
    ids = table["patient_id"].to_numpy(dtype=object)
    found = Predictions(
        table,
        _joined(tests, ids),
        _joined(reasons, ids) if top else None,
        _joined(alike, ids) if similar else None,
    )
    if not any_type:
        _hide_absolute(model, store, found.patients, found.tests)
    return found


def _with_sources(
    model: FittedModel, store: Store, device: torch.device, table: pd.DataFrame
) -> pd.DataFrame:
    """The table with the share of each source beside that of its modality."""
    whole = {name: table[f"why_{name}"].to_numpy(dtype=np.float64) for name in model.modalities}
    return table.assign(**source_values(model, store, device, whole))


def _no_patients(model: FittedModel) -> str:
    """Why there are no similar patients."""
    if not model.knows_patients:
        return "unknown: the model travels without its patients; ask who fitted it"
    return "the model holds no patients; fit it again with prime fit --with-patients"


def _add_reasons(table: pd.DataFrame, lines: dict[int, str]) -> None:
    """Add lines to the reasons of these rows."""
    for row, line in lines.items():
        before = table.loc[row, "reason"]
        table.loc[row, "reason"] = f"{before}; {line}" if before else line


def _of_store(table: pd.DataFrame, patients: Patients) -> pd.DataFrame:
    """A table by position among some patients as one by position in the store."""
    return table.assign(position=patients.rows[table["position"].to_numpy(dtype=np.int64)])


def _joined(frames: list[pd.DataFrame], ids: Names) -> pd.DataFrame:
    """Tables by position in the store as one by patient, in the store's order."""
    some = [frame for frame in frames if len(frame)] or frames[:1]
    if not some:
        return pd.DataFrame()
    whole = pd.concat(some, ignore_index=True).sort_values("position", kind="stable", ignore_index=True)
    whole.insert(0, "patient_id", ids[whole["position"].to_numpy(dtype=np.int64)])
    return whole.drop(columns="position")


def predict(
    model_dir: Path,
    store: Store,
    out: Path,
    device: torch.device = CPU,
    asked: Asked = PLAIN,
    top: int = 0,
    similar: int = 0,
    figures: Path | None = None,
    by_source: bool = False,
) -> Predictions:
    """Score every patient of a store with a model folder and write the tables.

    The patients go to `out` (csv, or parquet by its ending), the tests beside it as NAME.tests, the reasons
    as NAME.reasons, similar patients as NAME.similar; a figure a patient into the folder `figures`.

    Raises InputError for a damaged model folder, for a cohort whose sources are not the model's, and where
    similar patients are asked for and the model holds none.
    """
    model = load_model(model_dir)
    found = score_patients(model, store, device, asked, top, similar=similar, by_source=by_source)
    write_table(out, found.patients)
    for name, table in (("tests", found.tests), ("reasons", found.reasons), ("similar", found.similar)):
        if table is not None:
            write_table(out.with_suffix(f".{name}{out.suffix}"), table)
    if figures is not None:
        with writing_below(figures):
            write_patient_figures(drawn_patients(model, store, device, asked), figures)
    return found


def drawn_patients(
    model: FittedModel, store: Store, device: torch.device = CPU, asked: Asked = PLAIN
) -> Iterator[tuple[str, Figure]]:
    """The id and a figure of every patient with a score, with survival at many months.

    Raises InputError as `score_patients`.
    """
    months = grid_months(model)
    decision = float(asked.decision_days[0]) / MONTH
    fine = replace(asked, months=months, decision_months=decision) if months else asked
    found = score_patients(model, store, device, fine, FEATURES)
    assert found.reasons is not None
    return patient_figures(model, months, found.patients, found.tests, found.reasons)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """A table as parquet where the name ends so, as csv elsewhere."""
    if path.suffix == ".parquet":
        with replacing(path) as temporary:
            table.to_parquet(temporary, index=False)
    else:
        write_csv(path, table, float_format="%.6g")
