"""The networks behind an evaluation: which checkpoint serves which fold, and embeddings kept on disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prime.downstream import networks as networks_module
from prime.downstream.grid import Evaluation
from prime.downstream.networks import CheckpointTemplate
from prime.settings.experiment import ExperimentConfig
from prime.splits.folds import Fold
from prime.store.loading import fit_scalings
from prime.store.store import Store
from tests.made_up import evaluation_settings, planned, write_checkpoint

TASKS = [
    {"name": "os", "endpoint": "os"},
    {"name": "early", "endpoint": "os", "horizon_days": 500},
]


def probes(**changes: Any) -> ExperimentConfig:
    base = {"modes": ["lp"], "inits": ["pretrained"], "bootstrap": 0}
    return evaluation_settings(**{**base, **changes})


def predictions(evaluation: Evaluation) -> pd.DataFrame:
    evaluation.run(progress=False)
    return pd.read_csv(evaluation.out / "predictions.csv")


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of patients of each embedding that is made while the test runs."""
    made: list[int] = []
    original = networks_module.embed

    def recorded(model: Any, loader: Any, observed: Any, patients: Any, *rest: Any) -> Any:
        made.append(len(patients))
        return original(model, loader, observed, patients, *rest)

    monkeypatch.setattr(networks_module, "embed", recorded)
    return made


def test_names_in_a_template() -> None:
    fold = Fold("A+B>C", 2, *(np.arange(3),) * 3)
    find = CheckpointTemplate("runs/{cohort}/fold{fold}-seed{seed}/fold{fold}")
    assert find(7, fold) == Path("runs/A+B>C/fold2-seed7/fold2")
    assert CheckpointTemplate("runs/one")(7, fold) == Path("runs/one")


def test_each_fold_and_cohort_has_its_own_checkpoint(evaluation_store: Store, tmp_path: Path) -> None:
    seed = 10
    for cohort in "AB":
        for fold in (0, 1):
            write_checkpoint(tmp_path / f"{cohort}{fold}", evaluation_store, [], seed)
            seed += 1
    template = tmp_path / "{cohort}{fold}"
    config = probes(modes=["lp", "ft"])
    table = predictions(planned(evaluation_store, config, template, tmp_path / "all"))
    chosen = table[(table["cohort"] == "B") & (table["fold"] == 1)].reset_index(drop=True)
    alone = probes(modes=["lp", "ft"], cohorts=["B"], only_folds=[1])
    expected = predictions(planned(evaluation_store, alone, tmp_path / "B1", tmp_path / "alone"))
    pd.testing.assert_frame_equal(chosen, expected, rtol=1e-6)
    wrong = predictions(planned(evaluation_store, alone, tmp_path / "B0", tmp_path / "wrong"))
    assert np.abs(wrong["risk"] - expected["risk"]).max() > 1e-3


def test_embeddings_serve_all_tasks_modes_and_evaluations(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path, embedded: list[int]
) -> None:
    config = probes(tasks=TASKS, modes=["lp", "lp_missing"], train_on=["everyone", "complete"])
    planned(evaluation_store, config, evaluation_checkpoint, tmp_path / "one", tmp_path).run(progress=False)
    assert embedded == [100, 100]  # each cohort once, everyone in it
    assert len(list((tmp_path / "embeddings").iterdir())) == 2
    assert not (tmp_path / "one" / "parts").exists()
    more = probes(tasks=TASKS[:1], seeds=[0, 1], shares=[0.8])
    planned(evaluation_store, more, evaluation_checkpoint, tmp_path / "two", tmp_path).run(progress=False)
    assert len(embedded) == 2


def test_embeddings_from_disk_are_those_that_were_made(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path
) -> None:
    config = probes(cohorts=["A"])
    first, second = (planned(evaluation_store, config, evaluation_checkpoint, tmp_path) for _ in range(2))
    folds = first.fits[0].folds
    made = first.networks.embeddings("pretrained", 0, folds)
    read = second.networks.embeddings("pretrained", 0, folds)
    assert made[0] is made[1], "folds with one network share one object"
    np.testing.assert_array_equal(made[0].values, read[0].values)
    assert made[0].row.keys() == read[0].row.keys()
    for name, row in made[0].row.items():
        np.testing.assert_array_equal(row, read[0].row[name])


@pytest.mark.parametrize("damage", ["emptied", "truncated", "noise", "other tensors"])
def test_damaged_embeddings_are_made_again(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path, embedded: list[int], damage: str
) -> None:
    first = predictions(planned(evaluation_store, probes(cohorts=["A"]), evaluation_checkpoint, tmp_path))
    (path,) = (tmp_path / "embeddings").iterdir()
    whole = path.read_bytes()
    spoilt = {"emptied": b"", "truncated": whole[:-50], "noise": b"\x07" * 500}
    if damage == "other tensors":
        networks_module.save_file({"values": networks_module.torch.zeros(3)}, path)
    else:
        path.write_bytes(spoilt[damage])
    for part in (tmp_path / "parts").iterdir():
        part.unlink()
    again = predictions(planned(evaluation_store, probes(cohorts=["A"]), evaluation_checkpoint, tmp_path))
    assert len(embedded) == 2
    assert path.read_bytes() == whole
    pd.testing.assert_frame_equal(first, again)


