"""`prime encode slides`: the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from prime.encode.slides.inputs import InputFile
    from prime.encode.slides.slide_stage import SlideJob
    from prime.encode.work import Failure, Piece
    from prime.machines import Machines

ABOUT = "encode whole-slide images: tissue tiles, their features, 128 centroids a patient"
COUNTS = ("slide", "mpp", "stated_by", "tiles", "too_bright", "too_low_entropy", "too_low_edges", "kept")
SHOWN = 20  # slides of which the counts are printed; those of all are in slides.csv


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `prime encode slides`."""
    add = parser.add_argument
    add("inputs", type=Path, nargs="+", metavar="SLIDES",
        help="slides, or folders of slides or DICOM files; or feature files (.h5, .pt) of TRIDENT, CLAM,"
        " STAMP or marugoto, or folders of them, which are only clustered")  # fmt: skip
    add("--out", type=Path, required=True, metavar="DIR", help="results; taken up again")
    add("--encoder", metavar="NAME", help="a folder with config.json, preprocessor_config.json and"
        " *.safetensors, a name on the model hub, or colour (no weights; to try it out)")  # fmt: skip
    add("--pooling", choices=("cls", "mean"), help="of a ViT's tokens (cls where there is such a token)")
    add("--licence", metavar="TEXT", help="of the weights, for the record (that of the model card)")
    add("--trained-on", metavar="TEXT", help="data the encoder was trained on, for the record, e.g. TCGA")
    add("--tile-um", type=_above_zero(float), default=256.0, metavar="UM", help="a tile's side in um (256)")
    add("--tile-px", type=_above_zero(int), metavar="N", help="a tile's side in pixels (the encoder's own)")
    add("--mpp", type=_above_zero(float), metavar="X",
        help="um per pixel of slides whose metadata state none")  # fmt: skip
    add("--entropy", type=_or_off, default=5.0, metavar="BITS", help="least entropy of a tile, or off (5.0)")
    add("--brightness", type=_or_off, default=240.0, metavar="GREY",
        help="a tile's mean grey value must lie below, or off (240)")  # fmt: skip
    add("--canny", type=_or_off, default=None, metavar="SHARE",
        help="least share of edge pixels of a tile, e.g. 0.02 (off)")  # fmt: skip
    add("--clusters", type=_above_zero(int), default=128, metavar="K", help="centroids (128)")
    add("--scope", choices=("patient", "slide"), default="patient",
        help="cluster a patient's slides together, or each slide (patient)")  # fmt: skip
    add("--pad", action="store_true", help="zero rows up to K and a mask in the centroid files")
    add("--seed", type=int, default=42, metavar="S", help="of the k-means (42)")
    add("--slide-table", type=Path, metavar="TABLE", help="PATIENT,FILENAME or case_id,slide_id")
    add("--patient-from", metavar="REGEX", help="finds the patient in a file's name (a TCGA barcode, else"
        " the text before the first dot)")  # fmt: skip
    add("--precision", choices=("float32", "bfloat16"), default="float32", help="of the encoder (float32)")
    add("--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1, ... (a GPU if there is one)")
    add("--batch-size", type=_above_zero(int), default=64, metavar="N", help="tiles encoded at once (64)")
    add("--workers", type=_above_zero(int), default=1, metavar="N", help="reading processes a slide (1)")
    add("--jobs", type=_above_zero(int), metavar="N", help="slides at once (1; on a cluster all processors)")
    add("--threads", type=_above_zero(int), default=1, metavar="N", help="encoder's threads a slide (1)")
    add("--cluster", choices=("ray",), help="run the slides on a Ray cluster")


def run(arguments: argparse.Namespace) -> int:
    """Encode and cluster. Returns 1 where any slide or patient failed, else 0.

    Raises InputError for arguments and inputs with which nothing can start.
    """
    from rich.console import Console

    _need_openslide()
    from prime.encode.slides.inputs import by_patient, find_inputs
    from prime.encode.work import report
    from prime.machines import Machines

    console = Console()
    machines = Machines(arguments.jobs, arguments.threads, arguments.cluster)
    found, are_features = find_inputs(arguments.inputs, arguments.out)
    patients = by_patient(found, arguments.slide_table, arguments.patient_from)
    status = 0
    features = {item.name: item.path for item in found}
    if not are_features:
        wanted = [item for items in patients.values() for item in items]
        status, features = _encode(arguments, wanted, machines, console)
    of_name = _groups(arguments.scope, patients, features, console)
    failures, pieces, folder = _cluster(arguments, of_name, machines, console)
    return max(status, report(failures, len(pieces), folder, console))


