"""The model card as JSON: what a model is for, what it reads, and how well it did; nobody's id is in it."""

from typing import Any

from prime.predict.model_folder import FittedModel

INTENDED = (
    "Research on groups of patients. It is no medical device, and none of its numbers is advice for one "
    "patient."
)


def card(model: FittedModel) -> dict[str, Any]:
    """Task, cancer types, inputs, what it was fitted on, and cross-validated scores by pattern."""
    about, manifest = model.description, model.checkpoint.manifest
    inputs, read = model.checkpoint.model.inputs, model.prognosis.features.covariates
    home = {source: modality for modality, sources in inputs.modalities.items() for source in sources}
    return {
        "task": about.task.model_dump(mode="json"),
        "cancer_types": list(about.cohorts),
        "mode": about.mode,
        "modalities": {name: list(sources) for name, sources in inputs.modalities.items()},
        "sources": {
            name: {
                "modality": home[name],
                "kind": spec.kind,
                "features": spec.dim,
                "feature_names": about.feature_names.get(name),
                "attributes": about.attributes.get(name, {}),
            }
            for name, spec in inputs.sources.items()
        },
        "covariates": [] if read is None else list(read.names),
        "fitted_on": {
            "patients": manifest["patients_fitted"],
            "events": manifest["events_fitted"],
            "left_out": manifest["left_out"],
        },
        "cross_validation": manifest["cross_validation"],
        "recalibrated": "recalibration" in manifest,
        "version": manifest["version"],
        "checksum": digest(model),
        "intended_use": INTENDED,
    }


def digest(model: FittedModel) -> str:
    """What identifies a model: the seal of its manifest."""
    return str(model.checkpoint.manifest["seal"])
