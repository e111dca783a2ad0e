"""Reading an experiment: single values, changed settings, and what is said of those that are refused."""

from pathlib import Path

import pytest

from prime.errors import InputError
from prime.settings.experiment import ExperimentConfig, load_experiment, load_overrides
from prime.settings.yaml_files import parse_value


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text("cohort: cohort.yaml\nmodel: {dim: 16}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "value"),
    [("2", 2), ("0.5", 0.5), ("word", "word"), ("true", True), ("[1, 2]", [1, 2]), ("", None)],
)
def test_a_value_is_what_yaml_says(text: str, value: object) -> None:
    assert parse_value(text, "here") == value


def test_settings_change_the_file(file: Path) -> None:
    found = load_experiment(file, ("model.dim=32", "pretrain.epochs=3", "evaluate.modes=[lp]"))
    assert (found.model.dim, found.pretrain.epochs, found.evaluate.modes) == (32, 3, ("lp",))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.dim", r"--set model\.dim: write it as key=value"),
        ("model.dim=[16", r"--set model\.dim: '\[16' is not a value"),
        ("model.dim.more=1", r"model\.dim\.more: dim is not a group of settings"),
        ("model.dims=1", r"experiment\.yaml: model\.dims: no such key, found 1"),
    ],
)
def test_a_setting_that_cannot_be_is_one_clear_error(file: Path, setting: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_experiment(file, (setting,))


def test_changed_settings_leave_the_first_experiment_alone() -> None:
    base = ExperimentConfig(cohort="a.yaml")
    assert load_overrides(base, (("model.prototypes", 16),)).model.prototypes == 16
    assert base.model.prototypes == 128


def test_a_setting_changes_one_place_of_a_yaml_alias(tmp_path: Path) -> None:
    path = tmp_path / "aliased.yaml"
    path.write_text(
        "cohort: a.yaml\n"
        "evaluate:\n  probe:\n    shared: &shared { scale: 0.2, scales: { genes: 0.5 } }\n"
        "comparison:\n  settings:\n    shared_ridge: *shared\n    ridge_average: *shared\n",
        encoding="utf-8",
    )
    changes = ("evaluate.probe.shared.token_scale=0.7", "comparison.settings.shared_ridge.scales.genes=0.9")
    config = load_experiment(path, changes)
    shared = config.evaluate.probe.shared
    assert (shared.token_scale, shared.scale, shared.scales) == (0.7, 0.2, {"genes": 0.5})
    assert config.comparison.method_settings("shared_ridge").model_dump()["scales"] == {"genes": 0.9}
    assert config.comparison.method_settings("ridge_average").model_dump()["scales"] == {"genes": 0.5}
