"""The experiment file: cohort, model, pretraining and evaluation in one YAML. Unknown keys are refused."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator

from prime.baselines.config import BaselinesConfig, known_methods
from prime.cohort.config import Strict, read_yaml, validation_message
from prime.errors import InputError
from prime.model.config import ModelConfig


class PretrainConfig(Strict):
    """Settings of paper III-E and IV-C2; the paper lost its values, so all of them are assumed."""

    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=256, ge=2)
    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    warmup: float = Field(default=0.05, ge=0, lt=1)
    gradient_clip: float = Field(default=1.0, gt=0)
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed"
    validation_share: float = Field(default=0.2, gt=0, lt=1)
    patients: Literal["all", "complete"] = "all"
    within_type: float = Field(default=0.0, ge=0, le=1)
    alignment_weight: float = Field(default=0.5, ge=0)
    consistency_weight: float = Field(default=0.5, ge=0)
    balance_weight: float = Field(default=0.01, ge=0)
    prediction_weight: float = Field(default=0.0, ge=0)
    retention_weight: float = Field(default=0.0, ge=0)
    retention_components: int = Field(default=32, ge=1)
    hide_input: float = Field(default=0.0, ge=0, lt=1)
    temperature: float = Field(default=0.2, gt=0)
    learn_temperature: bool = False
    pair_weighting: Literal["pairs", "patients"] = "pairs"
    negatives: Literal["other_view", "both_views"] = "other_view"
    drop_modality: float = Field(default=0.3, ge=0, lt=1)
    drop_token: float = Field(default=0.2, ge=0, lt=1)
    kappa: float = Field(default=50.0, gt=0)
    top_k: int = Field(default=8, ge=1)
    dirichlet_noise: bool = True
    dirichlet_missing: bool = True
    dropped_assignment: Literal["own", "consensus"] = "own"
    balance_imputed: bool = True


class ReadoutConfig(Strict):
    """What the head reads of the frozen network (assumed; the paper says only "the task head").

    `stages`: tokens of each modality before (refined) or after (fused) the backbone, or the reliability
    pooling over all of them (pooled). `pool`: mean over the K tokens, or all K x D values.
    """

    stages: tuple[Literal["tokens", "refined", "fused", "pooled"], ...] = ("pooled",)
    pool: Literal["mean", "flatten"] = "mean"


class ProbeConfig(Strict):
    """The linear probe: principal components of each block, then a ridge discrete-time hazard model.

    Mode `lp` trains one head on the training patients as they come. Mode `lp_missing` also trains on what is
    left of them when modalities are taken away, exactly (every subset, no sampling): one head for each set of
    modalities (`missing_heads: per_pattern`), or one for all of them (`shared`).
    """

    readout: ReadoutConfig = ReadoutConfig()
    components: int = Field(default=32, ge=1)
    spectrum_power: float = Field(default=0.5, ge=0, le=1)
    ridge: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=(0.03, 0.1, 0.3, 1.0), min_length=1)
    hazard: Literal["proportional", "free"] = "proportional"
    missing_heads: Literal["shared", "per_pattern"] = "per_pattern"
    refit: bool = False


class FinetuneConfig(Strict):
    """Full fine-tuning, from a checkpoint or from scratch. Its head reads all that it trains.

    `drop_modality` is the rate of mode `ft_missing`; mode `ft` drops nothing.
    """

    readout: ReadoutConfig = ReadoutConfig()
    epochs: int = Field(default=50, ge=1)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=1e-4, gt=0)
    head_learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    patience: int = Field(default=10, ge=1)
    drop_modality: float = Field(default=0.3, gt=0, lt=1)
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed"


class TaskConfig(Strict):
    """What is predicted: an endpoint as time to event, or whether its event comes within a horizon.

    With `horizon_days` the task is binary: positive = event by then, negative = followed for longer; who was
    censored earlier cannot be labelled and serves neither training nor test (the paper, IV-B).
    """

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    endpoint: str
    horizon_days: float | None = Field(default=None, gt=0)


class ExternalConfig(Strict):
    """External validation: train on some cohorts, test on all patients of another."""

    train: tuple[str, ...] = Field(min_length=1)
    test: str

    @model_validator(mode="after")
    def _apart(self) -> "ExternalConfig":
        if self.test in self.train:
            raise ValueError(f"cohort {self.test} is both trained on and tested")
        return self


Mode = Literal["lp", "lp_missing", "ft", "ft_missing"]
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
    alpha: float = Field(default=0.0, ge=0, lt=1)
    modes: tuple[Mode, ...] = ("lp", "lp_missing", "ft", "ft_missing")
    inits: tuple[Init, ...] = ("pretrained", "scratch")
    methods: Annotated[tuple[str, ...], AfterValidator(known_methods)] = ()
    train_on: tuple[Literal["everyone", "complete"], ...] = ("everyone",)
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


class ExperimentConfig(Strict):
    """One experiment. Paths are taken from the YAML's folder."""

    cohort: str
    root: str | None = None
    store: str | None = None
    seed: int = 0
    clip: float = Field(default=5.0, gt=0)
    model: ModelConfig = ModelConfig()
    pretrain: PretrainConfig = PretrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    baselines: BaselinesConfig = BaselinesConfig()

    @model_validator(mode="after")
    def _consistent(self) -> "ExperimentConfig":
        if (
            self.pretrain.alignment_weight
            + self.pretrain.consistency_weight
            + self.pretrain.prediction_weight
            == 0
        ):
            raise ValueError(
                "pretrain: alignment_weight, consistency_weight and prediction_weight are all zero"
            )
        return self


def _override(raw: dict[str, Any], setting: str) -> None:
    """Apply one `a.b.c=value` to nested mappings; the value is read as YAML."""
    key, equals, value = setting.partition("=")
    if not equals:
        raise InputError(f"--set {setting}: write it as key=value, for example pretrain.epochs=10")
    *parents, last = key.split(".")
    node: dict[str, Any] = raw
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f"--set {setting}: {parent} is not a group of settings")
    node[last] = yaml.safe_load(value)


def load_overrides(config: ExperimentConfig, settings: tuple[tuple[str, Any], ...]) -> ExperimentConfig:
    """The experiment with settings changed, as dotted keys and values. Raises InputError naming the key."""
    raw = config.model_dump(mode="json")
    for key, value in settings:
        *parents, last = key.split(".")
        node: Any = raw
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
        if not isinstance(node, dict) or last not in node:
            raise InputError(f"{key}: no such setting; prime config prints them all")
        node[last] = value
    try:
        return ExperimentConfig.model_validate(raw)
    except ValidationError as error:
        raise InputError(validation_message(Path(settings[-1][0]), error)) from None


def load_experiment(path: Path, overrides: tuple[str, ...] = ()) -> ExperimentConfig:
    """Read an experiment file, apply `key=value` overrides, resolve its paths.

    Raises InputError that names the key at fault.
    """
    raw = read_yaml(path)
    for setting in overrides:
        _override(raw, setting)
    try:
        config = ExperimentConfig.model_validate(raw)
    except ValidationError as error:
        raise InputError(validation_message(path, error)) from None

    def resolve(value: str | None) -> str | None:
        return None if value is None else str((path.parent / Path(value).expanduser()).resolve())

    evaluate = config.evaluate.model_copy(update={"folds": resolve(config.evaluate.folds)})
    return config.model_copy(
        update={
            "cohort": resolve(config.cohort),
            "root": resolve(config.root),
            "store": resolve(config.store),
            "evaluate": evaluate,
        }
    )
