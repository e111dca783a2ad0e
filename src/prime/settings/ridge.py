"""Settings of ridge models over blocks: the classical methods, and the head that reads PRIME's tokens too."""

from typing import Annotated

from pydantic import Field

from prime.settings.strict import Strict

Positive = Annotated[float, Field(gt=0)]


class BlockRidgeSettings(Strict):
    """Settings of a ridge over blocks.

    Attributes:
        components: of each source's block; `sizes` says otherwise for single sources.
        spectrum_power: of a component's share of the first one's standard deviation that it keeps.
        scale: of each block; `scales` says otherwise for single ones, `covariates` and `annotations` among
            them. The weights of a block are penalised by penalty / scale ** 2.
        word_counts: the sources that are counts of words.
        distributions: sequence sources of which a patient's vector tells mean, spread and quantiles of rows.
        impute: fill missing blocks in with their conditional mean.
        annotations: covariates that the features predict, as further features; those that the cohort has.
        annotation_components: of each source, that they are read from; no fewer than the head reads.
        annotation_penalty: of that ridge, as `penalty` is: by annotation_penalty / scale ** 2.
        penalty, binary_penalty: against the summed log likelihood of time to event, of a label.
    """

    components: int = Field(default=32, ge=1)
    sizes: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    spectrum_power: float = Field(default=0.5, ge=0, le=1)
    scale: Positive = 0.3
    scales: dict[str, Positive] = Field(default_factory=dict)
    word_counts: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()
    impute: bool = False
    annotations: tuple[str, ...] = ()
    annotation_components: int = Field(default=300, ge=1)
    annotation_penalty: Positive = 15.0
    penalty: Positive = 40.0
    binary_penalty: Positive = 18.0


class SharedRidgeSettings(BlockRidgeSettings):
    """Settings of a ridge over cohorts.

    Attributes:
        shared_penalty, deviation_penalty: of the weights that cohorts share, and of each one's deviation.
        endpoints: endpoints that a time-to-event task on another one learns from as well, and their weights.
        time_weight: a binary task learns from the time to its event by this weight, and from that to other
            endpoints by this times theirs.
    """

    shared_penalty: Positive = 9.0
    deviation_penalty: Positive = 90.0
    endpoints: dict[str, Positive] = Field(default_factory=dict)
    time_weight: float = Field(default=0.2, ge=0)


class SharedProbeConfig(SharedRidgeSettings):
    """The head that cohorts share: PRIME's tokens as blocks of a ridge, beside the blocks of the sources.

    Attributes:
        annotations: that mode `lp_shared_annotated` predicts, and no other mode; those that the cohort has.
        read_sources: read the sources' own blocks as well as the tokens.
        token_components: of each block of the readout.
        token_scale: of these blocks.
    """

    impute: bool = True
    annotations: tuple[str, ...] = ("age", "stage", "grade")
    read_sources: bool = True
    token_components: int = Field(default=32, ge=1)
    token_scale: Positive = 0.1

    def of_mode(self, mode: str) -> "SharedProbeConfig":
        """The settings of one of the modes."""
        return self if mode == "lp_shared_annotated" else self.model_copy(update={"annotations": ()})
