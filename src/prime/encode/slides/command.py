"""`prime encode slides`: the command line."""

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from prime.arguments import Folder, PatientFrom, about
from prime.encode.slides.options import ClusterOptions, EncoderOptions, TileOptions
from prime.encode.tissue_options import TissueOptions
from prime.errors import InputError
from prime.job_pool import JobPool


def slides(
    inputs: Annotated[
        list[Path],
        about(
            "Slides, DICOM files, or folders of them; or feature files (.h5, .pt) of TRIDENT, CLAM, STAMP or"
            " marugoto, which are only clustered."
        ),
    ],
    /,
    *,
    out: Annotated[Folder, about("Folder of the results; finished slides are kept.")],
    slide_table: Annotated[
        Path | None, about("Patient of each slide: PATIENT,FILENAME or case_id,slide_id.", "TABLE")
    ] = None,
    patient_from: PatientFrom = None,
    tissue: TissueOptions = TissueOptions(),
    tiles: Annotated[TileOptions, Parameter(group=Group("Tiles", sort_key=1))] = TileOptions(),
    encoding: Annotated[EncoderOptions, Parameter(group=Group("Encoding", sort_key=2))] = EncoderOptions(),
    clustering: Annotated[
        ClusterOptions, Parameter(group=Group("Clustering", sort_key=3))
    ] = ClusterOptions(),
    pool: JobPool = JobPool(),
) -> int:
    """Encode whole-slide images: tissue tiles, their features, 128 centroids per patient."""
    from rich.console import Console

    _need_openslide()
    from prime.encode.slides.inputs import SlideInputs
    from prime.encode.slides.pipeline import encode_slides

    found = SlideInputs(inputs, slide_table, patient_from, tissue.rule())
    return encode_slides(found, out, tiles, encoding, clustering, pool, Console())


def _need_openslide() -> None:
    try:
        import openslide  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise InputError("encoding slides needs OpenSlide: pip install 'prime-prognosis[encode]'") from None
