"""The generative model of the simulated cohort: latent factors, hazard, and what each modality shows.

Six latent factors determine every modality and the hazard. The parameters (loadings, patterns, hazard
weights) are fixed by `WORLD_SEED`; another seed draws the patients.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.arrays import Floats

WORLD_SEED = 20240607
MAX_PATIENTS = 99_999

FACTORS = ("grade", "immune", "nodes", "proliferation", "stroma", "margin")
MODALITIES = ("image", "rna", "report")
VISIBLE: dict[str, tuple[str, ...]] = {
    "image": ("grade", "immune", "stroma"),
    "rna": ("grade", "immune", "nodes", "proliferation"),
    "report": ("grade", "nodes", "margin"),
}
HAZARD = {"grade": 0.7, "immune": -0.55, "nodes": 0.6, "proliferation": 0.55, "stroma": 0.45, "margin": 0.45}

TYPES = ("SIMA", "SIMB", "SIMC")
SITES = ("H01", "H02", "H03", "H04", "H05", "H06")
TILE_SITES = ("H01", "H02", "H03", "H04", "H05")
STATS_SITES = ("H03", "H04", "H06")
TILE_DIM, STATS_DIM, GENES, PATTERNS = 32, 24, 200, 8

WEIBULL_SHAPE = 1.4
MEDIAN_DAYS = 900.0
CENSOR_DAYS = (700.0, 1100.0, 1500.0, 1900.0, 900.0, 1300.0)
PRESENT = {"image": 0.70, "rna": 0.65, "report": 0.60}
TYPE_SHIFT = {"image": (0.12, -0.02, -0.10), "rna": (-0.10, 0.10, 0.0), "report": (0.05, -0.12, 0.07)}
SITE_SHIFT = {
    "image": (0.10, 0.05, 0.05, -0.10, -0.05, -0.05),
    "rna": (-0.12, 0.08, 0.04, 0.10, -0.10, 0.0),
    "report": (0.10, -0.10, 0.05, 0.0, 0.10, -0.15),
}


@dataclass(frozen=True)
class World:
    """The fixed parameters: how the factors (F,) of a patient appear in each modality."""

    type_means: Floats  # (types, F)
    pattern_means: Floats  # (PATTERNS, TILE_DIM)
    pattern_logits: Floats  # (F, PATTERNS)
    tile_shift: Floats  # (F, TILE_DIM)
    stats_linear: Floats  # (F, STATS_DIM)
    stats_curved: Floats  # (F, STATS_DIM)
    gene_linear: Floats  # (F, GENES)
    gene_curved: Floats  # (F, GENES)
    gene_centre: Floats  # (GENES,)
    gene_scale: Floats  # (GENES,)


@dataclass(frozen=True)
class Patients:
    """Patients before any modality is drawn; arrays have one row per patient."""

    ids: list[str]
    type_index: NDArray[np.int64]
    site_index: NDArray[np.int64]
    factors: Floats  # (patients, F)
    log_hazard: Floats
    present: NDArray[np.bool_]  # (patients, modalities)


def _visible(modality: str) -> Floats:
    return np.array([1.0 if factor in VISIBLE[modality] else 0.0 for factor in FACTORS])[:, None]


def make_world() -> World:
    """The fixed parameters, the same in every call."""
    rng = np.random.default_rng(WORLD_SEED)
    number = len(FACTORS)
    type_means = rng.normal(0.0, 0.4, (len(TYPES), number))
    image, rna = _visible("image"), _visible("rna")
    gene_linear = rng.normal(0.0, 1.0, (number, GENES)) * rna * (rng.random((number, GENES)) < 0.35)
    gene_curved = rng.normal(0.0, 1.0, (number, GENES)) * rna * (rng.random((number, GENES)) < 0.35)
    reference = type_means[rng.integers(0, len(TYPES), 5000)] + rng.normal(size=(5000, number))
    noisy = gene_signal(reference, gene_linear, gene_curved) + rng.normal(0.0, 0.9, (5000, GENES))
    return World(
        type_means=type_means,
        pattern_means=rng.normal(0.0, 1.2, (PATTERNS, TILE_DIM)),
        pattern_logits=rng.normal(0.0, 0.9, (number, PATTERNS)) * image,
        tile_shift=rng.normal(0.0, 0.35, (number, TILE_DIM)) * image,
        stats_linear=rng.normal(0.0, 0.8, (number, STATS_DIM)) * image,
        stats_curved=rng.normal(0.0, 0.8, (number, STATS_DIM)) * image,
        gene_linear=gene_linear,
        gene_curved=gene_curved,
        gene_centre=noisy.mean(axis=0),
        gene_scale=noisy.std(axis=0),
    )


def gene_signal(factors: Floats, linear: Floats, curved: Floats) -> Floats:
    """Noise-free expression (patients, genes): a linear part and a saturating part of the factors."""
    return factors @ linear + 1.5 * np.tanh(factors @ curved)


def log_hazard(factors: Floats) -> Floats:
    """Log hazard (patients,), the weighted sum of the factors (patients, F)."""
    return factors @ np.array([HAZARD[factor] for factor in FACTORS])


def draw_patients(world: World, patients: int, seed: int) -> Patients:
    """Draw each patient's type, site, factors and observed modalities."""
    rng = np.random.default_rng([seed, 0])
    type_index = rng.integers(0, len(TYPES), patients)
    site_index = rng.choice(len(SITES), patients, p=[0.22, 0.2, 0.18, 0.15, 0.13, 0.12])
    factors = world.type_means[type_index] + rng.normal(size=(patients, len(FACTORS)))
    chance = np.stack(
        [
            PRESENT[name] + np.array(TYPE_SHIFT[name])[type_index] + np.array(SITE_SHIFT[name])[site_index]
            for name in MODALITIES
        ],
        axis=1,
    )
    return Patients(
        ids=[f"SIM-{seed * (MAX_PATIENTS + 1) + number + 1:04d}" for number in range(patients)],
        type_index=type_index,
        site_index=site_index,
        factors=factors,
        log_hazard=log_hazard(factors),
        present=rng.random((patients, len(MODALITIES))) < chance,
    )


