"""The head over all cohorts: PRIME's tokens as blocks of a ridge, beside the blocks of the sources."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prime.downstream.embeddings import EmbeddingCache
from prime.downstream.finetuning import Finetuning, hazard_logits
from prime.downstream.fit import SHARED_MODES
from prime.downstream.grid import Evaluation
from prime.downstream.token_blocks import TokenReading
from prime.settings.experiment import ExperimentConfig
from prime.splits.folds import Fold
from prime.store.store import Store
from tests.downstream.joint_cohort import OS, write_joint_store
from tests.made_up import evaluation_settings, write_checkpoint


def shared(**probe: Any) -> ExperimentConfig:
    """Both cohorts, two folds, from a checkpoint."""
    settings = evaluation_settings(modes=["lp_shared"], inits=["pretrained"], bootstrap=0)
    value = settings.model_dump(mode="json")
    value["evaluate"]["probe"]["shared"] |= probe
    return ExperimentConfig.model_validate(value)


def evaluation(store: Store, checkpoint: Path, out: Path, **probe: Any) -> Evaluation:
    return Evaluation(store, shared(**probe), lambda seed, fold: checkpoint, out)


def test_every_pattern_is_scored(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path
) -> None:
    found = evaluation(evaluation_store, evaluation_checkpoint, tmp_path)
    folds = found.run(progress=False)
    assert set(folds["mode"]) == {"lp_shared"}
    assert folds["cohort"].nunique() == 2
    predictions = found.predictions()
    assert set(predictions["pattern"]) == set(found.data.patterns)
    survival = predictions.filter(like="survival_").to_numpy()
    known = survival[~np.isnan(survival)]
    assert ((known >= 0) & (known <= 1)).all()


def test_tokens_and_sources_both_count(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path
) -> None:
    """Another network, another scale of its tokens, or no blocks of the sources, is another prediction."""
    other = write_checkpoint(tmp_path / "other", evaluation_store, ["p000"], seed=7)
    variants: list[tuple[Path, dict[str, Any]]] = [
        (evaluation_checkpoint, {}),
        (other, {}),
        (evaluation_checkpoint, {"token_scale": 1.0}),
        (evaluation_checkpoint, {"read_sources": False}),
    ]
    names: set[str] = set()
    risks: list[np.ndarray[Any, Any]] = []
    for checkpoint, probe in variants:
        found = evaluation(evaluation_store, checkpoint, tmp_path / "out", **probe)
        fit = found.fits[0]
        found.do(fit)
        names.add(found.part_path(fit).name)
        risks.append(pd.read_parquet(found.part_path(fit))["risk"].to_numpy())
    assert len(names) == len(variants)
    for first in range(len(risks)):
        for second in range(first):
            assert np.abs(risks[first] - risks[second]).max() > 1e-6


def tuned(store: Store, checkpoint: Path, out: Path, **finetune: Any) -> Evaluation:
    value = shared().model_dump(mode="json")
    value["evaluate"]["modes"] = ["lp_shared", "ft_shared"]
    value["evaluate"]["cohorts"], value["evaluate"]["only_folds"] = ["A", "B"], [0]
    value["evaluate"]["finetune"] |= {"epochs": 2, "batch_size": 8, "precision": "32-true", **finetune}
    return Evaluation(store, ExperimentConfig.model_validate(value), lambda seed, fold: checkpoint, out)


def predictions_by_mode(found: Evaluation) -> tuple[pd.DataFrame, pd.DataFrame]:
    found.run(progress=False)
    table = found.predictions().sort_values(["mode", "cohort", "pattern", "patient_id"])
    head, network = (
        table[table["mode"] == mode].reset_index(drop=True) for mode in ("lp_shared", "ft_shared")
    )
    assert head["patient_id"].equals(network["patient_id"])
    return head, network


def test_fine_tuning_from_the_head_that_learns_nothing_is_the_head(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path
) -> None:
    still = {"learning_rate": 1e-30, "head_learning_rate": 1e-30}
    found = tuned(evaluation_store, evaluation_checkpoint, tmp_path, **still)
    head, network = predictions_by_mode(found)
    curves = [name for name in head if name.startswith("survival_")]
    np.testing.assert_allclose(network[curves], head[curves], atol=1e-5)
    assert network["pattern"].nunique() == len(found.data.patterns)


def test_fine_tuning_from_the_head_adds_to_it(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where every epoch counts as better, predictions move, by less than those of another start differ."""
    losses = iter(range(1000, 0, -1))
    monkeypatch.setattr(Finetuning, "validation_loss", lambda self: float(next(losses)))
    found = tuned(evaluation_store, evaluation_checkpoint, tmp_path, calibrate=False)
    head, network = predictions_by_mode(found)
    moved = np.abs(network["risk"] - head["risk"])
    assert 1e-4 < moved.mean() < np.abs(head["risk"] - head["risk"].mean()).mean()


