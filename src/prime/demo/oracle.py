"""The best possible scores on the simulated cohort: those of the true hazard, as far as it is visible."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.evaluation.metrics import concordance
from prime.evaluation.missingness import patterns
from prime.evaluation.summary import summarise
from prime.parsing import read_json
from prime.store.store import Store


def true_risk(store: Store, cohort: Path, keep: tuple[bool, ...]) -> NDArray[np.float64]:
    """The part of each patient's log hazard due to factors that are visible in an observed, kept modality.

    The noise of modalities is ignored. `cohort` is the folder of the simulated cohort, `keep` has M flags.
    Returns (P,) in the store's order.
    """
    facts: dict[str, Any] = read_json(cohort / "truth.json")
    weights: dict[str, float] = facts["hazard_weights"]
    truth = pd.read_csv(cohort / "truth.csv").set_index("patient_id").loc[store.patients["patient_id"]]
    shown = np.array([[f in facts["visible"][m] for f in weights] for m in store.modalities])  # (M, F)
    seen = (store.observed() & np.array(keep)) @ shown  # (P, F)
    values = truth[list(weights)].to_numpy(dtype=np.float64)
    return (values * seen) @ np.array(list(weights.values()))


def oracle_summary(store: Store, cohort: Path, predictions: pd.DataFrame) -> pd.DataFrame:
    """The oracle's scores on the test patients of each fold of an evaluation, summarised like a method's."""
    position = {patient: row for row, patient in enumerate(store.patients["patient_id"])}
    first = predictions[predictions["init"] == predictions["init"].iloc[0]]
    tested = first[(first["mode"] == first["mode"].iloc[0]) & (first["seed"] == first["seed"].iloc[0])]
    rows: list[dict[str, Any]] = []
    for name, keep in patterns(list(store.modalities)).items():
        risk = true_risk(store, cohort, keep)
        for (cohort_name, fold), part in tested[tested["pattern"] == name].groupby(["cohort", "fold"]):
            where = [position[patient] for patient in part["patient_id"]]
            event = part["event"].to_numpy(dtype=bool)
            score = concordance(part["time_days"].to_numpy(dtype=np.float64), event, risk[where])
            rows.append(
                {
                    "method": "oracle", "init": "oracle", "mode": "truth", "train_on": "everyone",
                    "share": 1.0, "task": part["task"].iloc[0], "test_on": "everyone",
                    "cohort": cohort_name, "fold": fold, "seed": 0, "pattern": name, "metric": "c_index",
                    "value": score.value, "n": score.n, "events": score.events, "pairs": score.pairs,
                    "reason": score.reason, "note": None,
                }
            )  # fmt: skip
    return summarise(pd.DataFrame(rows))


def true_shares(store: Store, cohort: Path) -> NDArray[np.float64]:
    """The Shapley value of each modality in the true log hazard of each patient, (P, M).

    What a set of modalities tells of the hazard is that of the factors visible in those of them that are
    observed, against the mean of the cancer type; so the modalities in which a factor is visible share its
    part alike. A modality that a patient lacks gets 0. The noise of modalities is ignored.
    """
    facts: dict[str, Any] = read_json(cohort / "truth.json")
    weights: dict[str, float] = facts["hazard_weights"]
    truth = pd.read_csv(cohort / "truth.csv").set_index("patient_id").loc[store.patients["patient_id"]]
    values = truth[list(weights)].reset_index(drop=True)
    centred = values - values.groupby(store.patients["cohort"].to_numpy()).transform("mean")
    parts = centred.to_numpy(dtype=np.float64) * np.array(list(weights.values()))  # (P, F)
    shown = np.array([[f in facts["visible"][m] for f in weights] for m in store.modalities])  # (M, F)
    sees = store.observed()[:, :, None] & shown  # (P, M, F)
    among = np.maximum(sees.sum(axis=1), 1)  # (P, F)
    return np.einsum("pmf,pf->pm", sees, parts / among)
