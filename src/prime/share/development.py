"""The items of the reporting checklist (TRIPOD+AI) that a fitted model knows of its own development."""

from prime import __version__
from prime.predict.model_folder import FittedModel


def development_items(model: FittedModel) -> dict[str, str]:
    """Text by item of `prime.validation.tripod.ITEMS`."""
    about, manifest = model.description, model.checkpoint.manifest
    modalities = model.checkpoint.model.inputs.modalities
    fitted, events = manifest["patients_fitted"], manifest["events_fitted"]
    lost = "; ".join(f"{count:,} {why}" for why, count in manifest["left_out"].items() if count) or "nobody"
    covariates = model.prognosis.features.covariates
    read = "; ".join(f"{name}: {', '.join(sources)}" for name, sources in modalities.items())
    known = {
        "4": "development, with cross-validation on the same patients",
        "8a": _outcome(model),
        "9b": read + ("" if covariates is None else f"; clinical: {', '.join(covariates.names)}"),
        "10": f"{fitted:,} patients with {events:,} events",
        "11": "nobody is left out for a missing modality: the model reads what a patient has and fills in the"
        " rest in its latent space",
        "12a": "all patients with an outcome and a modality are fitted on; five folds, stratified by cancer"
        " type and event, give the scores, the baselines and the intervals",
        "12b": "normal scores or z scores within the cancer type, then principal components",
        "12c": "ridge Cox or logistic regression on sources and on tokens of a network pretrained without"
        " labels, weights shared by the cancer types",
        "12d": "a baseline of its own for every cancer type with enough events",
        "12e": "C-index or AUROC within cancer type and fold, by pattern of modalities, with 95% intervals",
        "12g": f"prime predict, version {__version__}",
        "15": f"risk of {about.task.endpoint}, its percentile, and survival or probabilities with intervals",
        "18f": f"PRIME {manifest['version']}, Apache-2.0",
        "20a": f"left out: {lost}",
        "21": f"{fitted:,} patients, {events:,} events",
        "22": "these files; prime predict applies them",
        "23a": "the table of cross-validated scores",
        "27a": "a missing modality is filled in; values far from those of the fit are named with the patient",
    }
    if "recalibration" in manifest:
        bent = manifest["recalibration"]
        known["12f"] = f"recalibrated ({bent['method']}) on {bent['patients']:,} patients of {bent['cohort']}"
    return known


def _outcome(model: FittedModel) -> str:
    task = model.description.task
    text = f"endpoint {task.endpoint}"
    if task.horizon_days is not None:
        text += f" within {task.horizon_days:g} days"
    if task.landmark_days is not None:
        text += f", from {task.landmark_days:g} days on"
    return text + (f"; competing: {', '.join(task.competing)}" if task.competing else "")