def _need_openslide() -> None:
    from prime.errors import InputError

    try:
        import openslide  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise InputError("encoding slides needs OpenSlide: pip install 'prime-prognosis[encode]'") from None


def _encode(
    arguments: argparse.Namespace, found: list[InputFile], machines: Machines, console: Console
) -> tuple[int, dict[str, Path]]:
    """The first stage. Returns the exit status and the feature file of each slide that has one."""
    from functools import partial

    from prime.encode.slides.slide_stage import encode_slide, slide_pieces
    from prime.encode.work import report, run_pieces

    job = _slide_job(arguments)
    folder = arguments.out / "features"
    pieces = slide_pieces(found, arguments.out, job.mpp)
    failures = run_pieces(
        pieces,
        partial(encode_slide, job),
        folder,
        job.settings.described(),
        machines,
        "encoding slides",
    )
    failed = {failure.name for failure in failures}
    done = [piece for piece in pieces if piece.name not in failed]
    _write_counts(done, arguments.out, console)
    return report(failures, len(pieces), folder, console), {piece.name: piece.outputs[0] for piece in done}


def _slide_job(arguments: argparse.Namespace) -> SlideJob:
    from prime.encode.slides.encoders import find_encoder
    from prime.encode.slides.encoders.interface import EncoderChoice
    from prime.encode.slides.filters import TissueTests
    from prime.encode.slides.slide_stage import SlideJob, SlideSettings, check_encoder
    from prime.errors import InputError

    if arguments.encoder is None:
        raise InputError("--encoder: name one to encode slides; colour needs no weights")
    tests = TissueTests(arguments.entropy, arguments.brightness, arguments.canny)
    choice = EncoderChoice(arguments.encoder, arguments.licence, arguments.trained_on, arguments.tile_px)
    settings = SlideSettings(
        find_encoder(choice), arguments.pooling, arguments.precision, arguments.tile_um, tests
    )
    job = SlideJob(
        settings, arguments.mpp, arguments.device, arguments.batch_size, arguments.workers, arguments.threads
    )
    check_encoder(job)
    return job


def _write_counts(done: list[Piece], out: Path, console: Console) -> None:
    """`slides.csv`: the resolution and the counts of tiles of each slide; printed where they are few."""
    import pandas as pd

    from prime.encode.work import facts_of
    from prime.files import replacing

    rows: list[dict[str, Any]] = [
        dict.fromkeys(COUNTS, 0) | {"slide": piece.name} | facts_of(piece, out / "features") for piece in done
    ]
    with replacing(out / "slides.csv") as temporary:
        pd.DataFrame(rows, columns=list(COUNTS)).to_csv(temporary, index=False)
    for row in rows if len(rows) <= SHOWN else []:
        console.print(
            "{slide}: {kept} of {tiles} tiles kept ({too_bright} too bright, {too_low_entropy} of too low"
            " entropy, {too_low_edges} with too few edges); {mpp:g} um a pixel ({stated_by})".format(**row),
            highlight=False, markup=False,
        )  # fmt: skip


def _groups(
    scope: str, patients: dict[str, list[InputFile]], features: dict[str, Path], console: Console
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
    arguments: argparse.Namespace, of_name: dict[str, list[Path]], machines: Machines, console: Console
) -> tuple[list[Failure], list[Piece], Path]:
    """The second stage: failures, pieces, and the folder that they are in."""
    from functools import partial

    from prime.encode.slides.centroid_stage import CentroidSettings, centroid_pieces, make_centroids
    from prime.encode.work import run_pieces

    settings = CentroidSettings(arguments.clusters, arguments.seed, arguments.scope, arguments.pad)
    folder: Path = arguments.out / f"centroids_{arguments.scope}"
    pieces = centroid_pieces(of_name, folder)
    do = partial(make_centroids, settings)
    failures = run_pieces(pieces, do, folder, settings.described(), machines, "clustering")
    strangers = sorted(path.name for path in folder.glob("*.h5") if path.stem not in of_name)
    if strangers:
        console.print(
            f"{folder}: {len(strangers)} files of earlier runs belong to none of these inputs, first"
            f" {strangers[0]}; remove what should not be read", highlight=False, markup=False,
        )  # fmt: skip
    return failures, pieces, folder


def _above_zero(kind: Callable[[str], float]) -> Callable[[str], float]:
    """An argument type: a finite number above 0."""

    def convert(text: str) -> float:
        number = kind(text)
        if not 0 < number < float("inf"):
            raise ValueError
        return number

    convert.__name__ = "whole number from 1" if kind is int else "number above 0"
    return convert


def _or_off(text: str) -> float | None:
    """An argument type: a number, or `off`."""
    return None if text == "off" else float(text)


_or_off.__name__ = "number, or off"