def draw_clinical(patients: Patients, seed: int) -> pd.DataFrame:
    """Draw the clinical table: Weibull times of death and progression, censored at random, in whole days."""
    rng = np.random.default_rng([seed, 1])
    count = len(patients.ids)
    risk = patients.log_hazard - patients.log_hazard.mean()

    def weibull(median: float) -> Floats:
        return median * (rng.exponential(size=count) / np.log(2.0) / np.exp(risk)) ** (1.0 / WEIBULL_SHAPE)

    death, progression = weibull(MEDIAN_DAYS), weibull(0.8 * MEDIAN_DAYS)
    censored = rng.exponential(np.array(CENSOR_DAYS)[patients.site_index]) + 30.0
    first = np.minimum(progression, death)
    table = pd.DataFrame(
        {
            "patient_id": patients.ids,
            "cancer_type": np.array(TYPES)[patients.type_index],
            "site": np.array(SITES)[patients.site_index],
            "os_days": np.ceil(np.minimum(death, censored)),
            "os_event": (death <= censored).astype(np.float64),
            "pfi_days": np.ceil(np.minimum(first, censored)),
            "pfi_event": (first <= censored).astype(np.float64),
            "status": np.where(rng.random(count) < 0.01, "redacted", ""),
        }
    )
    table.loc[count // 2, "status"] = "redacted"
    table.loc[rng.random(count) < 0.02, ["pfi_days", "pfi_event"]] = np.nan
    columns = ["os_days", "os_event", "pfi_days", "pfi_event"]
    table[columns] = table[columns].astype("Int64")
    return table


def draw_tiles(world: World, factors: Floats, rng: np.random.Generator) -> NDArray[np.float32]:
    """Tiles (N, TILE_DIM) of one patient: patterns, mixed in proportions that depend on the factors (F,)."""
    number = int(rng.integers(12, 41))
    logits = factors @ world.pattern_logits
    share = np.exp(logits - logits.max())
    pattern = rng.choice(PATTERNS, number, p=share / share.sum())
    mean = world.pattern_means[pattern] + np.tanh(factors @ world.tile_shift)
    return (mean + rng.normal(0.0, 0.7, mean.shape)).astype(np.float32)


def draw_stats(world: World, factors: Floats, seed: int) -> Floats:
    """Slide statistics (patients, STATS_DIM) from factors (patients, F), some on a heavy-tailed scale."""
    rng = np.random.default_rng([seed, 3])
    signal = factors @ world.stats_linear + np.square(factors @ world.stats_curved) * 0.3
    values = signal + rng.normal(0.0, 1.0, signal.shape)
    values[:, -4:] = np.exp(np.clip(values[:, -4:], -8.0, 8.0))
    return values


def draw_genes(world: World, factors: Floats, seed: int) -> NDArray[np.float32]:
    """Gene z-scores (patients, GENES), standardised by the whole distribution, not by this cohort."""
    rng = np.random.default_rng([seed, 4])
    raw = gene_signal(factors, world.gene_linear, world.gene_curved)
    raw += rng.normal(0.0, 0.9, raw.shape)
    return np.clip((raw - world.gene_centre) / world.gene_scale, -10.0, 10.0).astype(np.float32)


GRADE = (
    "well differentiated, grade 1",
    "moderately differentiated, grade 2",
    "poorly differentiated, grade 3",
)
MARGIN = (
    "Resection margins are widely clear",
    "The closest margin is {n} mm away",
    "Tumour is present at the inked margin",
)
NODES = (
    "No metastasis in {n} lymph nodes",
    "One of {n} lymph nodes is involved",
    "{m} of {n} lymph nodes are involved",
)
STAGE = ("stage I", "stage II", "stage III")
SPREAD = (
    "Lymphovascular invasion is not seen",
    "Lymphovascular invasion is focal",
    "Extensive lymphovascular invasion",
)
NOISE = (
    "The specimen is received in formalin and labelled with the patient's name.",
    "Representative sections are submitted in cassettes A1 to A{n}.",
    "Immunohistochemistry was performed with suitable controls.",
    "The background tissue shows mild chronic inflammation.",
    "Clinical information: mass found on imaging.",
    "The case was reviewed at the weekly conference.",
    "Photographs were taken before sectioning.",
    "Adjacent parenchyma is unremarkable.",
)
ORGAN = ("lobe", "segment", "quadrant")


def _level(value: float, rng: np.random.Generator) -> int:
    """0, 1 or 2: the tercile of a standard normal factor, measured with noise."""
    return int(np.searchsorted([-0.45, 0.45], value + rng.normal(0.0, 0.35)))


def write_report(factors: Floats, type_index: int, number: int, rng: np.random.Generator) -> str:
    """A short report of a patient with factors (F,), about the tumour and never about the outcome."""
    value = dict(zip(FACTORS, factors.tolist(), strict=True))
    nodes = _level(value["nodes"], rng)
    sampled = int(rng.integers(8, 25))
    size = float(np.clip(3.0 + 0.9 * value["nodes"] + 0.5 * value["grade"] + rng.normal(0.0, 0.7), 0.5, 12.0))
    stage = _level(0.6 * value["nodes"] + 0.6 * value["margin"], rng)
    findings = [
        f"The carcinoma is {GRADE[_level(value['grade'], rng)]}.",
        MARGIN[_level(value["margin"], rng)].format(n=int(rng.integers(1, 6))) + ".",
        NODES[nodes].format(n=sampled, m=int(rng.integers(2, 8))) + ".",
        SPREAD[_level(value["nodes"], rng)] + ".",
        f"The tumour measures {size:.1f} cm.",
    ]
    chosen: list[int] = rng.permutation(len(NOISE))[:3].tolist()
    noise = [NOISE[index].format(n=int(rng.integers(3, 13))) for index in chosen]
    body = findings + noise
    order: list[int] = rng.permutation(len(body)).tolist()
    opening = f"Surgical pathology, accession S{number:06d}. {ORGAN[type_index].capitalize()}, resection."
    return " ".join([opening, *(body[index] for index in order), f"Pathologic {STAGE[stage]}."])
