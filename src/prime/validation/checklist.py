"""The items of the reporting checklist that a validation knows by itself."""

from collections.abc import Sequence
from pathlib import Path

from prime import __version__
from prime.evaluation.horizon_scores import HORIZON_METRICS
from prime.predict.model_folder import FittedModel
from prime.store.store import Store
from prime.validation.labelled import Labelled
from prime.validation.performance import horizon_name

ENOUGH_EVENTS = 100  # in a validation; Collins, Ogundimu and Altman, Stat. Med. 2016


def checklist(
    model: FittedModel, store: Store, labelled: Labelled, horizons: Sequence[float], groups: Sequence[str]
) -> dict[str, str]:
    """Text by item of `tripod.ITEMS`."""
    return {
        **_data(store, labelled, horizons),
        **_methods(model, labelled, groups),
        **_results(model, store, labelled, groups),
    }


def _data(store: Store, labelled: Labelled, horizons: Sequence[float]) -> dict[str, str]:
    clinical = Path(str(store.manifest["clinical"]["config"]["path"])).name
    events = int(labelled.event.sum())
    patterns = labelled.table["pattern"].value_counts()
    shown = "; ".join(f"{name or 'nothing'}: {count:,}" for name, count in patterns.items())
    few = "" if events >= ENOUGH_EVENTS else f", fewer than the {ENOUGH_EVENTS} that are advised"
    return {
        "4": "evaluation of a fitted model in other patients",
        "5a": f"cohort {store.manifest['name']}, clinical table {clinical}",
        "8a": f"endpoint {labelled.task.endpoint}; risks by {', '.join(map(horizon_name, horizons))}",
        "9b": "; ".join(f"{modality}: {', '.join(names)}" for modality, names in store.modalities.items()),
        "10": f"{len(labelled.time):,} patients with {events:,} events{few}",
        "11": "nobody is left out for a missing modality: the model reads what a patient has and fills in"
        f" the rest in its latent space. Patients by what was observed: {shown}",
    }


def _methods(model: FittedModel, labelled: Labelled, groups: Sequence[str]) -> dict[str, str]:
    recalibration = model.checkpoint.manifest.get("recalibration")
    bent = "the model was not updated"
    if recalibration is not None:
        bent = (
            f"recalibrated ({recalibration['method']}) on {recalibration['patients']:,} patients of"
            f" {recalibration['cohort']} with {recalibration['events']:,} events"
        )
    return {
        "12a": "all patients with a score and an outcome are used, none of them to fit the model",
        "12c": "ridge Cox or logistic regression on sources and on tokens of a network pretrained without"
        " labels",
        "12d": f"performance within {', '.join(groups)}" if groups else "a single group of patients",
        "12e": ", ".join(metric.title for metric in HORIZON_METRICS) + ", net benefit; bootstrap intervals",
        "12f": bent,
        "12g": f"prime predict, version {__version__}",
        "14": f"performance within {', '.join(g for g in groups if g not in ('pattern', 'site'))}"
        if set(groups) - {"pattern", "site"}
        else "no variable that names groups of patients is known",
        "15": f"risk of {labelled.task.endpoint} by the horizons, and a risk score for ranking",
    }


def _results(model: FittedModel, store: Store, labelled: Labelled, groups: Sequence[str]) -> dict[str, str]:
    cohorts = sorted(set(store.patients["cohort"].to_numpy(dtype=str)[labelled.rows].tolist()) - {""})
    fitted = model.checkpoint.manifest
    lost = "; ".join(f"{count:,} {reason}" for reason, count in labelled.left_out.items()) or "nobody"
    known = {
        "16": f"fitted on {', '.join(model.description.cohorts)} ({fitted.get('patients_fitted', '?')}"
        f" patients, {fitted.get('events_fitted', '?')} events);"
        f" evaluated on {', '.join(cohorts) or 'patients of no type'}",
        "18f": f"PRIME {__version__}, Apache-2.0",
        "20a": f"left out: {lost}",
        "21": f"{len(labelled.time):,} patients, {int(labelled.event.sum()):,} events",
        "22": "the model folder holds the weights; prime predict applies it",
        "23a": "table of performance",
    }
    if groups:
        known["23b"] = "tables by what was observed and within groups"
    return known
