"""From slides to centroids: every slide's tiles are encoded, then each patient's or slide's are clustered."""

from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from prime.cohort.tissue import of_tumour
from prime.encode.slides.centroid_stage import centroid_pieces, centroid_settings, make_centroids
from prime.encode.slides.encoders import find_encoder
from prime.encode.slides.encoders.interface import EncoderChoice
from prime.encode.slides.feature_files import WHERE
from prime.encode.slides.filters import TissueTests
from prime.encode.slides.inputs import InputFile, SlideInputs, by_patient, find_inputs
from prime.encode.slides.options import ClusterOptions, EncoderOptions, TileOptions
from prime.encode.slides.slide_stage import SlideJob, SlideSettings, check_encoder, encode_slide, slide_pieces
from prime.encode.work import Piece, facts_of, report, run_pieces, say
from prime.errors import InputError
from prime.files import write_csv
from prime.job_pool import JobPool

FEATURES = "features"
COUNTS = ("slide", "mpp", "stated_by", "tiles", "too_bright", "too_low_entropy", "too_low_edges", "kept")
SHOWN = 20  # counts are printed of so many slides at most; slides.csv has those of all


def encode_slides(
    inputs: SlideInputs,
    out: Path,
    tiles: TileOptions,
    encoding: EncoderOptions,
    clustering: ClusterOptions,
    pool: JobPool,
    console: Console,
) -> int:
    """Encode slides and cluster their tiles; feature files are only clustered. What is done is skipped.

    Returns the exit status, 1 where a slide or patient failed. Raises InputError for what concerns all
    slides: inputs, encoder, patients.
    """
    found, are_features = find_inputs(inputs.named, out)
    every = by_patient(found, inputs.slide_table, inputs.patient_from)
    patients, counts = of_tumour(every, attrgetter("name"), inputs.tissue, WHERE)
    for line in counts:
        say(console, line)
    status = 0
    features = {item.name: item.path for item in found}
    if not are_features:
        wanted = [item for items in patients.values() for item in items]
        status, features = _encode(slide_job(tiles, encoding, pool.threads), wanted, out, pool, console)
    groups = _groups(clustering.scope, patients, features, console)
    return max(status, _cluster(clustering, groups, out, pool, console))


def slide_job(tiles: TileOptions, encoding: EncoderOptions, threads: int) -> SlideJob:
    """The job that the options describe. Raises InputError where its encoder cannot be loaded."""
    if encoding.encoder is None:
        raise InputError("--encoder: name one to encode slides; colour needs no weights")
    tests = TissueTests(tiles.entropy, tiles.brightness, tiles.canny)
    choice = EncoderChoice(encoding.encoder, encoding.licence, encoding.trained_on, tiles.tile_px)
    settings = SlideSettings(find_encoder(choice), encoding.pooling, encoding.precision, tiles.tile_um, tests)
    job = SlideJob(settings, tiles.mpp, encoding.device, encoding.batch_size, encoding.workers, threads)
    check_encoder(job)
    return job


def _encode(
    job: SlideJob, found: list[InputFile], out: Path, pool: JobPool, console: Console
) -> tuple[int, dict[str, Path]]:
    """The first stage. Returns the exit status, and the feature file of each slide that has one."""
    folder = out / FEATURES
    pieces = slide_pieces(found, out, job.mpp)
    do = partial(encode_slide, job)
    done, failures = run_pieces(pieces, do, folder, job.settings.as_json(), pool, "encoding slides")
    _write_counts(done, out, console)
    return report(failures, len(pieces), folder, console), {piece.name: piece.outputs[0] for piece in done}


def _write_counts(done: list[Piece], out: Path, console: Console) -> None:
    """Write `slides.csv`, the resolution and the counts of tiles of each slide; print it if it is short."""
    rows: list[dict[str, Any]] = [
        dict.fromkeys(COUNTS, 0) | {"slide": piece.name} | facts_of(piece, out / FEATURES) for piece in done
    ]
    write_csv(out / "slides.csv", pd.DataFrame(rows, columns=list(COUNTS)))
    line = (
        "{slide}: {kept} of {tiles} tiles kept ({too_bright} too bright, {too_low_entropy} of too low"
        " entropy, {too_low_edges} with too few edges); {mpp:g} um per pixel ({stated_by})"
    )
    for row in rows if len(rows) <= SHOWN else []:
        say(console, line.format(**row))


def _groups(
    scope: str, patients: dict[str, list[InputFile]], features: dict[str, Path], console: Console
) -> dict[str, list[Path]]:
    """The feature files that are clustered together, by the name of their patient or slide."""
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
            say(console, f"{patient}: made without {absent}, which failed")
    return groups


def _cluster(
    options: ClusterOptions, groups: dict[str, list[Path]], out: Path, pool: JobPool, console: Console
) -> int:
    """The second stage. Returns the exit status."""
    folder = out / f"centroids_{options.scope}"
    pieces = centroid_pieces(groups, folder)
    do = partial(make_centroids, options)
    _, failures = run_pieces(pieces, do, folder, centroid_settings(options), pool, "clustering")
    strangers = sorted(path.name for path in folder.glob("*.h5") if path.stem not in groups)
    if strangers:
        say(
            console,
            f"{folder}: {len(strangers)} files of earlier runs belong to none of these inputs, first"
            f" {strangers[0]}; remove what should not be read",
        )
    return report(failures, len(pieces), folder, console)
