"""A fitted prognosis model on disk: the network's checkpoint, its head, and what it was fitted on.

The folder is a checkpoint (model.safetensors, config.json, manifest.json) with two more files:
head.safetensors (every array of the head) and head.json (what the head is for, and how its arrays belong
together). The manifest is written last and holds the other files' checksums.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from prime.errors import InputError, first_line
from prime.evaluation.next_test import Shift
from prime.evaluation.recalibration import HorizonMap
from prime.files import replacing, sha256_file, write_json
from prime.methods.statistics.annotations import AnnotationModel
from prime.methods.statistics.blocks import BlockEncoder, Imputer
from prime.methods.statistics.calibrated import CalibratedScore
from prime.methods.statistics.cause_hazards import CauseHazards
from prime.methods.statistics.cohort_heads import CohortHead
from prime.methods.statistics.design import Annotations, CovariateScale, FeatureMap
from prime.methods.statistics.ridge import RidgeModel
from prime.methods.statistics.within_type import Centred, NormalScores, Standard, WithinType
from prime.model.checkpoint import (
    CONFIG,
    MANIFEST,
    WEIGHTS,
    Checkpoint,
    load_checkpoint,
    save_description,
    save_network,
)
from prime.parsing import read_json
from prime.predict.array_tree import Arrays, put_together, take_apart
from prime.predict.competing import CompetingHead
from prime.predict.kept_patients import KeptPatients, PatternSpace
from prime.predict.prognosis import Calibration, HeadDraws, Prognosis, TokenMap
from prime.sealed import read_sealed, require_files
from prime.settings.evaluation import ReadoutConfig, TaskConfig
from prime.settings.strict import Strict
from prime.store.ranges import Range

ARRAYS, HEAD = "head.safetensors", "head.json"
KIND, REMEDY = "model folder", "copy it again or fit again"
DAMAGE = (SafetensorError, ValidationError, AttributeError, KeyError, TypeError, ValueError, OSError)
MAKE_ONE = "make a model folder with prime fit"
WITHOUT_PATIENTS = "without_patients"  # in the manifest of a model that travels
PARTS = (  # the classes that a head may be made of
    AnnotationModel, Annotations, BlockEncoder, CalibratedScore, Calibration, CauseHazards, Centred,
    CohortHead, CompetingHead, CovariateScale, FeatureMap, HeadDraws, HorizonMap, Imputer, NormalScores,
    Prognosis, RidgeModel, Shift, Standard, TokenMap, WithinType,
)  # fmt: skip
KEPT = (KeptPatients, PatternSpace)


class HeadDescription(Strict):
    """What a head is for, and of what.

    `mode` is that of `prime fit`; `distributions` the sources whose vectors tell a distribution;
    `feature_names` those of every vector source, in order; `attributes` what each source's files stated
    (encoder); `empty` the columns that held no number in training and are no features.
    """

    task: TaskConfig
    cohorts: tuple[str, ...]
    mode: str
    readout: ReadoutConfig
    distributions: tuple[str, ...] = ()
    feature_names: dict[str, tuple[str, ...]]
    attributes: dict[str, dict[str, str]] = Field(default_factory=dict)
    empty: dict[str, tuple[str, ...]] = Field(default_factory=dict)


@dataclass(frozen=True)
class FittedModel:
    """A network with a head.

    Attributes:
        checkpoint: the network, its scaling, its experiment and its manifest.
        description: what the head is for.
        prognosis: the head.
        ranges: of each source's features among the patients that it was fitted on.
        patients: those of the fit, where it was asked to keep them.
    """

    checkpoint: Checkpoint
    description: HeadDescription
    prognosis: Prognosis
    ranges: dict[str, Range]
    patients: KeptPatients | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        """The model's modalities in their order."""
        return tuple(self.checkpoint.model.inputs.modalities)

    @property
    def knows_patients(self) -> bool:
        """Whether it knows whom it was made from; a model that travels does not (`prime.share`)."""
        return not self.checkpoint.manifest.get(WITHOUT_PATIENTS, False)


def save_model(folder: Path, model: FittedModel, manifest: dict[str, Any]) -> None:
    """Write a model folder; its manifest last, with the checksums of the other files."""
    described, arrays = take_apart(model.prognosis, "head")
    arrays |= {
        f"range.{name}": np.stack([known.low, known.high, known.centre, known.spread])
        for name, known in model.ranges.items()
    }
    kept = {}
    if model.patients is not None:
        kept["patients"], more = take_apart(model.patients, "patients")
        arrays |= more
    weights = save_network(folder, model.checkpoint.model, model.checkpoint.scaling)
    with replacing(folder / ARRAYS) as temporary:
        save_file(arrays, temporary)
    write_json(folder / HEAD, {**model.description.model_dump(mode="json"), "head": described, **kept})
    digests = {WEIGHTS: weights, **{name: sha256_file(folder / name) for name in (ARRAYS, HEAD)}}
    save_description(folder, model.checkpoint.model, model.checkpoint.config, manifest, digests)


def load_model(folder: Path) -> FittedModel:
    """Read a model folder. Raises InputError where it is missing, none, or damaged."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; {MAKE_ONE}")
    if not (folder / HEAD).is_file() or not (folder / MANIFEST).is_file():
        raise InputError(f"{folder}: no {HEAD} and {MANIFEST} here; {MAKE_ONE}")
    manifest = read_sealed(folder / MANIFEST, KIND, REMEDY)
    require_files(folder, manifest, (WEIGHTS, CONFIG, ARRAYS, HEAD), KIND, REMEDY)
    checkpoint = load_checkpoint(folder)
    try:
        described = read_json(folder / HEAD)
        head, kept = described.pop("head"), described.pop("patients", None)
        description = HeadDescription.model_validate(described)
        arrays = load_file(folder / ARRAYS)
        _require_numbers(arrays)
        ranges = {name: Range(*arrays.pop(f"range.{name}")) for name in checkpoint.scaling}
        prognosis = put_together(head, arrays, PARTS)
        _require_rising(prognosis)
        patients = None if kept is None else put_together(kept, arrays, KEPT)
    except DAMAGE as error:
        raise InputError(f"{folder}: damaged model folder ({first_line(error)}); {REMEDY}") from None
    return FittedModel(checkpoint, description, prognosis, ranges, patients)


def _require_numbers(arrays: Arrays) -> None:
    """Raise ValueError for an array with values that none can have when it is written.

    A bound of a label that nobody had is NaN, and so is the range of a feature that nobody had; the scale of
    a constant column is infinite.
    """
    for name, values in arrays.items():
        if values.dtype.kind != "f" or ".bounds." in name or name.startswith("range."):
            continue
        if np.isnan(values).any() or (np.isinf(values).any() and not name.endswith(".scale")):
            raise ValueError(f"{name} holds NaN or an infinite number")


def _require_rising(prognosis: Prognosis) -> None:
    """Raise ValueError for days, hazards or percentiles that fall."""
    for name, calibration in prognosis.calibrations.items():
        rising = [(calibration.ends, "days"), *((r, "percentiles") for r in calibration.reference.values())]
        if len(calibration.ends) > 1:
            rising += [(score.model.hazard, "hazards") for score in calibration.scores.values()]
        for values, what in rising:
            if (np.diff(values) < 0).any():
                raise ValueError(f"the {what} of {name or 'everybody'} do not rise")
