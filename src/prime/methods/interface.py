"""What a method of the comparison is: a network or a statistical model. `catalogue.methods` lists them."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn

from prime.arrays import Floats
from prime.methods.statistics.blocks import BlockEncoder, Blocks
from prime.methods.statistics.cohort_heads import FitHead
from prime.methods.statistics.design import Design
from prime.methods.statistics.examples import Examples, Population
from prime.model.heads import Prediction
from prime.settings.model import ModelConfig
from prime.settings.strict import Strict
from prime.store.batch import Batch
from prime.store.inputs import InputSpec
from prime.store.vectors import PatientVectors

FittedBlocks = tuple[dict[str, BlockEncoder], Blocks]


class NoSettings(Strict):
    """A method without settings of its own."""


class FusionNetwork(nn.Module, ABC):
    """A network of the comparison: it reads a batch of its own modalities and gives hazard logits.

    Every patient of a batch has at least one of `inputs.modalities`; what stands in masked places can be
    anything, NaN included, and must not reach the output. In eval mode a patient's output must not depend on
    the batch's other patients. `Settings` is the class of its settings.
    """

    Settings: ClassVar[type[Strict]] = NoSettings

    def __init__(self, inputs: InputSpec, config: ModelConfig, settings: Any, baseline: Tensor) -> None:
        """Build with random weights.

        Args:
            inputs: the modalities that the method reads, in the order of its roles, and their sources.
            config: width, queries, heads, blocks and dropout that all networks of the comparison share.
            settings: an instance of `Settings`.
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
    """A statistical model of one fixed vector a source and patient. `Settings`: the class of its settings."""

    Settings: ClassVar[type[Strict]] = NoSettings

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


class JointModel(ABC):
    """A statistical model whose label-free part reads every patient outside the fold's test sets.

    `Settings`: the class of its settings.
    """

    Settings: ClassVar[type[Strict]] = NoSettings

    def __init__(self, settings: Any, covariates: bool) -> None:
        """`covariates`: the clinical table's are features."""
        self.settings, self.covariates = settings, covariates

    @property
    @abstractmethod
    def encoding(self) -> dict[str, Any]:
        """The settings that `encode` depends on, as JSON."""

    @abstractmethod
    def encode(self, population: Population) -> FittedBlocks:
        """Encoders fitted without outcomes on the training patients, and everyone's blocks by them."""

    @property
    @abstractmethod
    def designing(self) -> dict[str, Any]:
        """The settings that `design` depends on beside those of `encode`, as JSON."""

    @abstractmethod
    def design(self, population: Population, fitted: FittedBlocks, seed: int) -> Design:
        """The features of everyone, fitted without outcomes on the training patients."""

    @abstractmethod
    def head(self, scale: Floats, binary: bool) -> FitHead:
        """How weights of features with these block scales (p,) are fitted."""

    @abstractmethod
    def endpoints(self, endpoint: str, binary: bool) -> dict[str, float]:
        """The endpoints whose time to event it learns beside the task on `endpoint`, and their weights."""