def test_another_start_is_another_part(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path
) -> None:
    paths: set[str] = set()
    for changes in ({}, {"start": "lp_shared_clinical"}, {"epochs": 3}):
        found = tuned(evaluation_store, evaluation_checkpoint, tmp_path, **changes)
        paths.update(found.part_path(fit).name for fit in found.fits if fit.from_head)
    assert len(paths) == 2 * 3


def test_hazard_logits_are_those_of_the_curve() -> None:
    curve = np.array([[0.9, 0.6, 0.6], [0.5, 0.25, 0.0]])
    hazard = 1 / (1 + np.exp(-hazard_logits(curve)))
    np.testing.assert_allclose(np.cumprod(1 - hazard, axis=1), curve, atol=2e-6)


@pytest.mark.parametrize("spoiled", [1e3, -1e3])
def test_blocks_of_tokens_are_fitted_on_training_patients(spoiled: float) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 2, 5)).astype(np.float32)
    types = np.repeat(["A", "B"], 30)
    rows = {"all": np.arange(60)}
    training = np.setdiff1d(np.arange(60), [3, 40])
    wild = values.copy()
    wild[[3, 40]] = spoiled

    def blocks(tokens: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, Any]:
        reading = TokenReading(lambda folds: (EmbeddingCache(tokens, rows), str(tokens.sum())), 3, 0.5)
        made = reading.blocks([Fold("A", 0, training, training[:0], training[:0])], types, training)
        assert made.scale.tolist() == [0.5] * 6
        return made(training, "all")

    np.testing.assert_array_equal(blocks(values), blocks(wild))
    assert blocks(values).shape == (58, 6)


def test_the_richer_heads_read_annotations_or_covariates(tmp_path: Path) -> None:
    """Each mode is the classical method of its name where the tokens say nothing."""
    store = write_joint_store(tmp_path / "store")
    checkpoint = write_checkpoint(tmp_path / "network", store, ["p000"], seed=7)
    probe = {"token_scale": 1e-9, "impute": True, "annotations": ["age", "stage"]}
    methods = {"shared_ridge": {"annotations": ["age", "stage"]}, "shared_ridge_clinical": {}}
    settings = evaluation_settings(
        modes=list(SHARED_MODES), inits=["pretrained"], bootstrap=0, methods=list(methods), cohorts=None,
        tasks=[OS],
    )  # fmt: skip
    value = settings.model_dump(mode="json")
    value["evaluate"]["probe"]["shared"] |= probe
    value["comparison"]["settings"] = {n: {"impute": True, **s} for n, s in methods.items()}
    found = Evaluation(
        store, ExperimentConfig.model_validate(value), lambda seed, fold: checkpoint, tmp_path / "out"
    )
    found.run(progress=False)
    table = found.predictions("os")
    keys = ["cohort", "fold", "pattern", "patient_id"]

    def risk(column: str, name: str) -> pd.Series:
        return table[table[column] == name].set_index(keys)["risk"].sort_index()

    annotated, clinical = risk("mode", "lp_shared_annotated"), risk("mode", "lp_shared_clinical")
    pd.testing.assert_series_equal(annotated, risk("method", "shared_ridge"), atol=1e-5)
    pd.testing.assert_series_equal(clinical, risk("method", "shared_ridge_clinical"), atol=1e-5)
    plain = risk("mode", "lp_shared")
    for one, other in ((plain, annotated), (plain, clinical), (annotated, clinical)):
        assert np.abs(one - other).max() > 1e-3
