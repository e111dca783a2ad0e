"""Writing a patient's features as an HDF5 file that the `h5` reader of cohorts reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from prime.files import writing_h5


def write_token_file(
    path: Path,
    datasets: Mapping[str, NDArray[Any]],
    attributes: Mapping[str, str | int],
    packed: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Write the datasets, atomically; one is `features` (n, d), and the attributes belong to it.

    Those of `packed` are compressed.
    """
    with writing_h5(path) as file:
        for name, values in datasets.items():
            file.create_dataset(name, data=values)
        for name, values in (packed or {}).items():
            file.create_dataset(name, data=values, compression="gzip", shuffle=values.dtype.kind != "O")
        file["features"].attrs.update(attributes)
