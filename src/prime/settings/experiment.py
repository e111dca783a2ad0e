"""The experiment file: cohort, model, pretraining and evaluation in one YAML. Unknown keys are refused."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from prime.errors import InputError
from prime.settings.evaluation import EvaluateConfig
from prime.settings.methods import BaselinesConfig
from prime.settings.model import ModelConfig
from prime.settings.pretraining import PretrainConfig
from prime.settings.strict import Strict, validation_message
from prime.settings.yaml_files import read_yaml


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
