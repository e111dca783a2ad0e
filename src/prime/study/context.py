"""What a study is made of, what it makes, and the results that it reads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import pandas as pd

from prime.catalogue.methods import METHODS
from prime.downstream.fit import PRIME
from prime.downstream.grid import Evaluation
from prime.errors import InputError
from prime.evaluation.reported import PRIMARY
from prime.render.figure import Figure
from prime.render.tables import Table
from prime.settings.experiment import ExperimentConfig, merge
from prime.store.store import Store
from prime.study.arms import Arm, ArmWork, Protocol

Preset = Literal["quick", "full"]
FULL_SEEDS = (0, 1, 2)
PRIME_ARM = "PRIME"
MODES = {
    "lp_shared": "LP shared",
    "lp_shared_annotated": "LP shared, annotated",
    "lp_shared_clinical": "LP shared + clinical",
    "lp": "LP",
    "lp_missing": "LP+Missing",
    "ft": "FT",
    "ft_missing": "FT+Missing",
    "ft_shared": "FT from LP shared",
}


def method_label(method: str, init: str, mode: str) -> str:
    """`Pretrained LP+Missing`, as the paper writes it, or the title of another method."""
    return f"{init.capitalize()} {MODES[mode]}" if method == PRIME else METHODS[method].title


@dataclass(frozen=True)
class Other:
    """Another experiment on the same patients, for example with one more modality; `name` in tables."""

    name: str
    store: Store
    config: ExperimentConfig


@dataclass(frozen=True)
class Context:
    """What a study is made of.

    Attributes:
        store, config: the data and the experiment.
        preset: `full` repeats everything over seeds 0, 1, 2 (or those of evaluate.seeds, where it names
            several); `quick` takes the first seed and the smaller grid that each study states.
        reference: rows of others' results to print beside ours; columns method, task, cohort, pattern, mean.
        settings: of a sweep asked for by the user: key and values.
        protocol: whom the pretraining of every arm may see, see `prime.study.arms.Arm`.
        also: other experiments whose PRIME stands beside this one's in the tables of methods.
    """

    store: Store
    config: ExperimentConfig
    preset: Preset = "full"
    reference: pd.DataFrame | None = None
    settings: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    protocol: Protocol = "inductive"
    also: tuple[Other, ...] = ()

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
        """The experiment with settings of `evaluate`, and of `model` or `pretrain`, changed: nested mappings.

        Where the experiment names several of `train_on` or `shares`, a table shows the first.
        """
        value = self.config.model_dump(mode="json")
        own = value["evaluate"]
        own |= {"seeds": list(self.seeds), "bootstrap": 0}
        own |= {"train_on": own["train_on"][:1], "shares": own["shares"][:1], "methods": [], **evaluate}
        return ExperimentConfig.model_validate(merge(value, groups))

    def main_arms(self) -> list[Arm]:
        """The rows of Tables II to IV: other methods, and PRIME in the ways of training asked for.

        They are those of `evaluate.methods`, `inits` and `modes`; experiments of `also` add the same ways on
        their own data. Raises InputError where all of that is nothing.
        """
        given = self.config.evaluate
        arms: list[Arm] = []
        if given.methods:
            arms.append(self.arm("methods", {"inits": [], "methods": list(given.methods)}))
        if given.inits and given.modes:
            arms += [self.arm(PRIME_ARM, {}), *(self._other_arm(other) for other in self.also)]
        if not arms:
            raise InputError("evaluate: no methods, and no inits or no modes; name what is to be compared")
        return arms

    def _other_arm(self, other: "Other") -> Arm:
        """PRIME of another experiment, with this one's tasks, cohorts, folds and ways of training."""
        same = {"tasks", "cohorts", "folds", "splits", "fold_count", "only_folds", "external", "bins"}
        shared = self.config.evaluate.model_dump(mode="json", include=same | {"inits", "modes"})
        theirs = replace(self, store=other.store, config=other.config)
        found = theirs.arm(f"{PRIME_ARM}, {other.name}", {**shared, "seeds": list(self.seeds)})
        return replace(found, suffix=f", {other.name}")

    def arm(self, name: str, evaluate: dict[str, Any], **groups: dict[str, Any]) -> Arm:
        """An arm under the protocol of the study; settings as of `experiment`."""
        return Arm(name, self.store, self.experiment(evaluate, **groups), self.protocol)

    def probe_arm(self, name: str = PRIME_ARM, **changes: Any) -> Arm:
        """Pretrained LP and LP+Missing alone; `changes` as of `experiment`, `evaluate` included."""
        evaluate = {"inits": ["pretrained"], "modes": ["lp", "lp_missing"], **changes.pop("evaluate", {})}
        return self.arm(name, evaluate, **changes)


@dataclass(frozen=True)
class Output:
    """What a study makes. Its files are called after tables and figures, so no two may share a name.

    Raises:
        ValueError: a name that comes twice.
    """

    tables: list[Table] = field(default_factory=list[Table])
    figures: list[Figure] = field(default_factory=list[Figure])
    notes: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        names = [*(table.name for table in self.tables), *(figure.name for figure in self.figures)]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two tables or figures of a study are called {sorted(twice)[0]!r}")


class Results:
    """The finished arms of a study, as tables with a column `arm` and one `label`, the way of training.

    With a `mode`, what was fitted in this mode alone.
    """

    def __init__(self, works: Sequence[ArmWork], mode: str | None = None) -> None:
        self.works, self.mode = works, mode
        self.arms = [work.arm for work in works]
        self.evaluations = [work.evaluation for work in works]

    def of_mode(self, mode: str) -> "Results":
        """The results of one mode."""
        return Results(self.works, mode)

    def _joined(self, read: Callable[[Evaluation], pd.DataFrame]) -> pd.DataFrame:
        frames: list[pd.DataFrame] = []
        for arm, evaluation in zip(self.arms, self.evaluations, strict=True):
            if not evaluation.fits:
                continue
            frame = read(evaluation)
            frame = frame if self.mode is None else frame[frame["mode"] == self.mode]
            ways = frame[["method", "init", "mode"]].drop_duplicates()
            labels = [method_label(*way) + arm.suffix for way in ways.itertuples(index=False, name=None)]
            frame = frame.merge(ways.assign(label=labels), how="left")
            frames.append(frame.assign(arm=arm.name, protocol=arm.protocol))
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Every metric of every fold."""
        return self._joined(Evaluation.scores)

    @cached_property
    def primary(self) -> pd.DataFrame:
        """The paper's metric of each task, tested on everyone who has something left."""
        scores = self.scores
        return scores[scores["metric"].isin(PRIMARY) & (scores["test_on"] == "everyone")]

    def predictions(self, task: str, pattern: str = "all", curves: bool = False) -> pd.DataFrame:
        """The predictions of a task under a pattern; with `curves`, their survival curves too.

        Read anew at each call and not kept: all tasks and patterns together can be more than memory holds.
        """
        return self._joined(lambda evaluation: evaluation.predictions(task, pattern, curves))

    @cached_property
    def costs(self) -> pd.DataFrame:
        """What each fit took."""
        return self._joined(Evaluation.costs)

    def not_fitted(self) -> dict[str, str]:
        """Folds with too few patients to train on, and why."""
        return {key: why for one in self.evaluations for key, why in one.plan.not_fitted.items()}


@dataclass(frozen=True)
class Study:
    """One table or figure: its name on the command line, what it needs, and how it is made of the results."""

    name: str
    title: str
    arms: Callable[[Context], list[Arm]]
    build: Callable[[Context, Results], Output]
