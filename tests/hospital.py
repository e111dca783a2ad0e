"""A small hospital's files as users have them: a clinical table, RNA, and slides' features of TRIDENT."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

GENES, TILES = 24, 12


def tables(patients: int, seed: int = 0) -> dict[str, pd.DataFrame]:
    """`clinical` (months, died, type, ...), `rna` and `slides`, indexed by patient.

    A fifth of the patients lacks each table of features. Two hidden factors decide survival and features.
    """
    rng = np.random.default_rng([seed, 17])
    index = pd.Index([f"H{seed}-{i:04d}" for i in range(patients)], name="patient")
    factors = rng.normal(size=(patients, 2))
    death = rng.exponential(30 * np.exp(-0.8 * factors.sum(axis=1)))
    end = rng.uniform(6, 150, patients)
    clinical = pd.DataFrame(
        {
            "months": np.minimum(death, end).round(1) + 0.1,
            "died": (death <= end).astype(int),
            "type": np.where(np.arange(patients) % 2, "LUAD", "LUSC"),
            "hospital": [f"site {i % 4}" for i in range(patients)],
            "age": rng.integers(40, 85, patients),
            "sex": np.where(rng.random(patients) < 0.5, "female", "male"),
        },
        index,
    )
    shown = np.random.default_rng(17)  # the same genes and slides in every hospital
    found = {"clinical": clinical}
    for name, column, width in (("rna", "G", GENES), ("slides", "S", TILES)):
        values = factors @ shown.normal(size=(2, width)) + 0.5 * rng.normal(size=(patients, width))
        frame = pd.DataFrame(values, index, [f"{column}{i:02d}" for i in range(width)])
        found[name] = frame[rng.random(patients) < 0.8]
    return found


def write_hospital(folder: Path, patients: int, seed: int = 0) -> None:
    """Write clinical.csv, rna.parquet, reports.csv, and a file for each slide in the folder `slides`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = tables(patients, seed)
    made["clinical"].to_csv(folder / "clinical.csv")
    texts = [f"Carcinoma of the lung, grade {i % 3 + 1}, pT{i % 4 + 1} N{i % 2}." for i in range(patients)]
    names = made["clinical"].index.to_numpy()
    pd.DataFrame({"patient_filename": names, "text": texts}).to_csv(folder / "reports.csv", index=False)
    made["rna"].reset_index().to_parquet(folder / "rna.parquet", index=False)
    (folder / "slides").mkdir()
    rng = np.random.default_rng([seed, 18])
    for patient, mean in zip(made["slides"].index, made["slides"].to_numpy(), strict=True):
        tiles = (mean + 0.3 * rng.normal(size=(6, TILES))).astype(np.float32)
        with h5py.File(folder / "slides" / f"{patient}.h5", "w") as file:
            file["features"] = tiles
            file["features"].attrs["encoder"] = "uni_v2"
            file["coords"] = rng.integers(0, 50_000, (6, 2))
