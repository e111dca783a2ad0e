"""The methods that PRIME is compared with, by name: one file and one decorator a method.

`@neural(facts)` registers a network, `@classical(facts)` a statistical model; a class may be registered under
several names with different default settings. Importing `prime.baselines` fills the registry.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from prime.baselines.examples import Examples, Target
from prime.cohort.batch import Batch
from prime.cohort.config import Strict
from prime.cohort.vectors import PatientVectors
from prime.errors import InputError
from prime.model.config import InputSpec, ModelConfig
from prime.model.heads import Prediction

Floats = NDArray[np.float64]


class NoSettings(Strict):
    """A method without settings of its own."""


@dataclass(frozen=True)
class MethodFacts:
    """What a reader, a table and the training loop need to know of a method.

    Attributes:
        name: on the command line and in result files.
        title: in tables and figures.
        reference: authors, title, venue and year of the original.
        roles: the modalities that it reads, by role (`image`, `rna`, `report`), in order; None: all.
        missing: what it does with a patient who lacks one of them.
        departs: where our version departs from the original.
        settings: its settings with their defaults.
        beyond_paper: not among the fifteen methods of the paper.
        pretrains: it has a stage of its own without labels, on the training patients of the fold.
        covariates: it reads the covariates of the clinical table.
    """

    name: str
    title: str
    reference: str
    missing: str
    departs: str
    roles: tuple[str, ...] | None = None
    settings: Strict = field(default_factory=NoSettings)
    beyond_paper: bool = False
    pretrains: bool = False
    covariates: bool = False


class FusionNetwork(nn.Module, ABC):
    """A network of the comparison: it reads a batch of its own modalities and gives hazard logits.

    Every patient of a batch has at least one of `inputs.modalities`; what stands in masked places can be
    anything, NaN included, and must not reach the output. In eval mode a patient's output must not depend on
    the batch's other patients.
    """

    def __init__(self, inputs: InputSpec, config: ModelConfig, settings: Any, baseline: Tensor) -> None:
        """Build with random weights.

        Args:
            inputs: the modalities that the method reads, in the order of its roles, and their sources.
            config: width, queries, heads, blocks and dropout that all networks of the comparison share.
            settings: an instance of the class of `MethodFacts.settings`.
            baseline: (T,) hazard logits that the head starts from.
        """
        super().__init__()
        self.inputs, self.config, self.settings = inputs, config, settings

    @abstractmethod
    def forward(self, batch: Batch) -> Prediction:
        """Hazard logits (B, T) of a batch that holds exactly `inputs.modalities`."""

    def pretraining_loss(self, batch: Batch) -> Tensor:
        """The scalar loss of the stage without labels, for methods whose facts say `pretrains`."""
        raise NotImplementedError(f"{type(self).__name__} has no stage without labels")


class ClassicalModel(ABC):
    """A statistical model of one fixed vector a source and patient."""

    def __init__(self, settings: Any, seed: int) -> None:
        self.settings, self.seed = settings, seed

    @abstractmethod
    def fit(self, train: Examples, validation: Examples) -> None:
        """Fit on training patients; validation patients may choose settings, then serve training too."""

    @abstractmethod
    def survival(self, vectors: PatientVectors) -> Floats:
        """Survival at the end of each bin of the training target, (n, T); a binary task has one bin."""

    @property
    @abstractmethod
    def parameters(self) -> int:
        """Fitted numbers, for the table of costs."""


@dataclass(frozen=True)
class Method:
    """A registered method: facts and the class that does it."""

    facts: MethodFacts
    kind: Literal["neural", "classical"]
    build: Callable[..., Any]

    def modalities(self, available: dict[str, tuple[str, ...]], roles: dict[str, str]) -> tuple[str, ...]:
        """The cohort's modalities that play the method's roles.

        `available` maps modality to sources; `roles` renames roles for cohorts that call them otherwise.
        Raises InputError for a role that no modality plays.
        """
        if self.facts.roles is None:
            return tuple(available)
        names = tuple(roles.get(role, role) for role in self.facts.roles)
        for role, name in zip(self.facts.roles, names, strict=True):
            if name not in available:
                raise InputError(
                    f"method {self.facts.name}: the cohort has no modality {name!r} for the role {role!r};"
                    f" it has {', '.join(available)}; set baselines.roles, or leave the method out"
                )
        return names


METHODS: dict[str, Method] = {}
C = TypeVar("C")
N = TypeVar("N", bound=FusionNetwork)
S = TypeVar("S", bound=ClassicalModel)


def _register(facts: MethodFacts, kind: Literal["neural", "classical"], cls: type[C]) -> type[C]:
    if facts.name in METHODS:
        raise ValueError(f"method {facts.name!r} is registered twice")
    METHODS[facts.name] = Method(facts, kind, cls)
    return cls


def neural(facts: MethodFacts) -> Callable[[type[N]], type[N]]:
    """Register a `FusionNetwork` under `facts.name`."""
    return lambda cls: _register(facts, "neural", cls)


def classical(facts: MethodFacts) -> Callable[[type[S]], type[S]]:
    """Register a `ClassicalModel` under `facts.name`."""
    return lambda cls: _register(facts, "classical", cls)


def method(name: str) -> Method:
    """The method of a name. Raises InputError for an unknown one."""
    if name not in METHODS:
        raise InputError(f"no method {name!r}; there are {', '.join(METHODS)}")
    return METHODS[name]


__all__ = [
    "METHODS",
    "ClassicalModel",
    "Examples",
    "FusionNetwork",
    "Method",
    "MethodFacts",
    "NoSettings",
    "Target",
    "classical",
    "method",
    "neural",
]
