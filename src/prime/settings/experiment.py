"""The experiment file: cohort, model, pretraining and evaluation in one YAML. Unknown keys are refused."""

from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field, ValidationError

from prime.errors import InputError
from prime.settings.evaluation import EvaluateConfig
from prime.settings.methods import ComparisonConfig
from prime.settings.model import ModelConfig
from prime.settings.pretraining import PretrainConfig
from prime.settings.strict import Strict, validation_message
from prime.settings.yaml_files import parse_value, read_yaml


class ExperimentConfig(Strict):
    """One experiment. Relative paths start from the folder of its file.

    `clip`: scaled features of the networks end there. `scaling`: by median and quartiles of everyone, or of
    each cancer type.
    """

    cohort: str
    root: str | None = None
    store: str | None = None
    seed: int = 0
    clip: float = Field(default=5.0, gt=0)
    scaling: Literal["everyone", "cancer_type"] = "everyone"
    model: ModelConfig = ModelConfig()
    pretrain: PretrainConfig = PretrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    comparison: ComparisonConfig = ComparisonConfig()


def _put(raw: dict[str, Any], key: str, value: object) -> None:
    """Set the dotted `key` of nested mappings. Raises InputError where a part of it is a single setting.

    The mappings on the way are copied: one that stands in two places of a file, by a YAML alias, changes in
    the place that is named alone.
    """
    *parents, last = key.split(".")
    node: Any = raw
    for parent in parents:
        child = node.get(parent, {})
        if not isinstance(child, dict):
            raise InputError(f"{key}: {parent} is not a group of settings")
        node[parent] = dict(cast(dict[str, Any], child))
        node = node[parent]
    node[last] = value


def merge(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Nested settings with some of them changed; groups that both have are merged, all else is replaced."""
    merged = dict(settings)
    for key, value in changes.items():
        own = merged.get(key)
        if isinstance(own, dict) and isinstance(value, dict):
            value = merge(cast(dict[str, Any], own), cast(dict[str, Any], value))
        merged[key] = value
    return merged


def _experiment(raw: dict[str, Any], where: Path | str) -> ExperimentConfig:
    try:
        return ExperimentConfig.model_validate(raw)
    except ValidationError as error:
        raise InputError(validation_message(where, error)) from None


def load_overrides(config: ExperimentConfig, settings: tuple[tuple[str, Any], ...]) -> ExperimentConfig:
    """The experiment with settings changed, as dotted keys and values. Raises InputError naming the key."""
    raw = config.model_dump(mode="json")
    for key, value in settings:
        _put(raw, key, value)
    return _experiment(raw, "changed settings")


def load_experiment(path: Path, overrides: tuple[str, ...] = ()) -> ExperimentConfig:
    """Read an experiment file, apply `key=value` overrides, resolve its paths.

    Raises InputError that names the key at fault.
    """
    raw = read_yaml(path)
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--set {text}: write it as key=value, for example pretrain.epochs=10")
        _put(raw, key, parse_value(value, f"--set {key}"))
    config = _experiment(raw, path)

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
