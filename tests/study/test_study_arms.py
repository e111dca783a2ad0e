"""Arms of a study: what a pretraining run depends on, and whom it may see."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prime.errors import InputError
from prime.parsing import read_json
from prime.settings.experiment import ExperimentConfig, load_overrides
from prime.splits.folds import Fold
from prime.store.store import Store
from prime.study.arms import Arm, ArmWork, Pretrained, Protocol
from prime.study.context import Context, Other
from prime.study.jobs import do_pretraining, pretraining_job
from tests.made_up import changed_store

Configure = Callable[..., ExperimentConfig]
NOBODY: frozenset[str] = frozenset()
PROTOCOLS: tuple[Protocol, ...] = ("transductive", "inductive", "leave_cohort_out")


def key(store: Store, config: ExperimentConfig, seed: int = 0, excluded: frozenset[str] = NOBODY) -> str:
    return Pretrained(Arm("a", store, config), Path("cache")).key(seed, excluded)


def changed_manifest(store: Store, source: str, **facts: Any) -> Store:
    return replace(store, sources={**store.sources, source: replace(store.sources[source], **facts)})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clip", 3.0),
        ("model.prototypes", 9),
        ("model.imputation", "zero"),
        ("model.refiner", False),
        ("pretrain.epochs", 2),
        ("pretrain.kappa", 7.0),
        ("pretrain.patients", "complete"),
        ("pretrain.precision", "bf16-mixed"),
    ],
)
def test_another_experiment_is_another_pretraining(
    study_store: Store, study_config: Configure, name: str, value: object
) -> None:
    base = study_config()
    assert key(study_store, base) == key(study_store, study_config())
    assert key(study_store, load_overrides(base, ((name, value),))) != key(study_store, base)


def test_seed_and_exclusions_make_another_pretraining(study_store: Store, study_config: Configure) -> None:
    config = study_config()
    found = [
        key(study_store, config),
        key(study_store, config, seed=1),
        key(study_store, config, excluded=frozenset({"p001"})),
        key(study_store, config, excluded=frozenset({"p001", "p002"})),
    ]
    assert len(set(found)) == 4


def test_other_data_are_another_pretraining(study_store: Store, study_config: Configure) -> None:
    config = study_config()
    files = {**study_store.manifest["sha256"], "words.index.npy": "another"}
    stores = [
        study_store,
        changed_store(study_store, "cohort", [3], "C"),
        changed_store(study_store, "patient_id", [3], "somebody else"),
        changed_manifest(study_store, "words", sha256="another"),
        changed_manifest(study_store, "words", groups=[0, 0, 0, 0, 0, 0, 0, 1]),
        replace(study_store, manifest={**study_store.manifest, "sha256": files}),
        replace(study_store, modalities={"image": ["tiles"], "other": ["genes", "words"]}),
    ]
    assert len({key(store, config) for store in stores}) == len(stores)


def test_other_code_is_another_pretraining(
    study_store: Store, study_config: Configure, edit_code: Callable[[str], None]
) -> None:
    config = study_config()
    found = [key(study_store, config)]
    edit_code("prime.downstream.probe")
    edit_code("prime.pretraining.losses.retention")  # its weight is 0
    assert key(study_store, config) == found[0]
    for name in ("prime.pretraining.losses.balance", "prime.model.moe", "prime.objectives.alignment"):
        edit_code(name)
        found.append(key(study_store, config))
    assert len(set(found)) == 4


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("evaluate.bins", 7),
        ("evaluate.seeds", [3]),
        ("evaluate.probe.components", 9),
        ("evaluate.finetune.epochs", 9),
        ("evaluate.fold_count", 4),
        ("cohort", "elsewhere.yaml"),
        ("store", "elsewhere"),
        ("seed", 5),
    ],
)
def test_evaluation_and_places_are_not(
    study_store: Store, study_config: Configure, name: str, value: object
) -> None:
    """The seed of a run is given with it; that of the experiment is not used."""
    base = study_config()
    assert key(study_store, load_overrides(base, ((name, value),))) == key(study_store, base)
    outcomes = changed_store(study_store, "os_time_days", [3, 4], 1.0)
    assert key(outcomes, base) == key(study_store, base)


# Ways of training -------------------------------------------------------------------------------------------


def ways(context: Context) -> dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]]:
    settings = {arm.name: arm.config.evaluate for arm in context.main_arms()}
    return {name: (found.inits, found.modes, found.methods) for name, found in settings.items()}


def test_the_tables_show_the_ways_of_training_that_are_asked_for(
    study_store: Store, study_config: Configure
) -> None:
    every = ("lp", "lp_missing", "ft", "ft_missing")
    default = Context(study_store, ExperimentConfig(cohort="a.yaml"))
    assert {arm.protocol for arm in default.main_arms()} == {"inductive"}
    assert ways(default) == {"PRIME": (("pretrained", "scratch"), every, ())}
    asked = study_config(modes=["lp_missing"], inits=["scratch"], methods=["early"])
    other = (Other("wider", study_store, study_config()),)
    mine = (("scratch",), ("lp_missing",), ())
    found = ways(Context(study_store, asked, also=other))
    assert found.pop("methods")[2] == ("early",)
    assert found == {"PRIME": mine, "PRIME, wider": mine}
    alone = Context(study_store, study_config(modes=[], methods=["early"]), also=other)
    assert [arm.name for arm in alone.main_arms()] == ["methods"]
    with pytest.raises(InputError, match="name what is to be compared"):
        Context(study_store, study_config(inits=[])).main_arms()


# Whom pretraining sees --------------------------------------------------------------------------------------


def planned(
    store: Store, config: ExperimentConfig, protocol: Protocol
) -> list[tuple[int, Fold, frozenset[str]]]:
    arm = Arm("a", store, config, protocol)
    find = Pretrained(arm, Path("cache"))
    evaluation = ArmWork(arm, Path("cache")).evaluation
    return [(seed, fold, find.excluded(seed, fold)) for seed, fold in evaluation.pretrained_folds()]


def ids_of(store: Store, rows: Any) -> frozenset[str]:
    return frozenset(store.patients["patient_id"].to_numpy(dtype=object)[rows].tolist())


@pytest.fixture(scope="session")
def folds_file(study_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folds 1 and 2 of every patient but a few; the third cohort is in it too."""
    path = tmp_path_factory.mktemp("folds") / "folds.csv"
    patients = study_store.patients[["patient_id", "cohort"]].copy()
    patients["fold"] = np.arange(len(patients)) // 3 % 2 + 1
    patients[:-6].to_csv(path, index=False)
    return path


