"""Settings of the downstream evaluation: tasks, folds, ways of training, heads."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from prime.precision import Precision
from prime.settings.methods import known_methods
from prime.settings.ridge import SharedProbeConfig
from prime.settings.strict import Strict


class ReadoutConfig(Strict):
    """What the head reads of the frozen network (assumed; the paper says only "the task head").

    `stages`: tokens of each modality before (refined) or after (fused) the backbone, or the reliability
    pooling over all of them (pooled). `pool`: mean over the K tokens, or all K x D values. `precision`: what
    the frozen network computes in; a fitted model keeps it, so that predictions are made as its fit was.
    """

    stages: tuple[Literal["tokens", "refined", "fused", "pooled"], ...] = ("pooled",)
    pool: Literal["mean", "flatten"] = "mean"
    precision: Precision = "32-true"


class ProbeConfig(Strict):
    """The linear probe: principal components of each block, then a ridge discrete-time hazard model.

    Mode `lp` trains one head on the training patients as they come. Mode `lp_missing` also trains on what is
    left of them when modalities are taken away, exactly (every subset, no sampling): one head for each set of
    modalities (`missing_heads: per_pattern`), or one for all of them (`shared`). Mode `lp_shared` is a ridge
    over all cohorts together, with settings of its own (`shared`); only `readout` counts for it as well. Two
    modes add to it: `lp_shared_annotated` clinical annotations as the features predict them, and
    `lp_shared_clinical` the covariates themselves.
    `calibrate`: a head of proportional hazards gets a slope and a baseline from scores of training patients
    whom it was fitted without, in five parts; the order of risks stays.
    """

    readout: ReadoutConfig = ReadoutConfig()
    components: int = Field(default=32, ge=1)
    spectrum_power: float = Field(default=0.5, ge=0, le=1)
    ridge: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=(0.03, 0.1, 0.3, 1.0), min_length=1)
    hazard: Literal["proportional", "free"] = "proportional"
    missing_heads: Literal["shared", "per_pattern"] = "per_pattern"
    refit: bool = False
    calibrate: bool = True
    shared: SharedProbeConfig = SharedProbeConfig()


class FinetuneConfig(Strict):
    """Full fine-tuning, from a checkpoint or from scratch. Its head reads all that it trains.

    `alpha` lowers the weight of censored patients in the training loss to 1 - alpha. `drop_modality` is the
    rate of mode `ft_missing`; mode `ft` drops nothing. `calibrate`: predictions get the slope that validation
    patients ask for, and a baseline; the order of risks stays.

    Mode `ft_shared` starts from the head that `start` names, fitted over all cohorts with the settings of
    `evaluate.probe.shared`: the network learns what to add to its logits, and adds nothing where validation
    patients gain nothing.
    """

    readout: ReadoutConfig = ReadoutConfig()
    start: Literal["lp_shared", "lp_shared_annotated", "lp_shared_clinical"] = "lp_shared"
    epochs: int = Field(default=50, ge=1)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=1e-4, gt=0)
    head_learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    patience: int = Field(default=10, ge=1)
    alpha: float = Field(default=0.0, ge=0, lt=1)
    drop_modality: float = Field(default=0.3, gt=0, lt=1)
    precision: Precision = "auto"
    calibrate: bool = True

    @model_validator(mode="after")
    def _one_precision(self) -> "FinetuneConfig":
        if self.readout.precision not in ("32-true", self.precision):
            raise ValueError("readout.precision has no meaning in finetune: set finetune.precision")
        return self


class TaskConfig(Strict):
    """What is predicted: an endpoint as time to event, or whether its event comes within a horizon.

    With `horizon_days` the task is binary: positive = event by then, negative = followed for longer; who was
    censored earlier cannot be labelled and serves neither training nor test (the paper, IV-B). With
    `landmark_days` only those serve who are at risk and under observation then, and time is counted from
    there. `competing` are endpoints whose event can come first.
    """

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    endpoint: str
    horizon_days: float | None = Field(default=None, gt=0)
    landmark_days: float | None = Field(default=None, gt=0)
    competing: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> "TaskConfig":
        if self.competing and self.horizon_days is not None:
            raise ValueError(f"task {self.name}: give one of horizon_days and competing")
        if len({self.endpoint, *self.competing}) <= len(self.competing):
            raise ValueError(f"task {self.name}: competing names an endpoint twice, or the task's own")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_asked(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A task without a landmark and competing events looks as it did before there were any."""
        value: dict[str, Any] = handler(self)
        return {k: v for k, v in value.items() if v or k not in ("landmark_days", "competing")}


class ExternalConfig(Strict):
    """External validation: train on some cohorts, test on all patients of another."""

    train: tuple[str, ...] = Field(min_length=1)
    test: str

    @model_validator(mode="after")
    def _apart(self) -> "ExternalConfig":
        if self.test in self.train:
            raise ValueError(f"cohort {self.test} is both trained on and tested")
        return self


Mode = Literal[
    "lp_shared",
    "lp_shared_annotated",
    "lp_shared_clinical",
    "lp",
    "lp_missing",
    "ft",
    "ft_missing",
    "ft_shared",
]


Init = Literal["pretrained", "scratch"]


class EvaluateConfig(Strict):
    """The downstream protocol (paper IV-B and IV-C2).

    `folds` names a folds file (csv) or a splits file (json). Without one, `splits` says how folds are drawn:
    stratified by outcome, or by whole tissue source sites. `train_on` is whom heads are trained on: everyone,
    or patients with every modality; tests are always scored on both. `shares`: of the training labels.
    `methods`: other methods to be fitted on the same folds; `prime methods` lists them.
    """

    tasks: tuple[TaskConfig, ...] = Field(default=(TaskConfig(name="os", endpoint="os"),), min_length=1)
    cohorts: tuple[str, ...] | None = None
    folds: str | None = None
    splits: Literal["stratified", "sites"] = "stratified"
    external: tuple[ExternalConfig, ...] = ()
    fold_count: int = Field(default=5, ge=2)
    only_folds: tuple[int, ...] | None = None
    seeds: tuple[int, ...] = (0,)
    bins: int = Field(default=4, ge=2)
    modes: tuple[Mode, ...] = ("lp", "lp_missing", "ft", "ft_missing")
    inits: tuple[Init, ...] = ("pretrained", "scratch")
    methods: Annotated[tuple[str, ...], AfterValidator(known_methods)] = ()
    train_on: tuple[Literal["everyone", "complete", "others"], ...] = ("everyone",)
    shares: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (1.0,)
    bootstrap: int = Field(default=200, ge=0)
    probe: ProbeConfig = ProbeConfig()
    finetune: FinetuneConfig = FinetuneConfig()

    @model_validator(mode="after")
    def _distinct(self) -> "EvaluateConfig":
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise ValueError(f"tasks: two have the same name ({', '.join(names)})")
        return self
