"""Pretraining runs and fitted models in Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from prime.api.cohorts import Cohort
from prime.devices import device_of
from prime.downstream.grid import evaluate as run_evaluation
from prime.errors import InputError
from prime.model.checkpoint import Checkpoint, load_checkpoint
from prime.predict.asked import Asked
from prime.predict.embedding import embed_cohort
from prime.predict.fit import fit as fit_model
from prime.predict.model_folder import FittedModel, load_model
from prime.predict.patient_figure import grid_months, survival_figure
from prime.predict.predict import Predictions, drawn_patients, score_patients
from prime.pretraining.loop import pretrain as run_pretraining
from prime.render.figure import Figure
from prime.settings.experiment import ExperimentConfig, load_experiment, merge
from prime.share.finding import find_model
from prime.share.folder import finished_card, write_folder
from prime.share.push import push

Settings = Mapping[str, Any] | str | Path | None  # nested settings, or an experiment file


def _experiment(cohort: Cohort, settings: Settings) -> ExperimentConfig:
    """The experiment of a cohort, with settings of a file or of nested mappings."""
    if isinstance(settings, str | Path):
        return load_experiment(Path(settings))
    return ExperimentConfig.model_validate(merge({"cohort": str(cohort.file)}, dict(settings or {})))


@dataclass(frozen=True)
class Run:
    """A finished pretraining run.

    Attributes:
        folder: where it is.
        checkpoint: the network, its scaling and its manifest.
    """

    folder: Path
    checkpoint: Checkpoint

    def __repr__(self) -> str:
        seen = len(self.checkpoint.manifest["train_patients"])
        return f"Run {self.folder}: pretrained on {seen:,} patients"

    def embed(
        self,
        cohort: Cohort,
        pattern: str = "all",
        stages: Sequence[str] = ("pooled",),
        accelerator: str = "auto",
    ) -> pd.DataFrame:
        """Embeddings by patient_id: float32, columns `STAGE_NUMBER`; patients with nothing left have no row.

        Args:
            cohort: patients with the run's sources, or some of them.
            pattern: the modalities that may be seen: all, -image, image+rna, ...
            stages: of the network: tokens, refined, fused (mean over the tokens of each modality) or pooled.
            accelerator: where to compute.

        Raises InputError for other sources or an unknown pattern.
        """
        device = device_of(accelerator)
        return embed_cohort(self.checkpoint, cohort.store, pattern, tuple(stages), device)


@dataclass(frozen=True)
class PrimeModel:
    """A fitted prognosis model.

    Attributes:
        folder: where it is.
        fitted: the network, the head, and what it is for.
    """

    folder: Path
    fitted: FittedModel

    @classmethod
    def from_pretrained(cls, name: str | Path, revision: str | None = None) -> "PrimeModel":
        """A model of a folder, or of the model hub: from its local cache, else over the network.

        Args:
            name: a folder of `prime fit` or of `save_pretrained`, or `owner/name` on the hub.
            revision: a branch, tag or commit there; the main branch by default.

        Raises InputError where there is none, or one that is not as it was written. The hub's token is the
        one that huggingface_hub finds (HF_TOKEN, or `hf auth login`).
        """
        folder = find_model(name, revision)
        return cls(folder, load_model(folder))

    def save_pretrained(self, folder: str | Path, patients: bool = False) -> None:
        """Write the model, with a card, into a new folder that others may have: it holds no patient.

        Args:
            folder: must not hold anything.
            patients: keep ids, outcomes and rows of patients, for a folder that stays at home.

        Raises InputError where the folder holds something, or an id of a patient would be left in it.
        """
        write_folder(self.fitted, Path(folder), patients, finished_card(self.fitted, self.folder))

    def push_to_hub(self, to: str, public: bool = False) -> str:
        """Send it to the hub as `owner/name`, as `prime push` does; returns the address of the commit."""
        return push(self.folder, to, public)

    def __repr__(self) -> str:
        about = self.fitted.description
        return f"PrimeModel {self.folder}: {about.task.name} of {', '.join(about.cohorts)}"

    @property
    def cross_validation(self) -> pd.DataFrame:
        """The C-index (or AUROC) of every pattern on held-out parts of the fitted patients."""
        return pd.DataFrame(self.fitted.checkpoint.manifest["cross_validation"]).T

    def predict(
        self, cohort: Cohort, *, months: Sequence[float] = (12, 36, 60), level: float = 0.9,
        threshold: float | None = None, reasons: int = 0, similar: int = 0, by_source: bool = False,
        accelerator: str = "auto",
    ) -> Predictions:  # fmt: skip
        """What the model says of a cohort: tables `patients`, `tests`; where asked for `reasons`, `similar`.

        Args:
            cohort: patients with the model's sources, or some of them.
            months: at which survival is given.
            level: of intervals.
            threshold: probability at which a decision turns.
            reasons: features a patient to explain the risk by.
            similar: fitted patients to name beside each, of a model that keeps them.
            by_source: share the risk among sources, too, in columns `why_MODALITY.SOURCE`.
            accelerator: where to compute.

        Raises InputError for other sources.
        """
        asked = Asked(tuple(float(m) for m in months), level, threshold)
        device = device_of(accelerator)
        store = cohort.counted_as(self.fitted.description.feature_names)
        return score_patients(
            self.fitted, store, device, asked, reasons, similar=similar, by_source=by_source
        )

    def survival_curves(
        self, cohort: Cohort, patients: Sequence[str], *, level: float = 0.9, accelerator: str = "auto"
    ) -> Figure:
        """Survival of some patients of a cohort, with intervals, as a figure that a notebook shows.

        Args:
            cohort: patients with the model's sources, or some of them.
            patients: ids of those to show.
            level: of intervals.
            accelerator: where to compute.

        Raises InputError for a patient who is not there or has no score, for a model of a horizon or of
        competing events, which has no survival, and as `predict`.
        """
        months = grid_months(self.fitted)
        if not months or self.fitted.prognosis.competing is not None:
            raise InputError(f"{self.folder}: the model gives no survival; see patient_figure")
        table = self.predict(cohort, months=months, level=level, accelerator=accelerator).patients
        table = table.set_index("patient_id")
        _require_scored(table, patients)
        return survival_figure(table, months, tuple(patients))

    def patient_figure(self, cohort: Cohort, patient: str, *, accelerator: str = "auto") -> Figure:
        """What is expected of a patient, why, and what missing tests could change, as a figure.

        It is the picture of `prime predict --figures`; a notebook shows it. Raises InputError for a patient
        who is not there or has no score, and as `predict`.
        """
        store = cohort.counted_as(self.fitted.description.feature_names)
        found = dict(drawn_patients(self.fitted, store, device_of(accelerator)))
        if patient not in found:
            why = "has no score" if patient in cohort.patients.index else "is not in the cohort"
            raise InputError(f"patient {patient!r} {why}")
        return found[patient]

    def embed(
        self,
        cohort: Cohort,
        pattern: str = "all",
        stages: Sequence[str] = ("pooled",),
        accelerator: str = "auto",
    ) -> pd.DataFrame:
        """As `Run.embed`."""
        return Run(self.folder, self.fitted.checkpoint).embed(cohort, pattern, stages, accelerator)


def _require_scored(table: pd.DataFrame, patients: Sequence[str]) -> None:
    for name in patients:
        if name not in table.index:
            raise InputError(f"patient {name!r} is not in the cohort")
        if table.loc[name, "status"] != "scored":
            raise InputError(f"patient {name!r} has no score: {table.loc[name, 'reason']}")


def pretrain(cohort: Cohort, out: str | Path, settings: Settings = None, progress: bool = True) -> Run:
    """Pretrain on a cohort without labels; a run that `out` holds is taken up, a finished one opened.

    `settings`: those that differ from the defaults, nested as in the experiment file (`prime config`), such
    as {"pretrain": {"epochs": 20}}, or the file. Raises InputError as `prime pretrain` does.
    """
    run_pretraining(cohort.store, _experiment(cohort, settings), Path(out), progress=progress)
    return open_run(out)


def open_run(folder: str | Path) -> Run:
    """A finished pretraining run. Raises InputError where there is none."""
    return Run(Path(folder), load_checkpoint(Path(folder)))


def fit(
    cohort: Cohort, run: Run, out: str | Path, settings: Settings = None, *, task: str | None = None,
    cancer_types: Sequence[str] = ("all",), mode: str = "lp_shared", with_patients: bool = False,
    other_seeds: Sequence[Run] = (), accelerator: str = "auto",
) -> PrimeModel:  # fmt: skip
    """Fit a model for use on a cohort; one that `out` already holds is opened.

    Args:
        cohort: patients with outcomes.
        run: the pretrained network.
        out: the model folder.
        settings: as of `pretrain`; `evaluate` has the tasks and the head.
        task: a task of the experiment; the first by default.
        cancer_types: to fit on.
        mode: lp_shared, lp_shared_annotated or lp_shared_clinical.
        with_patients: keep the labelled patients, so that similar ones can be named.
        other_seeds: runs that differ from `run` in their seed alone, whose difference enters the intervals.
        accelerator: where to compute.

    Raises InputError as `prime fit` does.
    """
    device = device_of(accelerator)
    experiment, place = _experiment(cohort, settings), Path(out)
    types = tuple(cancer_types)
    fit_model(
        cohort.store, experiment, run.folder, types, place, task, device, mode, with_patients,
        [other.folder for other in other_seeds],
    )  # fmt: skip
    return PrimeModel.from_pretrained(place)


def evaluate(
    cohort: Cohort, run: Run | None, out: str | Path, settings: Settings = None, accelerator: str = "auto"
) -> pd.DataFrame:
    """Cross-validate ways of training and other methods; the summary, as `prime evaluate` writes it.

    `settings`: as of `pretrain`; `evaluate` says what is compared. Raises InputError as `prime evaluate`
    does.
    """
    folder = None if run is None else run.folder
    run_evaluation(cohort.store, _experiment(cohort, settings), folder, Path(out), device_of(accelerator))
    return pd.read_csv(Path(out) / "summary.csv")
