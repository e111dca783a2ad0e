"""PRIME as an estimator of scikit-learn, for people who have tables and no files."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from prime.api.cohorts import EVENT, TIME, Cohort, from_tables
from prime.arrays import Flags, Floats
from prime.errors import InputError
from prime.evaluation.metrics import concordance
from prime.predict.asked import MONTH, Asked
from prime.predict.columns import month_name
from prime.predict.fit import fit as fit_model
from prime.predict.model_folder import FittedModel, load_model
from prime.predict.predict import score_patients
from prime.pretraining.loop import pretrain
from prime.settings.experiment import ExperimentConfig, merge

DAYS = {"days": 1.0, "weeks": 7.0, "months": MONTH, "years": 12 * MONTH}
Tables = Mapping[str, pd.DataFrame]
Given = Tables | pd.DataFrame | ArrayLike
SMALL: dict[str, Any] = {
    "model": {"dim": 64, "queries": 2, "blocks": 2, "experts": 4, "prototypes": 32},
    "pretrain": {"losses": {"retention": {"weight": 4.0, "components": 64, "of": ["tokens", "fused"]}}},
    "evaluate": {"probe": {"readout": {"stages": ["tokens"]}}},
}
FEWEST = 10  # patients that a network can be pretrained on


def side_by_side(tables: Tables) -> pd.DataFrame:
    """Tables of modalities, each by patient id, as one whose columns are (modality, feature).

    A patient who lacks a modality has NaN there. The table can be split by rows, as cross-validation does.
    """
    return pd.concat(dict(tables), axis=1)


def _apart(x: Given) -> tuple[pd.Index, dict[str, pd.DataFrame]]:
    """All patients, and of each modality those who have any number there."""
    whole = side_by_side(x) if isinstance(x, Mapping) else x
    if not isinstance(whole, pd.DataFrame) or whole.columns.nlevels != 2:
        raise InputError(
            "X: give a dict of tables by modality, or side_by_side of one; a plain table is one modality,"
            " which the parameter modality names"
        )
    names = list(dict.fromkeys(whole.columns.get_level_values(0)))
    tables = {str(name): whole[name] for name in names}
    return whole.index, {name: table[table.notna().any(axis=1)] for name, table in tables.items()}


def _outcome(y: ArrayLike) -> tuple[Floats, Flags]:
    """Times and events of a structured array with one bool and one number field, as scikit-survival's."""
    given = np.asarray(y)
    fields = given.dtype.names or ()
    events = [name for name in fields if given.dtype[name].kind == "b"]
    times = [name for name in fields if given.dtype[name].kind in "iuf"]
    if len(events) != 1 or len(times) != 1:
        raise InputError(
            "y: give a structured array with one field of bool (event) and one of numbers (time)"
        )
    return given[times[0]].astype(np.float64), given[events[0]].astype(bool)