def test_networks_never_share_embeddings(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path, embedded: list[int]
) -> None:
    """Other weights, another seed from scratch, another fold from scratch: each has its own."""
    other = write_checkpoint(tmp_path / "other", evaluation_store, [], seed=5)
    cache = tmp_path / "cache"
    for number, checkpoint in enumerate((evaluation_checkpoint, other)):
        config = probes(cohorts=["A"])
        shared = predictions(planned(evaluation_store, config, checkpoint, tmp_path / f"s{number}", cache))
        fresh = predictions(planned(evaluation_store, config, checkpoint, tmp_path / f"f{number}"))
        pd.testing.assert_frame_equal(shared, fresh)
    embedded.clear()
    scratch = probes(cohorts=["A"], inits=["scratch"], seeds=[0, 1])
    planned(evaluation_store, scratch, None, tmp_path / "scratch", cache).run(progress=False)
    assert len(embedded) == 4  # two seeds of two folds, scaled on their own training patients
    assert len(list((cache / "embeddings").iterdir())) == 2 + 4


def test_tasks_and_shares_share_a_network_with_random_weights(
    evaluation_store: Store, tmp_path: Path, embedded: list[int]
) -> None:
    """Its scaling is fitted on everybody in the cohort whom no task tests in a fold of that number."""
    tasks = [*TASKS, {"name": "soon", "endpoint": "os", "horizon_days": 200}]
    config = probes(tasks=tasks, inits=["scratch"], shares=[1.0, 0.8], train_on=["everyone", "complete"])
    evaluation = planned(evaluation_store, config, None, tmp_path)
    cohorts = evaluation_store.patients["cohort"].to_numpy(dtype=str)
    tested: dict[tuple[str, int], set[int]] = {}
    for folds in evaluation.plan.folds.values():
        for fold in folds:
            tested.setdefault((fold.cohort, fold.fold), set()).update(fold.test.tolist())
    assert all(len(who) == 50 for who in tested.values()), "tasks share their folds of 50"
    for fit in evaluation.fits:
        for fold in fit.folds:
            found = set(evaluation.networks._scaled_on(fit.seed, fold).tolist())
            assert found == set(np.flatnonzero(cohorts == fold.cohort)) - tested[fold.cohort, fold.fold]
    evaluation.run(progress=False)
    assert len({fit.task.name for fit in evaluation.fits}) == 3
    assert embedded == [100] * 4  # two folds of two cohorts, whatever is predicted and from how much


def test_features_of_the_tested_do_not_reach_the_scaling_of_a_fold(
    evaluation_store: Store, tmp_path: Path
) -> None:
    config = probes(tasks=TASKS, inits=["scratch"], modes=["ft"])
    evaluation = planned(evaluation_store, config, None, tmp_path)
    assert len(evaluation.fits) == 2 * 2 * 2
    for fit in evaluation.fits:
        (fold,) = fit.folds
        scaled_on = evaluation.networks._scaled_on(fit.seed, fold)
        assert not np.intersect1d(scaled_on, fold.test).size
        _, loader = evaluation.networks.network("scratch", 0, fold)
        expected = fit_scalings(evaluation_store, scaled_on, config.clip)
        for name, scaling in expected.items():
            np.testing.assert_array_equal(loader.scaling[name].centre, scaling.centre)


def test_changed_code_of_the_network_embeds_again(
    evaluation_store: Store,
    evaluation_checkpoint: Path,
    tmp_path: Path,
    embedded: list[int],
    edit_code: Callable[[str], None],
) -> None:
    config = probes(cohorts=["A"])
    for module, times in (("prime.downstream.probe", 1), ("prime.model.backbone", 1), ("prime.seeds", 2)):
        evaluation = planned(evaluation_store, config, evaluation_checkpoint, tmp_path)
        evaluation.networks.embeddings("pretrained", 0, evaluation.fits[0].folds)
        assert len(embedded) == times, module
        edit_code(module)


def test_overwritten_weights_are_noticed(
    evaluation_store: Store, tmp_path: Path, embedded: list[int]
) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    write_checkpoint(run, evaluation_store, [], seed=1)
    one = predictions(planned(evaluation_store, probes(cohorts=["A"]), run, tmp_path / "1", cache))
    other = write_checkpoint(tmp_path / "other", evaluation_store, [], seed=2)
    for path in other.iterdir():
        path.replace(run / path.name)
    two = predictions(planned(evaluation_store, probes(cohorts=["A"]), run, tmp_path / "2", cache))
    assert len(embedded) == 2
    assert np.abs(one["risk"] - two["risk"]).max() > 1e-3
