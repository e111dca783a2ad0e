"""A small cohort, a small experiment and a way to run studies on them, for the tests of studies."""

from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from prime.downstream import differences
from prime.job_pool import JobPool
from prime.pretraining import loop as pretrain_module
from prime.settings.experiment import ExperimentConfig
from prime.store.store import Store
from prime.study import ablations, averages, sweeps
from prime.study.context import Context
from prime.study.registry import STUDIES
from prime.study.run import run_studies
from tests.made_up import experiment, write_store

Configure = Callable[..., ExperimentConfig]
Run = Callable[..., Path]


@pytest.fixture(scope="session")
def study_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two hundred and seventy patients of three types; read-only by agreement."""
    return write_store(tmp_path_factory.mktemp("study_store"), 270, 1, 0.9)


@pytest.fixture(scope="session")
def study_config() -> Configure:
    """One epoch, two folds of two cohorts, a survival and a binary task, changed as asked."""

    def configure(pretrain: dict[str, Any] | None = None, **evaluate: Any) -> ExperimentConfig:
        value = experiment(epochs=1, batch_size=64, **(pretrain or {})).model_dump(mode="json")
        value["evaluate"] = {
            "tasks": [
                {"name": "os", "endpoint": "os"},
                {"name": "early", "endpoint": "os", "horizon_days": 600},
            ],
            "cohorts": ["A", "B"],
            "modes": ["lp", "lp_missing", "ft"],
            "fold_count": 2,
            "bootstrap": 0,
            "probe": {"components": 3, "ridge": [0.1, 1.0]},
            "finetune": {"epochs": 1, "batch_size": 32, "precision": "32-true"},
            **evaluate,
        }
        return ExperimentConfig.model_validate(value)

    return configure


@pytest.fixture(scope="session")
def experiment_file(study_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment on a cohort that is packed already."""
    folder = tmp_path_factory.mktemp("experiment")
    config: dict[str, Any] = study_store.manifest["config"]
    (folder / "cohort.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    path = folder / "experiment.yaml"
    path.write_text(f"cohort: cohort.yaml\nstore: {study_store.path}\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def run_study(study_store: Store) -> Run:
    """Runs studies, by name, into a folder; returns the folder. One pretraining run serves all folds."""

    def run(
        names: str | Sequence[str],
        config: ExperimentConfig,
        out: Path,
        pool: JobPool | None = None,
        **context: Any,
    ) -> Path:
        studies = [STUDIES[name] for name in ([names] if isinstance(names, str) else names)]
        given = Context(study_store, config, **{"preset": "quick", "protocol": "transductive", **context})
        console = Console(file=StringIO())
        assert not run_studies(studies, given, out, pool or JobPool(), "prime study", console)
        return out

    return run


@pytest.fixture(autouse=True, scope="module")
def small_grids() -> Any:
    """Few ablations, values and replicates; losses of an epoch, quicker learnt than drawn, are not drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain_module, "plot_curves", lambda *_: None)
        patch.setattr(differences.paired_difference, "__defaults__", (50,))
        patch.setattr(differences.compare, "__defaults__", (50,))
        patch.setattr(averages.macro_means, "__defaults__", (200,))
        few = ("Zero tokens for prototypes", "Complete patients only", "No refiner")
        patch.setattr(ablations, "ABLATIONS", {name: ablations.ABLATIONS[name] for name in few})
        patch.setattr(sweeps, "QUICK_BANKS", (4,))
        patch.setattr(sweeps, "QUICK_BALANCES", (0.0,))
        patch.setattr(sweeps, "BANKS", (4,))
        patch.setattr(sweeps, "BALANCES", (0.0, 1.0))
        yield
