"""`prime encode slides`: the command line."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from prime.arguments import Above, Bound, Count, Folder, Licence, PatientFrom, TrainedOn, Whole, about
from prime.errors import InputError
from prime.job_pool import JobPool

if TYPE_CHECKING:
    from rich.console import Console

    from prime.encode.slides.inputs import InputFile
    from prime.encode.slides.slide_stage import SlideJob
    from prime.encode.work import Failure, Piece

COUNTS = ("slide", "mpp", "stated_by", "tiles", "too_bright", "too_low_entropy", "too_low_edges", "kept")
SHOWN = 20  # slides of which the counts are printed; those of all are in slides.csv


@Parameter("*")
@dataclass(frozen=True)
class TileOptions:
    """How slides become tiles."""

    tile_um: Annotated[Above, about("A tile's side in um.", "UM")] = 256.0
    tile_px: Annotated[Count | None, about("A tile's side in pixels (the encoder's own).")] = None
    mpp: Annotated[Above | None, about("um per pixel of slides whose metadata state none.")] = None
    entropy: Annotated[Bound, about("Least entropy of a tile in bits, or off.")] = 5.0
    brightness: Annotated[Bound, about("A tile's mean grey value lies below, or off.")] = 240.0
    canny: Annotated[Bound, about("Least share of edge pixels, such as 0.02 (off).")] = None


@Parameter("*")
@dataclass(frozen=True)
class EncoderOptions:
    """How tiles become features."""

    encoder: Annotated[
        str | None,
        about(
            "Name on the model hub, colour (no weights, to try it out), or folder with config.json,"
            " preprocessor_config.json and *.safetensors.",
            "NAME",
        ),
    ] = None
    pooling: Annotated[
        Literal["cls", "mean"] | None, about("Of a ViT's tokens (cls where there is such a token).")
    ] = None
    licence: Licence = None
    trained_on: TrainedOn = None
    precision: Annotated[Literal["float32", "bfloat16"], about("Of the encoder.")] = "float32"
    device: Annotated[str, about("cpu, cuda, cuda:1, ... (a GPU if there is one).", "NAME")] = "auto"
    batch_size: Annotated[Count, about("Tiles encoded at once.")] = 64
    workers: Annotated[Count, about("Reading processes per slide.")] = 1


@Parameter("*")
@dataclass(frozen=True)
class ClusterOptions:
    """How features become centroids."""

    clusters: Annotated[Count, about("Centroids.", "K")] = 128
    scope: Annotated[
        Literal["patient", "slide"], about("Cluster a patient's slides together, or each slide.")
    ] = "patient"
    pad: Annotated[bool, about("Zero rows up to K and a mask in the centroid files.")] = False
    seed: Annotated[Whole, about("Of the k-means.")] = 42


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
    out: Annotated[Folder, about("Results; taken up again.")],
    slide_table: Annotated[Path | None, about("PATIENT,FILENAME or case_id,slide_id.", "TABLE")] = None,
    patient_from: PatientFrom = None,
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
    from prime.encode.slides.inputs import by_patient, find_inputs
    from prime.encode.work import report

    console = Console()
    found, are_features = find_inputs(inputs, out)
    patients = by_patient(found, slide_table, patient_from)
    status = 0
    features = {item.name: item.path for item in found}
    if not are_features:
        job = _slide_job(tiles, encoding, pool.threads)
        wanted = [item for items in patients.values() for item in items]
        status, features = _encode(job, wanted, out, pool, console)
    of_name = _groups(clustering.scope, patients, features, console)
    failures, pieces, folder = _cluster(clustering, of_name, out, pool, console)
    return max(status, report(failures, len(pieces), folder, console))


def _need_openslide() -> None:
    try:
        import openslide  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise InputError("encoding slides needs OpenSlide: pip install 'prime-prognosis[encode]'") from None


def _encode(
    job: "SlideJob", found: "list[InputFile]", out: Path, pool: JobPool, console: "Console"
) -> tuple[int, dict[str, Path]]:
    """The first stage. Returns the exit status and the feature file of each slide that has one."""
    from functools import partial

    from prime.encode.slides.slide_stage import encode_slide, slide_pieces
    from prime.encode.work import report, run_pieces

    folder = out / "features"
    pieces = slide_pieces(found, out, job.mpp)
    do = partial(encode_slide, job)
    done, failures = run_pieces(pieces, do, folder, job.settings.as_json(), pool, "encoding slides")
    _write_counts(done, out, console)
    return report(failures, len(pieces), folder, console), {piece.name: piece.outputs[0] for piece in done}


def _slide_job(tiles: TileOptions, encoding: EncoderOptions, threads: int) -> "SlideJob":
    from prime.encode.slides.encoders import find_encoder
    from prime.encode.slides.encoders.interface import EncoderChoice
    from prime.encode.slides.filters import TissueTests
    from prime.encode.slides.slide_stage import SlideJob, SlideSettings, check_encoder

    name = encoding.encoder
    if name is None:
        raise InputError("--encoder: name one to encode slides; colour needs no weights")
    tests = TissueTests(tiles.entropy, tiles.brightness, tiles.canny)
    found = find_encoder(EncoderChoice(name, encoding.licence, encoding.trained_on, tiles.tile_px))
    settings = SlideSettings(found, encoding.pooling, encoding.precision, tiles.tile_um, tests)
    job = SlideJob(settings, tiles.mpp, encoding.device, encoding.batch_size, encoding.workers, threads)
    check_encoder(job)
    return job


def _write_counts(done: "list[Piece]", out: Path, console: "Console") -> None:
    """`slides.csv`: the resolution and the counts of tiles of each slide; printed where they are few."""
    import pandas as pd

    from prime.encode.work import facts_of
    from prime.files import write_csv

    rows: list[dict[str, Any]] = [
        dict.fromkeys(COUNTS, 0) | {"slide": piece.name} | facts_of(piece, out / "features") for piece in done
    ]
    write_csv(out / "slides.csv", pd.DataFrame(rows, columns=list(COUNTS)))
    for row in rows if len(rows) <= SHOWN else []:
        console.print(
            "{slide}: {kept} of {tiles} tiles kept ({too_bright} too bright, {too_low_entropy} of too low"
            " entropy, {too_low_edges} with too few edges); {mpp:g} um per pixel ({stated_by})".format(**row),
            highlight=False, markup=False,
        )  # fmt: skip


def _groups(
    scope: str, patients: "dict[str, list[InputFile]]", features: dict[str, Path], console: "Console"
) -> dict[str, list[Path]]:
    """The feature files to be clustered together, under the name of their patient or slide."""
    groups: dict[str, list[Path]] = {}
    for patient, items in patients.items():
        there = [item.name for item in items if item.name in features]
        if scope == "slide":
            groups |= {name: [features[name]] for name in there}
            continue
        if there:
            groups[patient] = [features[name] for name in there]
        if 0 < len(there) < len(items):
            absent = ", ".join(item.name for item in items if item.name not in features)
            console.print(f"{patient}: made without {absent}, which failed", highlight=False, markup=False)
    return groups


def _cluster(
    options: ClusterOptions,
    of_name: dict[str, list[Path]],
    out: Path,
    pool: JobPool,
    console: "Console",
) -> "tuple[list[Failure], list[Piece], Path]":
    """The second stage: failures, pieces, and the folder that they are in."""
    from functools import partial

    from prime.encode.slides.centroid_stage import CentroidSettings, centroid_pieces, make_centroids
    from prime.encode.work import run_pieces

    settings = CentroidSettings(options.clusters, options.seed, options.scope, options.pad)
    folder: Path = out / f"centroids_{options.scope}"
    pieces = centroid_pieces(of_name, folder)
    do = partial(make_centroids, settings)
    _, failures = run_pieces(pieces, do, folder, settings.as_json(), pool, "clustering")
    strangers = sorted(path.name for path in folder.glob("*.h5") if path.stem not in of_name)
    if strangers:
        console.print(
            f"{folder}: {len(strangers)} files of earlier runs belong to none of these inputs, first"
            f" {strangers[0]}; remove what should not be read", highlight=False, markup=False,
        )  # fmt: skip
    return failures, pieces, folder
