"""Networks of other seeds widen the intervals of a risk, which stays that of the first network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from prime.errors import InputError
from prime.evaluation.missingness import patterns
from prime.model.checkpoint import WEIGHTS, load_checkpoint, save_description, save_network
from prime.predict import fit as fit_module
from prime.predict.fit import fit
from prime.predict.learn import Scores, network_spread
from prime.predict.model_folder import load_model
from prime.predict.predict import score_patients
from prime.predict.recalibration import rescaled
from prime.settings.experiment import ExperimentConfig
from prime.store.store import Store
from tests.made_up import evaluation_settings, write_checkpoint, write_store

PROBE = {"components": 3, "ridge": [0.1], "missing_heads": "shared"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seeds")


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    store = write_store(folder / "cohort", 300, present=0.8)
    for seed in range(3):
        write_checkpoint(folder / f"run{seed}", store, [], seed)
    return store


@pytest.fixture(scope="module")
def config() -> ExperimentConfig:
    return evaluation_settings(tasks=[{"name": "os", "endpoint": "os"}], probe=PROBE)


@pytest.fixture(scope="module")
def fitted(folder: Path, store: Store, config: ExperimentConfig) -> tuple[Path, Path, list[Scores]]:
    """Model folders of one network and of three, and the held-out risks of the three."""
    seen: list[list[Scores]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            fit_module, "network_spread", lambda risks: (seen.append(risks), network_spread(risks))[1]
        )
        fit(store, config, folder / "run0", ("A", "B"), folder / "one")
        others = [folder / "run1", folder / "run2"]
        fit(store, config, folder / "run0", ("A", "B"), folder / "three", other_seeds=others)
    assert len(seen) == 1
    return folder / "one", folder / "three", seen[0]


def test_the_interval_has_the_spread_between_networks(
    fitted: tuple[Path, Path, list[Scores]], store: Store
) -> None:
    one, three, held_out = fitted
    before, after = (score_patients(load_model(path), store).patients for path in (one, three))
    same = [c for c in before if not str(c).endswith(("_low", "_high"))]
    pd.testing.assert_frame_equal(before[same], after[same])
    spread = load_model(three).prognosis.network_spread
    assert set(spread) == set(patterns(["image", "rna", "report"]))
    z = float(ndtri(0.95))
    for name, keep in patterns(["image", "rna", "report"]).items():
        values = np.stack([risks[name] for risks in held_out])
        known = ~np.isnan(values[0])
        by_hand = np.sqrt(np.mean([np.var(column, ddof=1) for column in values[:, known].T]))
        assert spread[name] == pytest.approx(by_hand, rel=1e-12)
        assert spread[name] > 0.01
        label = "+".join(m for m, kept in zip(("image", "rna", "report"), keep, strict=True) if kept)
        mine = before["pattern"] == label
        half = [(table["risk_high"] - table["risk"])[mine] / z for table in (before, after)]
        np.testing.assert_allclose(half[1] ** 2, half[0] ** 2 + spread[name] ** 2)
    narrow, wide = (t["survival_12m_high"] - t["survival_12m_low"] for t in (before, after))
    known = narrow.notna()
    assert (wide[known] > narrow[known]).all()


def test_recalibration_stretches_it_with_the_risk(fitted: tuple[Path, Path, list[Scores]]) -> None:
    prognosis = load_model(fitted[1]).prognosis
    stretched = rescaled(prognosis, 0.3, 0.5).network_spread
    assert stretched == {name: 0.5 * value for name, value in prognosis.network_spread.items()}


def test_the_folder_says_which_networks(
    fitted: tuple[Path, Path, list[Scores]], folder: Path, store: Store, config: ExperimentConfig
) -> None:
    one, three, _ = fitted
    digests = [load_checkpoint(folder / f"run{k}").manifest["sha256"][WEIGHTS] for k in (1, 2)]
    assert load_model(three).checkpoint.manifest["other_networks"] == digests
    with pytest.raises(InputError, match="differs in other_networks"):
        fit(store, config, folder / "run0", ("A", "B"), one, other_seeds=[folder / "run1"])


def test_networks_that_differ_in_more_than_their_seed_are_refused(
    folder: Path, store: Store, config: ExperimentConfig, tmp_path: Path
) -> None:
    trained = load_checkpoint(folder / "run1")
    changed = {**trained.config, "pretrain": {**trained.config["pretrain"], "epochs": 99}}
    other = replace(trained, config=changed)
    (tmp_path / "longer").mkdir()
    digest = save_network(tmp_path / "longer", other.model, other.scaling)
    save_description(
        tmp_path / "longer", other.model, other.config, {"train_patients": []}, {WEIGHTS: digest}
    )
    for runs, what in (
        ([tmp_path / "longer"], "longer: its settings of pretrain are not those of --checkpoint"),
        ([folder / "run0"], "run0: the same network as one before"),
        ([folder / "run1", folder / "run1"], "run1: the same network as one before"),
    ):
        with pytest.raises(InputError, match=what):
            fit(store, config, folder / "run0", ("A", "B"), tmp_path / "model", other_seeds=runs)
