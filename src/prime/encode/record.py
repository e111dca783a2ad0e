"""The record of an encoder that is stored with its features: name, weights, licence and training data."""

from dataclasses import asdict, dataclass

UNKNOWN = "unknown"


@dataclass(frozen=True)
class EncoderRecord:
    """The record, written into every output as HDF5 attributes, or as JSON beside a table.

    Attributes:
        encoder: its name.
        weights: their origin: the name of a file or folder, or a hub name, never a path.
        weights_sha256: over the names and contents of its files.
        licence: of the weights, by their model card or the user.
        trained_on: its training data, comma-separated (for example "TCGA"); `prime check` warns where they
            may include patients of the cohort.
    """

    encoder: str
    weights: str
    weights_sha256: str
    licence: str = UNKNOWN
    trained_on: str = UNKNOWN

    def attributes(self) -> dict[str, str]:
        """Names and texts as they are stored."""
        return asdict(self)
