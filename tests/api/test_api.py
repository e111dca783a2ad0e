"""From DataFrames to predictions in a notebook: the same numbers as the commands, and clear errors."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import KFold, cross_val_score

import prime
from prime.errors import InputError
from prime.predict.patient_figure import grid_months
from prime.predict.predict import predict

SETTINGS: dict[str, Any] = {
    "model": {"dim": 16, "queries": 2, "heads": 2, "blocks": 2, "experts": 2, "top_k": 1, "prototypes": 4},
    "pretrain": {"epochs": 1, "batch_size": 32, "precision": "32-true", "top_k": 2},
}


def tables(count: int = 120, seed: int = 0) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """A clinical table and two modalities, each lacking for a third; identifiers begin with zeros."""
    rng = np.random.default_rng(seed)
    ids = pd.Index([f"{i:04d}" for i in range(count)])
    rna, image = rng.normal(size=(count, 12)), rng.normal(size=(count, 6))
    death = rng.exponential(800 / np.exp(0.8 * rna[:, 0] + 0.4 * image[:, 0]))
    end = rng.exponential(1500, count)
    clinical = pd.DataFrame(
        {"t": np.minimum(death, end) + 1, "dead": death <= end, "age": rng.integers(30, 80, count)}, index=ids
    )
    clinical["kind"] = np.where(np.arange(count) % 2, "A", "B")
    has = rng.random((2, count)) < 2 / 3
    genes = pd.DataFrame(rna, ids, [f"g{i}" for i in range(12)])[has[0]]
    shapes = pd.DataFrame(image, ids, [f"s{i}" for i in range(6)])[has[1]]
    return clinical, {"rna": genes, "image": shapes}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> prime.Cohort:
    clinical, modalities = tables()
    return prime.from_tables(
        tmp_path_factory.mktemp("api"), clinical, modalities, time="t", event="dead", cancer_type="kind",
        covariates=["age"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(cohort: prime.Cohort, tmp_path_factory: pytest.TempPathFactory) -> prime.Run:
    return prime.pretrain(cohort, tmp_path_factory.mktemp("run") / "run", SETTINGS, progress=False)


@pytest.fixture(scope="module")
def model(cohort: prime.Cohort, run: prime.Run, tmp_path_factory: pytest.TempPathFactory) -> prime.PrimeModel:
    return prime.fit(
        cohort, run, tmp_path_factory.mktemp("model") / "model", SETTINGS, mode="lp_shared_clinical"
    )


def test_a_cohort_is_what_the_tables_say(cohort: prime.Cohort) -> None:
    clinical, modalities = tables()
    assert len(cohort) == len(clinical)
    assert cohort.patients.index.tolist() == clinical.index.tolist()
    np.testing.assert_allclose(cohort.patients["os_time_days"], clinical["t"])
    assert (cohort.patients["os_event"] == clinical["dead"]).all()
    assert (cohort.patients["cohort"] == clinical["kind"]).all()
    assert (cohort.patients["x_age"] == clinical["age"]).all()
    for name, table in modalities.items():
        assert cohort.observed.index[cohort.observed[name]].tolist() == table.index.tolist()
        found = cohort.values(name)
        assert found.columns.tolist() == table.columns.tolist()
        np.testing.assert_allclose(found, table, atol=2e-3)  # float16 on disk
    assert cohort.sources.loc["rna", "patients"] == len(modalities["rna"])
    assert "120 patients" in repr(cohort)
    with pytest.raises(InputError, match="genes: no such source; the cohort has rna, image"):
        cohort.values("genes")


def test_a_written_cohort_serves_the_commands(cohort: prime.Cohort) -> None:
    again = prime.load(cohort.file, cohort.store.path)
    pd.testing.assert_frame_equal(again.patients, cohort.patients)
    done = subprocess.run(
        [sys.executable, "-m", "prime", "check", str(cohort.file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_runs_and_models_open_again(run: prime.Run, model: prime.PrimeModel, cohort: prime.Cohort) -> None:
    assert "pretrained on" in repr(run)
    assert "A, B" in repr(model)
    found, again = model.predict(cohort), prime.PrimeModel.from_pretrained(model.folder).predict(cohort)
    pd.testing.assert_frame_equal(found.patients, again.patients)
    assert {"rna", "image", "all"} == set(model.cross_validation.index)
    asked = model.predict(cohort, months=(6,), level=0.8, reasons=3)
    assert {"survival_6m", "outlives_80_months", "why_clinical"} <= set(asked.patients)
    assert asked.reasons is not None
    assert found.reasons is None
    with pytest.raises(InputError, match="the model holds no patients"):
        model.predict(cohort, similar=3)


def test_embeddings_carry_their_patients(
    run: prime.Run, model: prime.PrimeModel, cohort: prime.Cohort
) -> None:
    whole = run.embed(cohort)
    some = cohort.observed.any(axis=1)
    assert whole.index.tolist() == cohort.observed.index[some].tolist()
    assert whole.shape[1] == 16
    assert whole.notna().all(axis=None)
    pd.testing.assert_frame_equal(whole, model.embed(cohort))
    tokens = run.embed(cohort, "rna", ("tokens", "fused"))
    assert tokens.index.tolist() == cohort.observed.index[cohort.observed["rna"]].tolist()
    assert tokens.columns[0] == "tokens_rna_0"
    assert tokens.shape[1] == 2 * 2 * 16
    with pytest.raises(InputError, match="pattern 'genes': choose from all, rna, image"):
        run.embed(cohort, "genes")


def test_embeddings_of_other_features_are_refused(run: prime.Run, tmp_path: Path) -> None:
    """Also where the cohort has some of the sources only."""
    clinical, modalities = tables(30)
    other = {
        "width": {"rna": modalities["rna"].iloc[:, :5]},
        "names": {"rna": modalities["rna"].add_prefix("other_")},
        "source": {"dna": modalities["rna"]},
    }
    said = {
        "width": "5 features, the model wants",
        "names": "other_g0",
        "source": "'dna' .* is not the model's",
    }
    for kind, given in other.items():
        cohort = prime.from_tables(tmp_path / kind, clinical, given, time=None, event=None)
        with pytest.raises(InputError, match=said[kind]):
            run.embed(cohort)


def test_evaluation_gives_its_summary(cohort: prime.Cohort, run: prime.Run, tmp_path: Path) -> None:
    own = {
        **SETTINGS,
        "evaluate": {"modes": ["lp"], "fold_count": 2, "bootstrap": 0, "probe": {"components": 3}},
    }
    summary = prime.evaluate(cohort, run, tmp_path, own)
    assert {"c_index"} <= set(summary["metric"])
    assert (tmp_path / "summary.csv").is_file()


def test_what_is_wrong_with_tables_is_said(tmp_path: Path) -> None:
    clinical, modalities = tables(20)
    with pytest.raises(InputError, match="clinical: no column time, event; it has t, dead, age, kind"):
        prime.from_tables(tmp_path, clinical, modalities)
    with pytest.raises(InputError, match="rna: the table has no rows"):
        prime.from_tables(tmp_path, clinical, {"rna": modalities["rna"][:0]}, time="t", event="dead")


def test_importing_prime_imports_nothing_heavy() -> None:
    line = (
        "import sys, prime; prime.__version__; assert not {'torch', 'pandas', 'prime.api'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", line], check=True)
    assert set(prime.OFFERED) <= set(dir(prime))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = prime.nothing


# The estimator ----------------------------------------------------------------------------------------------


def outcome(clinical: pd.DataFrame) -> np.ndarray:
    rows = list(zip(clinical["dead"], clinical["t"], strict=True))
    return np.array(rows, dtype=[("event", bool), ("time", float)])


@pytest.fixture(scope="module")
def fitted() -> prime.PrimeSurvival:
    clinical, modalities = tables()
    return prime.PrimeSurvival(epochs=1, settings=SETTINGS).fit(
        whole(clinical, modalities), outcome(clinical)
    )


def whole(clinical: pd.DataFrame, modalities: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return prime.side_by_side(modalities).reindex(clinical.index)


def test_an_estimator_ranks_new_patients(fitted: prime.PrimeSurvival) -> None:
    clinical, modalities = tables(150, seed=1)
    x, y = whole(clinical, modalities), outcome(clinical)
    assert fitted.modalities_ == ("rna", "image")
    risk = fitted.predict(x)
    assert risk.shape == (150,)
    assert np.isfinite(risk).all()
    nothing = x.isna().all(axis=1).to_numpy()
    assert nothing.any()
    assert (risk[nothing] == 0).all()
    assert fitted.score(x, y) > 0.6
    curves = fitted.predict_survival_function(x)
    assert curves.shape == (150, len(fitted.event_times_))
    known = curves[~nothing]
    assert (np.diff(known, axis=1)[:, :20] <= 0).all()
    assert np.isnan(curves[nothing]).all()


def test_rows_may_come_in_any_order(fitted: prime.PrimeSurvival) -> None:
    clinical, modalities = tables(40, seed=2)
    x = whole(clinical, modalities)
    np.testing.assert_allclose(fitted.predict(x[::-1]), fitted.predict(x)[::-1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(fitted.predict(x[["rna"]]), fitted.predict(x.assign()[["rna"]]))


def test_it_serves_cross_validation() -> None:
    clinical, modalities = tables()
    estimator = prime.PrimeSurvival(epochs=1, settings=SETTINGS)
    assert clone(estimator).get_params() == estimator.get_params()
    found = cross_val_score(estimator, whole(clinical, modalities), outcome(clinical), cv=KFold(2))
    assert (found > 0.5).all()


ONE = {"rna": pd.DataFrame({"a": [1.0]})}
TWICE = {"rna": pd.DataFrame({"a": [1.0, 2.0]}, index=["x", "x"])}
FIELDS = [("e", bool), ("t", float)]


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (pd.DataFrame({"a": [1.0]}), np.zeros(1, dtype=FIELDS), "X: give a dict of tables"),
        (ONE, np.zeros(1), "y: give a structured array"),
        (ONE, np.zeros(2, dtype=FIELDS), "X has 1 patients"),
        (TWICE, np.zeros(2, dtype=FIELDS), "two rows have the same patient id"),
    ],
)
def test_other_shapes_are_refused(x: Any, y: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=said):
        prime.PrimeSurvival(epochs=1).fit(x, y)


# Figures ----------------------------------------------------------------------------------------------------


def test_survival_curves_are_those_of_the_table(model: prime.PrimeModel, cohort: prime.Cohort) -> None:
    shown = cohort.observed.index[cohort.observed["rna"]][:2].tolist()
    figure = model.survival_curves(cohort, shown, level=0.8)
    (panel,) = figure.panels
    months = grid_months(model.fitted)
    table = model.predict(cohort, months=months, level=0.8).patients.set_index("patient_id")
    assert [series.label.split(":")[0] for series in panel.series] == shown
    for name, series in zip(shown, panel.series, strict=True):
        for end, values in (("", series.y), ("_low", series.low), ("_high", series.high)):
            assert values is not None
            expected = [1.0, *(table.loc[name, f"survival_{m:g}m{end}"] for m in months)]
            np.testing.assert_allclose(values, [value for value in expected if not np.isnan(value)])
        np.testing.assert_allclose(series.x, [0, *(m / 12 for m in months)][: len(series.x)])
    given = figure._repr_mimebundle_()
    assert given["image/svg+xml"].startswith("<svg")
    assert shown[0] in given["image/svg+xml"]
    assert given["text/plain"] == "Figure survival"


def test_a_patient_is_drawn_as_the_command_draws(model: prime.PrimeModel, tmp_path: Path) -> None:
    clinical, modalities = tables(4, seed=3)
    few = prime.from_tables(
        tmp_path / "few", clinical, modalities, time=None, event=None, cancer_type="kind", covariates=["age"]
    )
    name = few.observed.index[few.observed.any(axis=1)][0]
    predict(model.folder, few.store, tmp_path / "p.csv", figures=tmp_path / "figures")
    drawn = model.patient_figure(few, name)._repr_mimebundle_()["image/svg+xml"]
    assert drawn == (tmp_path / "figures" / f"{name}.svg").read_text(encoding="utf-8")


def test_who_cannot_be_drawn_is_said(model: prime.PrimeModel, cohort: prime.Cohort) -> None:
    nothing = cohort.observed.index[~cohort.observed.any(axis=1)][0]
    with pytest.raises(InputError, match=f"patient '{nothing}' has no score: no modality"):
        model.survival_curves(cohort, [nothing])
    with pytest.raises(InputError, match=f"patient '{nothing}' has no score"):
        model.patient_figure(cohort, nothing)
    for draw in (lambda: model.survival_curves(cohort, ["x"]), lambda: model.patient_figure(cohort, "x")):
        with pytest.raises(InputError, match="patient 'x' is not in the cohort"):
            draw()
