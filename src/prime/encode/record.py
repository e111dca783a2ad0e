"""What made a feature file: the encoder's name, weights, licence and training data, kept with its output."""

from dataclasses import asdict, dataclass

UNKNOWN = "unknown"


@dataclass(frozen=True)
class EncoderRecord:
    """Written into every output, as HDF5 attributes or as JSON beside a table.

    Attributes:
        encoder: its name.
        weights: where they came from: a file's or folder's name, or a hub name; never a path of this machine.
        weights_sha256: over the names and contents of its files.
        licence: of the weights, as their model card or the user says.
        trained_on: the data it was trained on, comma-separated (for example "TCGA"); `prime check` warns
            where a cohort's patients may be among them.
    """

    encoder: str
    weights: str
    weights_sha256: str
    licence: str = UNKNOWN
    trained_on: str = UNKNOWN

    def attributes(self) -> dict[str, str]:
        """Name and text of each, as they are stored."""
        return asdict(self)
