"""How predicted risks of a cohort would differ, had the head been fitted on other draws of its patients."""

import numpy as np
import pandas as pd
import torch

from prime.arrays import Floats
from prime.evaluation.instability import changed_decisions, instability
from prime.predict.patients import read_patients
from prime.render.figure import Figure, Panel, Series
from prime.render.tables import ABSENT, Table
from prime.store.store import Store
from prime.validation.decisions import SHOWN
from prime.validation.labelled import Labelled
from prime.validation.performance import horizon_name

MOST_SHOWN = 150  # patients in the figure


def bootstrap_chances(labelled: Labelled, store: Store, days: float, device: torch.device) -> Floats:
    """(B, n) risks by a horizon from the heads of B bootstrap samples; NaN where the model does not say.

    What a score means, the network and everything that was fitted without outcomes are the model's own.
    """
    prognosis, binary = labelled.model.prognosis, labelled.task.horizon_days is not None
    place = np.full(len(store.patients), -1)
    place[labelled.rows] = np.arange(len(labelled.rows))
    found = np.full((len(prognosis.draws.shared), len(labelled.rows)), np.nan)
    at = np.array([labelled.landmark, labelled.landmark + days])
    for patients, _ in read_patients(labelled.model, store, device):
        for pattern in patients.patterns:
            seen = patients.seen(pattern)
            seen = seen[place[patients.rows[seen]] >= 0]
            if not len(seen):
                continue
            types = patients.types[seen]
            scores = prognosis.draws.scores(patients.read(seen, pattern), types)
            for calibration, mine in prognosis.by_calibration(types):
                columns = place[patients.rows[seen[mine]]]
                for draw in range(len(found)):
                    risk = calibration.risk(scores[mine, draw], pattern)
                    if binary:
                        found[draw, columns] = calibration.probability(risk, pattern)
                    else:
                        alive = calibration.survival(risk, at, pattern)
                        found[draw, columns] = 1.0 - alive[:, 1] / alive[:, 0]
    return found


def stability_rows(original: Floats, drawn: Floats, days: float) -> pd.DataFrame:
    """A row a patient: risk (n,) of the model, interval and mean change over the draws (B, n), by patient.

    `changed_T`: share of draws that put the patient on the other side of the threshold T.
    """
    found = instability(original, drawn)
    columns = {f"changed_{limit:g}": changed_decisions(original, drawn, limit) for limit in SHOWN}
    return pd.DataFrame(
        {
            "horizon_days": days,
            "risk": original,
            "low": found.low,
            "high": found.high,
            "change": found.error,
            **columns,
        }
    )


def stability_table(rows: pd.DataFrame) -> Table:
    """What the patients' rows come to."""
    width = rows["high"] - rows["low"]
    shown = {
        "patients": f"{len(rows):,}",
        "mean change of the risk": _cell(rows["change"].mean()),
        "its 90th percentile": _cell(rows["change"].quantile(0.9)),
        "mean width of the 95% interval": _cell(width.mean()),
        **{
            f"decisions that change at {100 * limit:g} %": f"{100 * rows[f'changed_{limit:g}'].mean():.1f} %"
            for limit in SHOWN
        },
    }
    display = pd.DataFrame({horizon_name(float(rows["horizon_days"].iloc[0])): shown})
    display.index.name = "Over bootstrap fits"
    return Table(
        "stability",
        "Instability over bootstrap fits",
        "Predicted risks by heads fitted on bootstrap samples of the training patients, against those of the"
        " model. Change: mean absolute difference, by patient. The network and the calibration are not drawn"
        " again, so the whole instability is larger. Riley and Collins, Biometrical Journal 2023.",
        rows,
        display,
    )


def _cell(value: float) -> str:
    return ABSENT if np.isnan(value) else f"{value:.3f}"


def stability_figure(rows: pd.DataFrame) -> Figure:
    """Each patient's risk with its interval over the draws."""
    ordered = rows.sort_values("risk", kind="stable").reset_index(drop=True)
    chosen = np.unique(np.linspace(0, len(ordered) - 1, min(MOST_SHOWN, len(ordered))).round().astype(int))
    x, low, high = (ordered[name].to_numpy(dtype=np.float64)[chosen] for name in ("risk", "low", "high"))
    panel = Panel(
        horizon_name(float(rows["horizon_days"].iloc[0])),
        "risk by the model",
        "risk over bootstrap fits",
        (Series("95% of the fits", x, x, low, high, kind="points"),),
        y_range=(0.0, 1.0),
        notes=(f"{len(chosen)} of {len(rows)} patients",) if len(chosen) < len(rows) else (),
    )
    return Figure(
        "instability",
        "Instability over bootstrap fits",
        "The risk of each patient with the interval that holds 95% of the risks by heads fitted on bootstrap"
        " samples.",
        (panel,),
    )
