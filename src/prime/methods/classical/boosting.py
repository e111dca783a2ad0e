"""Gradient boosted trees as a discrete-time hazard model on the sources' principal components.

In one picture:

    all mean vectors, joined, NaN where missing; one row a patient and time bin at risk
    -> gradient-boosted trees -> hazard of the bin -> risk
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from prime.arrays import Floats
from prime.methods.interface import ClassicalModel
from prime.methods.statistics.components import Components, fit_components
from prime.methods.statistics.examples import Examples, Target
from prime.objectives.survival import assign_bins
from prime.settings.strict import Strict
from prime.store.vectors import PatientVectors


class BoostingSettings(Strict):
    """Settings of gradient boosting; validation patients choose the learning rate and the number of trees."""

    components: int = Field(default=32, ge=1)
    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=(0.03, 0.1), min_length=1)
    trees: int = Field(default=150, ge=1)
    leaves: int = Field(default=6, ge=2)
    patients_per_leaf: int = Field(default=20, ge=1)
    l2: float = Field(default=1.0, ge=0)


@dataclass(frozen=True)
class Encoders:
    """Principal components of each source, side by side; NaN where a patient lacks the source."""

    components: dict[str, Components]

    def __call__(self, vectors: PatientVectors) -> Floats:
        """Features (n, p)."""
        blocks = [
            np.where(vectors.has(name)[:, None], encode(vectors.sources[name]), np.nan)
            for name, encode in self.components.items()
        ]
        return np.concatenate(blocks, axis=1)


def fit_encoders(vectors: PatientVectors, count: int) -> Encoders:
    """Fitted on the patients who have each source."""
    there = {name: values[vectors.has(name)] for name, values in vectors.sources.items()}
    return Encoders({name: fit_components(values, count) for name, values in there.items() if len(values)})


def person_periods(x: Floats, target: Target) -> tuple[Floats, NDArray[np.bool_]]:
    """One row a patient and bin at risk: features with the bin's number last (R, p + 1), event in it (R,)."""
    label = assign_bins(target.time_days, target.edges)
    patient = np.repeat(np.arange(len(label)), label + 1)
    bin_number = np.concatenate([np.arange(last + 1) for last in label])
    rows = np.column_stack([x[patient], bin_number])
    return rows, target.event[patient] & (bin_number == label[patient])


class Boosting(ClassicalModel):
    """Chosen on validation patients, then fitted again on everyone."""

    Settings = BoostingSettings

    settings: BoostingSettings

    def fit(self, train: Examples, validation: Examples) -> None:
        """Choose on the validation patients, then fit on both sets."""
        with threadpool_limits(1):  # sums in one order, however many threads there are
            rate, trees = self._choose(train, validation)
            self.encoders, self.trees = self._fit(train.join(validation), rate, trees)
        self.bins, self.count = len(train.target.edges) - 1, trees

    def survival(self, vectors: PatientVectors) -> Floats:
        """Survival at the end of each bin, (n, T)."""
        x = self.encoders(vectors)
        with threadpool_limits(1):
            outlived = [self.trees.predict_proba(_at_bin(x, number))[:, 0] for number in range(self.bins)]
        return np.cumprod(np.stack(outlived, axis=1), axis=1, dtype=np.float64)

    @property
    def parameters(self) -> int:
        """The values of all leaves, at most."""
        return self.count * self.settings.leaves

    def _fit(
        self, examples: Examples, rate: float, trees: int
    ) -> tuple[Encoders, HistGradientBoostingClassifier]:
        settings = self.settings
        encoders = fit_encoders(examples.vectors, settings.components)
        rows, died = person_periods(encoders(examples.vectors), examples.target)
        model = HistGradientBoostingClassifier(
            learning_rate=rate,
            max_iter=trees,
            max_leaf_nodes=settings.leaves,
            min_samples_leaf=settings.patients_per_leaf,
            l2_regularization=settings.l2,
            early_stopping=False,  # pyright: ignore[reportArgumentType]
            random_state=self.seed,
        )
        return encoders, model.fit(rows, died)

    def _choose(self, train: Examples, validation: Examples) -> tuple[float, int]:
        """Learning rate and number of trees with the highest validation likelihood."""
        best = (np.inf, 0.0, 0)
        for rate in self.settings.learning_rates:
            encoders, model = self._fit(train, rate, self.settings.trees)
            rows, died = person_periods(encoders(validation.vectors), validation.target)
            for number, chance in enumerate(model.staged_predict_proba(rows), start=1):
                loss = float(-np.log(chance[np.arange(len(died)), died.astype(int)]).sum())
                best = min(best, (loss, rate, number))
        return best[1:]


def _at_bin(x: Floats, number: int) -> Floats:
    return np.column_stack([x, np.full(len(x), float(number))])
