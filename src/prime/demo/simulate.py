"""A small simulated cohort with a known truth, in the file formats that users have.

The parameters in `simulated_world.py` are fixed, and the seed draws the patients. Two cohorts with different
seeds are different patients, with different ids, of the same distribution: a model fitted on one can be
tested on the other.
"""

import shutil
from pathlib import Path

import h5py  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from prime.demo.simulated_world import (
    CENSOR_DAYS,
    FACTORS,
    GENES,
    HAZARD,
    MAX_PATIENTS,
    MEDIAN_DAYS,
    MODALITIES,
    PRESENT,
    SITES,
    STATS_DIM,
    STATS_SITES,
    TILE_SITES,
    VISIBLE,
    WEIBULL_SHAPE,
    WORLD_SEED,
    Patients,
    World,
    draw_clinical,
    draw_genes,
    draw_patients,
    draw_stats,
    draw_tiles,
    make_world,
    write_report,
)
from prime.errors import InputError
from prime.files import replacing, write_csv, write_json, write_text
from prime.parsing import read_json
from prime.progress import tracked

MADE_BY = "prime simulate"
VERSION = 1
MIN_PATIENTS = 30


def write_slide(path: Path, tiles: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Write a file as TRIDENT does: `features` with encoder, `coords` at level 0 with the patch size."""
    grid = rng.choice(4096, len(tiles), replace=False)
    coords = np.stack([grid % 64, grid // 64], axis=1).astype(np.int64) * 512
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        features = file.create_dataset("features", data=tiles)
        features.attrs["encoder"] = "simulated"
        where = file.create_dataset("coords", data=coords)
        facts = {
            "patch_size": 256, "patch_size_level0": 512, "level0_magnification": 40,
            "target_magnification": 20, "overlap": 0, "name": path.stem,
            "level0_width": 32768, "level0_height": 32768,
        }  # fmt: skip
        for name, value in facts.items():
            where.attrs[name] = value


def _csv(path: Path, table: pd.DataFrame) -> None:
    write_csv(path, table, float_format="%.6g", lineterminator="\n")


def _claim(out: Path, truth: dict[str, object]) -> None:
    """Prepare `out`: refuse a folder with other files, remove an earlier cohort of ours, write truth.json."""
    mark = out / "truth.json"
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; name a folder for the simulated cohort")
    if out.is_dir() and any(out.iterdir()):
        found = read_json(mark) if mark.is_file() else None
        if not isinstance(found, dict) or found.get("made_by") != MADE_BY:  # pyright: ignore[reportUnknownMemberType]
            raise InputError(
                f"{out}: the folder holds files that prime simulate did not make; name a new or empty folder"
            )
        (out / "cohort.yaml").unlink(missing_ok=True)
        shutil.rmtree(out / "slides", ignore_errors=True)
    write_json(mark, truth)


def _cohort_yaml(encoder: str) -> str:
    def endpoint(name: str) -> dict[str, object]:
        return {
            "time": f"{name}_days", "event": f"{name}_event",
            "event_values": [1], "censored_values": [0], "unit": "days",
        }  # fmt: skip

    clinical = {
        "format": "table", "path": "clinical.csv", "patient_id": "patient_id",
        "cohort": "cancer_type", "site": "site",
        "endpoints": {name: endpoint(name) for name in ("os", "pfi")},
        "exclude": [{"column": "status", "values": ["redacted"], "reason": "redacted"}],
    }  # fmt: skip
    modalities = {
        "image": {
            "tiles": {"reader": "h5", "path": "slides", "patient_from": r"^(SIM-\d+)", "max_tokens": 48},
            "slide_stats": {"reader": "vector", "path": "slide_stats.csv", "group_size": 8},
        },
        "rna": {"genes": {"reader": "vector", "path": "rna.parquet", "group_size": 20}},
        "report": {
            "reports": {"reader": "report", "path": "reports.csv", "encoder": encoder, "max_tokens": 128}
        },
    }
    value = {"name": "simulated", "root": ".", "clinical": clinical, "modalities": modalities}
    return "# Written by prime simulate; truth.csv and truth.json hold what is true.\n" + yaml.safe_dump(
        value, sort_keys=False
    )


def _write_slides(out: Path, world: World, patients: Patients, seed: int) -> None:
    here = np.flatnonzero(patients.present[:, 0] & np.isin(np.array(SITES)[patients.site_index], TILE_SITES))
    for index in tracked(here.tolist(), "slides"):
        rng = np.random.default_rng([seed, 2, index])
        tiles = draw_tiles(world, patients.factors[index], rng)
        write_slide(out / "slides" / f"{patients.ids[index]}.h5", tiles, rng)


def _write_tables(out: Path, world: World, patients: Patients, seed: int) -> None:
    ids = np.array(patients.ids)
    stats = pd.DataFrame(draw_stats(world, patients.factors, seed))
    stats.columns = [f"stat_{number + 1:02d}" for number in range(STATS_DIM)]
    stats.insert(0, "patient_id", ids)
    kept = patients.present[:, 0] & np.isin(np.array(SITES)[patients.site_index], STATS_SITES)
    _csv(out / "slide_stats.csv", stats[kept])

    genes = pd.DataFrame(draw_genes(world, patients.factors, seed))
    genes.columns = [f"G{number + 1:04d}" for number in range(GENES)]
    genes.insert(0, "patient_id", ids)
    with replacing(out / "rna.parquet") as temporary:
        genes[patients.present[:, 1]].to_parquet(temporary, index=False)

    accession = np.random.default_rng([seed, 5]).permutation(len(ids))
    rows = [
        (
            f"{patients.ids[index]}.simulated",
            write_report(
                patients.factors[index],
                int(patients.type_index[index]),
                int(accession[index]) + 1,
                np.random.default_rng([seed, 6, index]),
            ),
        )
        for index in np.flatnonzero(patients.present[:, 2]).tolist()
    ]
    _csv(out / "reports.csv", pd.DataFrame(rows, columns=["patient_filename", "text"]))


def simulate(out: Path, patients: int = 300, seed: int = 0, encoder: str = "minilm") -> Path:
    """Write a cohort with known truth into the folder `out`; the same seed gives the same bytes.

    Files: `clinical.csv`, `slides/*.h5` (TRIDENT names), `slide_stats.csv`, `rna.parquet`, `reports.csv`,
    `truth.csv` (factors and log hazard of each patient), `truth.json` (parameters), and last `cohort.yaml`.

    Args:
        out: a new or empty folder, or an earlier simulated cohort, which is replaced.
        patients: how many, at least 30.
        seed: of the random draws, 0 or more.
        encoder: the text encoder that the cohort file names, a path or a known name.

    Returns:
        The path of `cohort.yaml`.

    Raises:
        InputError: too few or too many patients, a negative seed, or a folder that holds other files.
    """
    if not MIN_PATIENTS <= patients <= MAX_PATIENTS:
        raise InputError(
            f"--patients {patients}: simulate between {MIN_PATIENTS} and {MAX_PATIENTS} patients"
        )
    if seed < 0:
        raise InputError(f"--seed {seed}: use 0 or more")
    parameters: dict[str, object] = {
        "made_by": MADE_BY, "version": VERSION, "world_seed": WORLD_SEED, "seed": seed, "patients": patients,
        "hazard_weights": HAZARD, "visible": {name: list(VISIBLE[name]) for name in MODALITIES},
        "weibull_shape": WEIBULL_SHAPE, "median_days": MEDIAN_DAYS,
        "mean_censoring_days": dict(zip(SITES, CENSOR_DAYS, strict=True)),
        "present": PRESENT, "tile_sites": list(TILE_SITES), "slide_stats_sites": list(STATS_SITES),
    }  # fmt: skip
    _claim(out, parameters)
    world = make_world()
    drawn = draw_patients(world, patients, seed)
    clinical = draw_clinical(drawn, seed)
    _csv(out / "clinical.csv", clinical)
    _write_slides(out, world, drawn, seed)
    _write_tables(out, world, drawn, seed)
    truth = clinical[["patient_id", "cancer_type", "site"]].copy()
    truth[list(FACTORS)] = drawn.factors
    truth["log_hazard"] = drawn.log_hazard
    _csv(out / "truth.csv", truth)
    path = out / "cohort.yaml"
    write_text(path, _cohort_yaml(encoder))
    return path
