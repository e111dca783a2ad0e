"""What a risk means in a model: survival, times and probabilities, recalibrated where the model is."""

import numpy as np

from prime.arrays import Floats
from prime.evaluation.step_curves import row_interpolation
from prime.predict.model_folder import FittedModel
from prime.predict.prognosis import Calibration


def heights(model: FittedModel, calibration: Calibration, pattern: str, risk: Floats) -> Floats:
    """Cumulative hazards (n, T) at the ends of a calibration, of patients with risks (n,)."""
    plain = calibration.scores[pattern].model.hazard * np.exp(risk)[:, None]  # (n, T)
    if model.recalibration is None:
        return plain
    edges = np.concatenate([[-np.inf], calibration.ends, [np.inf]])
    curve = np.exp(-np.concatenate([plain, plain[:, -1:]], axis=1))
    bent = model.recalibration(edges, curve)[:, :-1]
    return np.maximum.accumulate(-np.log(np.maximum(bent, np.finfo(np.float64).tiny)), axis=1)


def survival_at(
    model: FittedModel, calibration: Calibration, pattern: str, risk: Floats, days: Floats
) -> Floats:
    """Survival (n, h) of risks (n,) at days (h,); NaN beyond what follow-up tells."""
    high = heights(model, calibration, pattern, risk)
    ends = np.append(0.0, calibration.ends)
    at = np.stack([np.interp(days, ends, np.append(0.0, row)) for row in high]) if len(high) else high[:, :0]
    return np.where(days > calibration.ends[-1], np.nan, np.exp(-at.reshape(len(risk), len(days))))


def time_at(model: FittedModel, calibration: Calibration, pattern: str, risk: Floats, depth: float) -> Floats:
    """Days (n,) until the curves have fallen by a depth in [0, 1]; the last end where they have not."""
    high = heights(model, calibration, pattern, risk)
    wanted = np.full(len(risk), -np.log1p(-min(depth, 1 - 1e-12)))
    return row_interpolation(wanted, high, np.broadcast_to(calibration.ends, high.shape))


def probability(model: FittedModel, calibration: Calibration, pattern: str, risk: Floats) -> Floats:
    """Of the event by the horizon of a binary task, (n,)."""
    plain = calibration.probability(risk, pattern)
    if model.recalibration is None:
        return plain
    return 1 - model.recalibration(np.array([-np.inf, np.inf]), 1 - plain[:, None])[:, 0]
