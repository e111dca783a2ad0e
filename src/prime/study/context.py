"""What every study starts from: the store, the experiment, how large a grid, and where results are kept."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from prime.cohort.store import Store
from prime.evaluation.summary import PRIMARY
from prime.study.arms import Arm, Protocol, evaluation_of
from prime.study.figure import Figure
from prime.study.tables import Table
from prime.training.config import ExperimentConfig
from prime.training.evaluate import Evaluation

Preset = Literal["quick", "full"]
FULL_SEEDS = (0, 1, 2)
MODES = {"lp": "LP", "lp_missing": "LP+Missing", "ft": "FT", "ft_missing": "FT+Missing"}


def method_label(init: str, mode: str) -> str:
    """`Pretrained LP+Missing`, as the paper writes it."""
    return f"{init.capitalize()} {MODES[mode]}"


@dataclass(frozen=True)
class Context:
    """The given of a study.

    Attributes:
        store, config: the data and the experiment.
        preset: `full` repeats everything over seeds 0, 1, 2 (or those of evaluate.seeds, where it names
            several); `quick` takes the first seed and the smaller grid that each study states.
        reference: rows of others' results to print beside ours; columns method, task, cohort, pattern, mean.
        settings: of a sweep asked for by the user: key and values.
        protocol: whom the pretraining of every arm may see, see `prime.study.arms.Arm`.
    """

    store: Store
    config: ExperimentConfig
    preset: Preset = "full"
    reference: pd.DataFrame | None = None
    settings: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    protocol: Protocol = "transductive"

    @property
    def quick(self) -> bool:
        """Whether the grid is the small one."""
        return self.preset == "quick"

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of pretraining and of fits."""
        given = self.config.evaluate.seeds
        if self.quick:
            return given[:1]
        return given if len(given) > 1 else FULL_SEEDS

    def experiment(self, evaluate: dict[str, Any], **groups: dict[str, Any]) -> ExperimentConfig:
        """The experiment with changed settings of `evaluate`, and of `model` or `pretrain`.

        Where the experiment names several of `train_on` or `shares`, a table shows the first.
        """
        value = self.config.model_dump(mode="json")
        own = value["evaluate"]
        own |= {"seeds": list(self.seeds), "bootstrap": 0}
        own |= {"train_on": own["train_on"][:1], "shares": own["shares"][:1], **evaluate}
        for group, changes in groups.items():
            value[group] |= changes
        return ExperimentConfig.model_validate(value)

    def main_arms(self) -> list[Arm]:
        """PRIME in every way of training: the rows of Tables II to IV."""
        pretrained = {"inits": ["pretrained"], "modes": list(MODES)}
        scratch = {"inits": ["scratch"], "modes": ["lp", "ft"]}
        return [self.arm("PRIME", pretrained), self.arm("PRIME scratch", scratch)]

    def arm(self, name: str, evaluate: dict[str, Any], **groups: dict[str, Any]) -> Arm:
        """An arm under the protocol of the study; settings as of `experiment`."""
        return Arm(name, self.experiment(evaluate, **groups), self.protocol)

    def probe_arm(self, name: str = "PRIME", **changes: Any) -> Arm:
        """Pretrained LP and LP+Missing alone; `changes` as of `experiment`, `evaluate` included."""
        evaluate = {"inits": ["pretrained"], "modes": ["lp", "lp_missing"], **changes.pop("evaluate", {})}
        return self.arm(name, evaluate, **changes)


@dataclass(frozen=True)
class Output:
    """What a study makes."""

    tables: list[Table] = field(default_factory=list[Table])
    figures: list[Figure] = field(default_factory=list[Figure])
    notes: list[str] = field(default_factory=list[str])


class Results:
    """The finished arms of a study, as tables with a column `arm` and one `label`, the way of training."""

    def __init__(self, context: Context, arms: Sequence[Arm], cache: Path) -> None:
        self.context, self.arms, self.cache = context, arms, cache

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """One an arm."""
        return [evaluation_of(self.context.store, arm, self.cache) for arm in self.arms]

    def _joined(self, read: Callable[[Evaluation], pd.DataFrame]) -> pd.DataFrame:
        frames = [
            read(evaluation).assign(arm=arm.name, protocol=arm.protocol)
            for arm, evaluation in zip(self.arms, self.evaluations, strict=True)
            if evaluation.fits
        ]
        if not frames:
            return pd.DataFrame()
        joined = pd.concat(frames, ignore_index=True)
        labels = {key: method_label(*key) for key in set(zip(joined["init"], joined["mode"], strict=True))}
        pairs = zip(joined["init"], joined["mode"], strict=True)
        return joined.assign(label=[labels[key] for key in pairs])

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Every metric of every fold."""
        return self._joined(Evaluation.scores)

    @cached_property
    def primary(self) -> pd.DataFrame:
        """The paper's metric of each task, tested on everyone who has something left."""
        scores = self.scores
        return scores[scores["metric"].isin(PRIMARY) & (scores["test_on"] == "everyone")]

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Every prediction of every test patient."""
        return self._joined(Evaluation.predictions)

    @cached_property
    def costs(self) -> pd.DataFrame:
        """What each fit took."""
        return self._joined(Evaluation.costs)

    def not_fitted(self) -> dict[str, str]:
        """Folds with too few patients to train on, and why."""
        return {key: why for one in self.evaluations for key, why in one.not_fitted.items()}


@dataclass(frozen=True)
class Study:
    """One table or figure: its name on the command line, what it needs, and how it is made of the results."""

    name: str
    title: str
    arms: Callable[[Context], list[Arm]]
    build: Callable[[Context, Results], Output]
