"""The value of a missing test: for each patient and each modality that the patient lacks."""

import numpy as np
import pandas as pd

from prime.arrays import Flags, Floats, Indices
from prime.evaluation.next_test import Shift, chance_of_crossing, expected_gain
from prime.predict.asked import Asked
from prime.predict.model_folder import FittedModel
from prime.predict.patients import Patients
from prime.predict.prognosis import Calibration, pattern_of

HIGH_RISK = 2 / 3  # the share of the cancer type below which a risk is not called high
COLUMNS = ("position", "test", "risk_now", "risk_low", "risk_high", "group_changes", "threshold", "gain")


def worth_of_tests(model: FittedModel, patients: Patients, risk: Floats, asked: Asked) -> pd.DataFrame:
    """One row for each patient and modality that the patient lacks and whose worth is known.

    Columns: position (among the patients), test (the modality), risk_now, risk_low and risk_high (where the
    risk would be with the probability `asked.level` once the test had come), group_changes (the probability
    that the patient would move into or out of the upper third of the cancer type), threshold (the probability
    of the event at which the decision turns: the one asked for, or the average of the type), gain (what
    deciding after the test gains over deciding now, in true positives a patient). With competing events the
    last two are empty: what a test adds to the other events is not known.

    Args:
        model: the fitted model.
        patients: n patients.
        risk: (n,) what the model says of them now.
        asked: level, threshold, and the months at which an event counts.
    """
    prognosis, frames = model.prognosis, [pd.DataFrame(columns=list(COLUMNS))]
    for pattern, keep in patients.patterns.items():
        rows = patients.seen(pattern)
        for number, test in enumerate(model.modalities):
            larger: Flags = np.array(keep)
            if larger[number] or not len(rows):
                continue
            larger[number] = True
            name = pattern_of(larger, patients.patterns)
            shift = prognosis.shifts.get(f"{pattern}>{name}")
            if shift is None:
                continue
            for calibration, mine in prognosis.by_calibration(patients.types[rows]):
                who = rows[mine]
                frames.append(_rows(model, calibration, shift, (who, risk[who]), name, test, asked))
    found = [frame for frame in frames if len(frame)]
    table = pd.concat(found, ignore_index=True) if found else frames[0]
    return table.sort_values(["position", "test"], kind="stable", ignore_index=True)


def _rows(
    model: FittedModel,
    calibration: Calibration,
    shift: Shift,
    now: tuple[Indices, Floats],
    name: str,
    test: str,
    asked: Asked,
) -> pd.DataFrame:
    """Of patients of one calibration and pattern; `name`: the pattern with the test."""
    who, risk = now
    draws = shift.draws(risk)  # (n, 101)
    border = np.full(len(who), np.quantile(calibration.reference[name], HIGH_RISK))
    chances = _chances(model, calibration, draws, name, asked)
    threshold = asked.threshold
    if threshold is None:
        average = _chances(model, calibration, calibration.reference["all"][None], "all", asked)
        told = average[~np.isnan(average)]
        threshold = float(told.mean()) if len(told) else float("nan")
    low, high = np.quantile(draws, [(1 - asked.level) / 2, (1 + asked.level) / 2], axis=1)
    known = np.isfinite(chances).all() and 0 < threshold < 1
    if model.prognosis.competing is not None:
        known, threshold = False, np.nan
    return pd.DataFrame(
        {
            "position": who,
            "test": test,
            "risk_now": risk,
            "risk_low": low,
            "risk_high": high,
            "group_changes": chance_of_crossing(draws, risk, border),
            "threshold": threshold,
            "gain": expected_gain(chances, threshold) if known else np.nan,
        }
    )


def _chances(
    model: FittedModel, calibration: Calibration, risk: Floats, pattern: str, asked: Asked
) -> Floats:
    """Probabilities of the event by the horizon of the decision, in the shape (n, k) of the risks."""
    flat = risk.ravel()
    if model.description.task.horizon_days is not None:
        return calibration.probability(flat, pattern).reshape(risk.shape)
    return 1 - calibration.survival(flat, asked.decision_days, pattern)[:, 0].reshape(risk.shape)
