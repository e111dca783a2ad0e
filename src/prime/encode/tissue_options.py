"""Which samples of a patient an encoder takes: its options, for `prime.cohort.tissue`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from prime.arguments import Words, about
from prime.errors import InputError

if TYPE_CHECKING:
    from prime.cohort.tissue import TissueRule


@Parameter("*")
@dataclass(frozen=True)
class TissueOptions:
    """Which samples are taken, by the TCGA barcodes in names."""

    samples: Annotated[
        Words, about("Sample types of TCGA barcodes, the best first, or all (01 03 06).", "TYPE")
    ] = ()
    frozen: Annotated[bool, about("Take frozen sections (TS, MS, BS) too.")] = False

    def rule(self) -> "TissueRule":
        """The rule that these options make. Raises InputError for a type that is none."""
        from prime.cohort.tissue import PREFERRED, TissueRule, sample_types

        try:
            return TissueRule(sample_types(self.samples or PREFERRED), self.frozen)
        except ValueError as error:
            raise InputError(f"--samples: {error}") from None