def test_transductive_pretraining_sees_everyone(study_store: Store, study_config: Configure) -> None:
    found = planned(study_store, study_config(inits=["pretrained"]), "transductive")
    assert len(found) > 8
    assert {excluded for _, _, excluded in found} == {NOBODY}


def test_inductive_pretraining_with_drawn_folds(study_store: Store, study_config: Configure) -> None:
    tasks = [{"name": "os", "endpoint": "os"}]
    config = study_config(inits=["pretrained"], seeds=[0, 1], tasks=tasks)
    found = planned(study_store, config, "inductive")
    for seed, fold, excluded in found:
        same = [other.test for s, other, _ in found if (s, other.fold) == (seed, fold.fold)]
        assert excluded == ids_of(study_store, np.unique(np.concatenate(same)))
        assert ids_of(study_store, fold.test) < excluded
    assert len({excluded for _, _, excluded in found}) == 2 * 2  # seeds, folds: one run for all cohorts


def test_inductive_pretraining_with_a_folds_file(
    study_store: Store, study_config: Configure, folds_file: Path
) -> None:
    """One run serves a fold number of all cohorts and tasks, tested or not, with an outcome or not."""
    table = pd.read_csv(folds_file)
    found = planned(study_store, study_config(inits=["pretrained"], folds=str(folds_file)), "inductive")
    for _, fold, excluded in found:
        assert excluded == set(table.loc[table["fold"] == fold.fold, "patient_id"])
        assert ids_of(study_store, fold.test) <= excluded
        assert not ids_of(study_store, fold.train) & excluded
    assert len({excluded for _, _, excluded in found}) == 2


def test_external_validation_does_not_look_at_the_folds_file(
    study_store: Store, study_config: Configure, folds_file: Path
) -> None:
    external = [{"train": ["A", "B"], "test": "C"}]
    config = study_config(inits=["pretrained"], folds=str(folds_file), external=external)
    tested = ids_of(study_store, study_store.patients["cohort"].to_numpy(dtype=str) == "C")
    found = planned(study_store, config, "inductive")
    assert found
    for _, fold, excluded in found:
        assert ids_of(study_store, fold.test) <= excluded <= tested


def test_leaving_out_the_tested_cohort(study_store: Store, study_config: Configure) -> None:
    cohorts = study_store.patients["cohort"].to_numpy(dtype=str)
    for _, fold, excluded in planned(study_store, study_config(inits=["pretrained"]), "leave_cohort_out"):
        assert excluded == ids_of(study_store, cohorts == fold.cohort)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_checkpoints_say_the_same(
    study_store: Store, study_config: Configure, folds_file: Path, tmp_path: Path, protocol: Protocol
) -> None:
    config = study_config(inits=["pretrained"], modes=["lp"], folds=str(folds_file))
    arm = Arm("a", study_store, config, protocol)
    runs = ArmWork(arm, tmp_path).pretraining
    assert len(runs) == {"transductive": 1, "inductive": 2, "leave_cohort_out": 2}[protocol]
    for run in runs:
        job = pretraining_job(run)
        assert not job.done
        do_pretraining(run)
        assert job.done
    everyone = ids_of(study_store, study_store.observed().any(axis=1))
    evaluation = ArmWork(arm, tmp_path).evaluation
    for seed, fold in evaluation.pretrained_folds():
        manifest = read_json(evaluation.networks.checkpoint_path(seed, fold) / "manifest.json")
        seen = {*manifest["train_patients"], *manifest["validation_patients"]}
        excluded = find_excluded(arm, seed, fold)
        assert manifest["excluded"] == sorted(excluded)
        assert seen == everyone - excluded
        if protocol != "transductive":
            assert not seen & ids_of(study_store, fold.test)


def find_excluded(arm: Arm, seed: int, fold: Fold) -> frozenset[str]:
    return Pretrained(arm, Path("cache")).excluded(seed, fold)


def test_networks_from_scratch_need_no_pretraining(study_store: Store, study_config: Configure) -> None:
    arm = Arm("a", study_store, study_config(inits=["scratch"]))
    assert ArmWork(arm, Path("cache")).pretraining == []


def test_a_task_that_cannot_be_fitted_is_refused(study_store: Store, study_config: Configure) -> None:
    rare = [{"name": "rare", "endpoint": "os", "horizon_days": 40}]
    arm = Arm("a", study_store, study_config(inits=["pretrained"], tasks=rare))
    with pytest.raises(InputError, match=r"no fold of rare can be fitted; rare A fold 0 .* events"):
        _ = ArmWork(arm, Path("cache")).pretraining