class PrimeSurvival(BaseEstimator):
    """Pretraining and the shared head on tables of several modalities, any of which a patient may lack.

    Pretraining sees the patients of `fit` alone, so cross-validation is inductive. All is written to a folder
    that is removed at the end.

    Args:
        epochs: of pretraining.
        settings: of the experiment, nested, over a network of 64 dimensions.
        unit: of the times: days, weeks, months or years.
        seed: of everything.
        progress: whether progress is shown.
        modality: the name of the one modality that a plain array or table holds; None where X is a dict of
            tables, or `side_by_side` of one.

    Attributes:
        model_: the fitted model.
        n_features_in_: columns of X.
        feature_names_in_: their names, where a plain table has names of text.
        modalities_: its modalities.
        event_times_: (T,) the times at which survival functions are given, in `unit`.
    """

    def __init__(
        self, epochs: int = 30, settings: Mapping[str, Any] | None = None, unit: str = "days", seed: int = 0,
        progress: bool = False, modality: str | None = None,
    ) -> None:  # fmt: skip
        self.epochs, self.settings, self.unit, self.seed = epochs, settings, unit, seed
        self.progress, self.modality = progress, modality

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.required = True
        return tags

    def fit(self, X: Given, y: ArrayLike | None) -> "PrimeSurvival":
        """Pretrain and fit.

        Args:
            X: tables by modality, or `side_by_side` of them; with `modality` a plain array or table.
            y: (n,) structured, in the order of the rows of X.

        Raises InputError for other shapes, or too few patients or events, and ValueError as scikit-learn does
        for a plain array that is none of numbers.
        """
        if y is None:  # as a pipeline without an outcome passes it
            raise InputError("PrimeSurvival requires y to be passed, but the target y is None")
        ids, tables = self._tables(X, reset=True)
        time, event = _outcome(y)
        if len(time) != len(ids):
            raise InputError(f"X has {len(ids)} patients, y {len(time)}")
        own = merge(
            merge(SMALL, {"seed": self.seed, "pretrain": {"epochs": self.epochs}}), dict(self.settings or {})
        )
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            cohort = self._cohort(folder / "cohort", ids, tables, (time, event))
            if len(ids) < FEWEST:
                raise InputError(f"X has too few patients (n_samples={len(ids)}); give {FEWEST} or more")
            experiment = ExperimentConfig.model_validate(merge({"cohort": str(cohort.file)}, own))
            pretrain(cohort.store, experiment, folder / "run", progress=self.progress)
            fit_model(cohort.store, experiment, folder / "run", ("all",), folder / "model")
            self.model_: FittedModel = load_model(folder / "model")
        self.modalities_ = tuple(tables)
        self.event_times_ = np.unique(time[event])
        return self

    def predict(self, X: Given) -> Floats:
        """Risks (n,), higher is worse; that of the average patient, 0, for one of whom nothing is known."""
        table = self._scored(X, Asked())
        return np.nan_to_num(table["risk"].to_numpy(dtype=np.float64), nan=0.0)

    def predict_survival_function(self, X: Given) -> Floats:
        """Survival (n, T) at `event_times_`; NaN beyond the follow-up and of patients with nothing."""
        months = self.event_times_ * DAYS[self.unit] / MONTH
        names = [month_name(month) for month in months]
        asked = Asked(tuple(dict(zip(names, months.tolist(), strict=True)).values()))
        return self._scored(X, asked)[names].to_numpy(dtype=np.float64)

    def score(self, X: Given, y: ArrayLike) -> float:
        """Harrell's C."""
        return concordance(*_outcome(y), self.predict(X)).value

    def _tables(self, x: Given, reset: bool) -> tuple[pd.Index, dict[str, pd.DataFrame]]:
        """All patients, and the tables of modalities; `reset` keeps what the columns are."""
        if self.modality is None:
            whole = side_by_side(x) if isinstance(x, Mapping) else x
            ids, tables = _apart(whole)
            if reset:
                self.n_features_in_ = sum(table.shape[1] for table in tables.values())
            return ids, tables
        given = cast(Any, x)  # scikit-learn's types say text
        values = np.asarray(
            validate_data(self, given, reset=reset, dtype="numeric", ensure_all_finite="allow-nan")
        )
        ids = x.index if isinstance(x, pd.DataFrame) else pd.RangeIndex(len(values))
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(values.shape[1])])
        return _apart({self.modality: pd.DataFrame(values, index=ids, columns=list(names))})

    def _scored(self, x: Given, asked: Asked) -> pd.DataFrame:
        check_is_fitted(self, "model_")
        ids, tables = self._tables(x, reset=False)
        own = {name: table for name, table in tables.items() if len(table)}
        with tempfile.TemporaryDirectory() as name:
            cohort = self._cohort(Path(name), ids, own)
            table = score_patients(self.model_, cohort.store, torch.device("cpu"), asked).patients
        return table.set_index("patient_id").loc[[_name(i) for i in range(len(ids))]]

    def _cohort(
        self, folder: Path, ids: pd.Index, tables: Tables, outcome: tuple[Floats, Flags] | None = None
    ) -> Cohort:
        """The cohort of these tables; patients are called by their place, whatever the index says."""
        if ids.has_duplicates:
            raise InputError("X: two rows have the same patient id")
        places = pd.Index([_name(i) for i in range(len(ids))])
        renamed = {n: table.set_axis(places[ids.get_indexer(table.index)]) for n, table in tables.items()}
        if outcome is None:
            return from_tables(folder, pd.DataFrame(index=places), renamed, time=None, event=None)
        clinical = pd.DataFrame({TIME: outcome[0], EVENT: outcome[1].astype(int)}, index=places)
        return from_tables(folder, clinical, renamed, unit=self.unit)


def _name(place: int) -> str:
    return f"patient{place:07d}"
