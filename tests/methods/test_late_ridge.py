"""Late ridge against a plain version from other libraries, its edges, and the published reference."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from prime.cohort.config import CohortConfig
from prime.downstream.grid import Evaluation
from prime.errors import InputError
from prime.methods.classical.late_ridge import mean_present
from prime.methods.statistics.calibrated import calibrate
from prime.methods.statistics.components import fit_word_weights
from prime.methods.statistics.examples import Examples, Target
from prime.settings.experiment import ExperimentConfig
from prime.store.packing import pack
from prime.store.store import Store
from tests.methods.statistical_data import fitted, made_examples

Floats = NDArray[np.float64]
TCGA = Path(__file__).resolve().parents[2] / ".." / "shared" / "tcga"


def naive_risk(train: Floats, target: Target, test: Floats, components: int) -> Floats:
    """One source: impute, standardise, whitened components, ridge regression, standardised risk."""
    steps = make_pipeline(
        SimpleImputer(strategy="median"), StandardScaler(), PCA(components, whiten=True, svd_solver="full")
    )
    own = steps.fit_transform(train)
    own, other = own / own.std(axis=0), steps.transform(test) / own.std(axis=0)
    if target.binary:
        model = LogisticRegression(C=1 / (0.1 * len(own)), solver="newton-cholesky", tol=1e-12)
        model.fit(own, target.event)
        a, b = model.decision_function(own), model.decision_function(other)
    else:
        cox = CoxPHSurvivalAnalysis(alpha=0.1 * len(own), ties="efron", tol=1e-12)
        cox.fit(own, Surv.from_arrays(target.event, target.time_days))
        a, b = cox.predict(own), cox.predict(other)
    return (b - a.mean()) / a.std()


def naive_score(train: Examples, test: Examples, components: int) -> list[float]:
    risks: dict[str, Floats] = {}
    for name, values in train.vectors.sources.items():
        own, other = train.vectors.has(name), test.vectors.has(name)
        risks[name] = np.full(len(other), np.nan)
        target = train.target.take(np.flatnonzero(own))
        risks[name][other] = naive_risk(
            values[own], target, test.vectors.sources[name][other], min(components, values.shape[1])
        )
    scores: list[float] = []
    for i in range(len(test.vectors)):
        present = [
            np.mean(there)
            for names in test.vectors.modalities.values()
            if (there := [risks[n][i] for n in names if not np.isnan(risks[n][i])])
        ]
        scores.append(float(np.mean(present)))
    return scores


@pytest.mark.parametrize("binary", [False, True])
def test_it_ranks_as_the_plain_version_does(binary: bool) -> None:
    train, validation, test = (made_examples(n, seed, binary) for n, seed in ((120, 0), (30, 1), (60, 2)))
    model = fitted("late_ridge", train, validation, components=8)
    expected = naive_score(train.join(validation), test, 8)
    risk = -model.survival(test.vectors).sum(axis=1)
    np.testing.assert_array_equal(np.argsort(risk), np.argsort(expected))
    assert len(np.unique(risk)) == len(risk)


def test_means_are_over_what_is_there() -> None:
    columns = [np.array([1.0, np.nan, np.nan]), np.array([3.0, 4.0, np.nan])]
    np.testing.assert_array_equal(mean_present(columns), [2.0, 4.0, np.nan])


def test_a_source_of_few_patients_is_left_out_unless_all_are_small() -> None:
    train, validation, test = made_examples(90), made_examples(20, 1), made_examples(40, 2)
    notes = train.vectors.sources["notes"]
    notes[39 - int(validation.vectors.has("notes").sum()) :] = np.nan
    count = int(train.join(validation).vectors.has("notes").sum())
    assert 10 < count < 40
    alone = test.vectors.keep(np.tile([False, False, True], (40, 1)))
    alone = alone.take(np.flatnonzero(alone.has("notes")))

    def distinct(least: int) -> int:
        model = fitted("late_ridge", train, validation, min_patients=least)
        return len(np.unique(model.survival(alone), axis=0))

    assert (distinct(count), distinct(count + 1)) == (len(alone), 1)
    assert distinct(1000) == len(alone)


def test_survival_never_runs_against_the_score() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(size=80)
    time = 300 * np.exp(2 * score) * rng.exponential(size=80)  # a high score does well
    for binary in (False, True):
        target = Target(time, time < 300, np.array([-np.inf, 100.0, np.inf]), binary)
        found = calibrate(score, target).survival(score)
        assert (np.diff(found[np.argsort(score)], axis=0) < 0).all()


def test_what_no_training_patient_has_leaves_the_average() -> None:
    train, validation, test = made_examples(100), made_examples(30, 1), made_examples(20, 2)
    for examples in (train, validation):
        examples.vectors.sources["notes"][:] = np.nan
    model = fitted("late_ridge", train, validation)
    alone = test.vectors.keep(np.tile([False, False, True], (20, 1)))
    found = model.survival(alone)
    assert np.isfinite(found).all()
    assert (found == found[0]).all()


def test_counts_of_words_are_weighted_first() -> None:
    train, validation, test = made_examples(150), made_examples(40, 1), made_examples(40, 2)
    rng = np.random.default_rng(0)
    for examples in (train, validation, test):
        there = examples.vectors.has("notes")
        factor = np.nan_to_num(examples.vectors.sources["notes"][:, :1])
        counts = rng.poisson(np.exp(np.clip(factor / 30, -2, 2) * np.linspace(-1, 1, 12))).astype(np.float64)
        examples.vectors.sources["notes"][:] = np.where(there[:, None], counts, np.nan)
    model = fitted("late_ridge", train, validation, components=4, word_counts=["notes"], word_components=6)
    alone = test.vectors.keep(np.tile([False, False, True], (40, 1)))
    rows = np.flatnonzero(alone.has("notes"))
    both = train.join(validation)
    own = np.flatnonzero(both.vectors.has("notes"))
    words = fit_word_weights(both.vectors.sources["notes"][own], 6, 2)
    expected = naive_risk(
        words(both.vectors.sources["notes"][own]),
        both.target.take(own),
        words(alone.sources["notes"][rows]),
        4,
    )
    risk = -model.survival(alone.take(rows)).sum(axis=1)
    np.testing.assert_array_equal(np.argsort(risk), np.argsort(expected))
    with pytest.raises(InputError, match="word_counts names letters"):
        fitted("late_ridge", train, validation, word_counts=["letters"])


@pytest.mark.parametrize("binary", [False, True])
def test_clinical_risk_counts_as_one_more_modality(binary: bool) -> None:
    train, validation, test = (made_examples(n, seed, binary) for n, seed in ((120, 0), (30, 1), (60, 2)))
    for examples in (train, validation, test):
        for name in ("stage", "site"):
            del examples.vectors.covariates[name]
        examples.vectors.covariates["age"][:5] = np.nan
    model = fitted("late_ridge_clinical", train, validation)
    both = train.join(validation)
    age = both.vectors.covariates["age"]
    own = test.vectors.covariates["age"]
    standard = (own - np.nanmean(age)) / np.nanstd(age)  # older is worse here: age is its own risk
    count = test.vectors.observed.sum(axis=1)
    fused = np.array(naive_score(both, test, 16))
    expected = np.where(np.isnan(own), fused, (fused * count + standard) / (count + 1))
    risk = -model.survival(test.vectors).sum(axis=1)
    np.testing.assert_array_equal(np.argsort(risk), np.argsort(expected))


@pytest.mark.tcga
@pytest.mark.skipif(not TCGA.is_dir(), reason="the TCGA evaluation set is not beside the checkout")
def test_the_published_reference_of_a_cohort(tmp_path: Path) -> None:
    """LUAD, reports aside: image, rna and both, for overall survival and 3-year mortality."""
    table = {"reader": "vector", "instances": "mean"}
    cohort = CohortConfig.model_validate(
        {
            "name": "luad",
            "root": str(TCGA.resolve()),
            "clinical": {"format": "tcga-cdr", "path": "TCGA-CDR.xlsx"},
            "modalities": {
                "image": {
                    "hif": {**table, "path": "image_hif.parquet", "ignore": ["slide_id"]},
                    "reads": {
                        **table,
                        "path": "image_slide_reads.parquet",
                        "ignore": ["slide_id", "section_location"],
                    },
                },
                "rna": {
                    "genes": {**table, "path": "rna_genes.parquet"},
                    "signatures": {**table, "path": "rna_signatures.parquet"},
                },
            },
        }
    )
    store = Store.open(pack(cohort, tmp_path / "store", progress=False))
    tasks = [{"name": "os", "endpoint": "os"}, {"name": "m", "endpoint": "os", "horizon_days": 1095}]
    config = ExperimentConfig.model_validate(
        {
            "cohort": "luad.yaml",
            "evaluate": {
                "inits": [], "methods": ["late_ridge"], "tasks": tasks, "cohorts": ["LUAD"], "bootstrap": 0,
                "folds": str(TCGA / "folds.csv"),
            },
        }
    )  # fmt: skip
    scores = Evaluation(store, config, None, tmp_path / "out").run(progress=False)
    primary = scores[scores["metric"].isin(["c_index", "auroc"]) & (scores["test_on"] == "everyone")]
    found = primary.groupby(["task", "pattern"])["value"].mean()
    reference = {
        ("os", "all"): 0.616, ("os", "image"): 0.569, ("os", "rna"): 0.624,
        ("m", "all"): 0.667, ("m", "image"): 0.564, ("m", "rna"): 0.675,
    }  # fmt: skip
    for key, value in reference.items():
        assert found[key] == pytest.approx(value, abs=0.01), key
