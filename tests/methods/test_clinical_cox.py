"""Clinical Cox: its design by hand, the regression by other libraries, and age on real patients."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from prime.cohort.config import CohortConfig
from prime.downstream.grid import Evaluation
from prime.errors import InputError
from prime.methods.classical.clinical_cox import fit_design
from prime.settings.experiment import ExperimentConfig
from prime.store.packing import pack
from prime.store.store import Store
from tests.methods.statistical_data import fitted, made_examples

TCGA = Path(__file__).resolve().parents[2] / ".." / "shared" / "tcga"


def test_the_design_by_hand() -> None:
    nan = np.nan
    rarely = np.arange(40.0)
    rarely[0] = nan  # 2.5 %: filled, without an indicator
    often = np.tile([1.0, 3.0, nan, nan], 10)
    train = np.column_stack([rarely, often, np.full(40, 7.0), np.full(40, nan)])
    design = fit_design(train)
    found = design(np.array([[nan, 3.0, 9.0, 1.0], [40.0, nan, nan, nan]]))
    spread = np.where(np.isnan(rarely), 20.0, rarely).std()
    # rarely, often, and whether often is missing; the constants are gone
    expected = [[0, 1 / np.sqrt(0.5), -1], [20 / spread, 0, 1]]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("binary", [False, True])
def test_it_is_the_regression_of_other_libraries(binary: bool) -> None:
    train, validation, test = (made_examples(n, seed, binary) for n, seed in ((120, 0), (40, 1), (30, 2)))
    found = fitted("clinical_cox", train, validation).survival(test.vectors)
    both = train.join(validation)
    raw, other = (np.column_stack([e.vectors.covariates[n] for n in ("age", "stage")]) for e in (both, test))
    missing = [np.isnan(x[:, 1:]) for x in (raw, other)]
    means = np.nanmean(raw, axis=0)
    own, new = (
        np.hstack([np.where(np.isnan(x), means, x), gone])
        for x, gone in zip((raw, other), missing, strict=True)
    )
    own, new = (own - own.mean(axis=0)) / own.std(axis=0), (new - own.mean(axis=0)) / own.std(axis=0)
    if binary:
        model = LogisticRegression(C=1 / (0.1 * 160), solver="newton-cholesky", tol=1e-12)
        expected = model.fit(own, both.target.event).predict_proba(new)[:, :1]
    else:
        cox = CoxPHSurvivalAnalysis(alpha=0.1 * 160, ties="efron", tol=1e-12)
        cox.fit(own, Surv.from_arrays(both.target.event, both.target.time_days))
        ends = [200.0, 500.0, 900.0, both.target.time_days[both.target.event].max()]
        expected = np.stack([curve(ends) for curve in cox.predict_survival_function(new)])
    inside = np.abs(new).max(axis=1) < 1.9  # farther out than training patients a score is shortened
    assert inside.sum() > 15
    np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-6)


def test_no_covariate_is_an_error() -> None:
    train, validation = made_examples(60), made_examples(20, 1)
    for examples in (train, validation):
        examples.vectors.covariates.clear()
    for name in ("clinical_cox", "late_ridge_clinical"):
        with pytest.raises(InputError, match=r"clinical\.covariates"):
            fitted(name, train, validation)


def test_covariates_that_are_all_constant_leave_the_average() -> None:
    train, validation, test = made_examples(60), made_examples(20, 1), made_examples(10, 2)
    for examples in (train, validation, test):
        del examples.vectors.covariates["age"], examples.vectors.covariates["stage"]
    found = fitted("clinical_cox", train, validation).survival(test.vectors)
    assert (found == found[0]).all()
    assert ((found > 0) & (found < 1)).all()


@pytest.mark.tcga
@pytest.mark.skipif(not TCGA.is_dir(), reason="the TCGA evaluation set is not beside the checkout")
def test_age_alone_on_real_patients(tmp_path: Path) -> None:
    """The column `age` of the published reference, for two cancer types."""
    source = {"reader": "vector", "path": "rna_signatures.parquet"}
    age = ["age_at_initial_pathologic_diagnosis"]
    cohort = CohortConfig.model_validate(
        {
            "name": "age",
            "root": str(TCGA.resolve()),
            "clinical": {"format": "tcga-cdr", "path": "TCGA-CDR.xlsx", "covariates": age},
            "modalities": {"rna": {"signatures": source}},
        }
    )
    store = Store.open(pack(cohort, tmp_path / "store", progress=False))
    config = ExperimentConfig.model_validate(
        {
            "cohort": "age.yaml",
            "evaluate": {
                "inits": [], "methods": ["clinical_cox"], "cohorts": ["BRCA", "LGG"], "bootstrap": 0,
                "folds": str(TCGA / "folds.csv"),
            },
        }
    )  # fmt: skip
    scores = Evaluation(store, config, None, tmp_path / "out").run(progress=False)
    primary = scores[(scores["metric"] == "c_index") & (scores["test_on"] == "everyone")]
    found = primary[primary["pattern"] == "all"].groupby("cohort")["value"].mean()
    assert found["BRCA"] == pytest.approx(0.638, abs=0.01)
    assert found["LGG"] == pytest.approx(0.744, abs=0.01)
