"""Time and memory of every command at the shape of the paper's data, by the number of patients.

    python benchmarks/scale.py FOLDER [--patients 1044 10439 104390] [--commands check pack] [--seconds 300]
    python benchmarks/scale.py FOLDER --vectors 1000000

The cohort has 128 slide tokens and 200 report tokens of 768 numbers as float16, one h5 file a patient, and
2,048 RNA values; a third of the patients lack each, nobody all. It is written to FOLDER once for each number;
more than 1,044 patients share the files of the first ones as hard links, so that only the packed store grows.
Two cancer types of 33 have folds. Every command runs in a process of its own with one thread: its processor
time, wall time, and the peak of its own memory beside mapped files (RssAnon and RssShmem, read ten times a
second). Pretraining is stopped after --seconds. What a network needs comes from pretraining on the smallest
cohort. Prints a Markdown table; the growth is the exponent between two sizes: 1 where twice the patients take
twice as long. With --vectors the cohort has two tables of 64 numbers instead, and is checked and packed.
"""

import argparse
import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

BASE = 1044
TOKENS = {"tiles": 128, "notes": 200}
WIDTH, GENES, TYPES = 768, 2048, 33
VECTOR = 64
SHARE = 2 / 3
COMMANDS = ("check", "pack", "pretrain", "evaluate", "fit", "predict")


def names_of(patients: int) -> list[str]:
    """Ids that sort as they count."""
    return [f"patient{i:07d}" for i in range(patients)]


def who_has(patients: int) -> np.ndarray:
    """(P, 3) bool: tiles, genes, notes; at least one of a patient."""
    rng = np.random.default_rng(0)
    have = rng.random((patients, 3)) < SHARE
    have[np.arange(patients), rng.integers(0, 3, patients)] = True
    return have


def write_tokens(folder: Path, rows: int, seed: int) -> None:
    """The files of the first 1,044 patients."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(rows, WIDTH)).astype(np.float16)
    for name in names_of(BASE):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["features"] = shared + rng.normal(size=WIDTH).astype(np.float16)


def write_table(path: Path, ids: np.ndarray, width: int = GENES, at_once: int = 1000, seed: int = 1) -> None:
    """A table of vectors, some patients at a time."""
    rng = np.random.default_rng(seed)
    columns = [f"g{i}" for i in range(width)]
    writer: pq.ParquetWriter | None = None
    for start in range(0, len(ids), at_once):
        part = ids[start : start + at_once]
        values = rng.normal(size=(len(part), width)).astype(np.float32)
        table = pa.Table.from_arrays([pa.array(part), *values.T.copy()], names=["patient_id", *columns])
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def write_description(folder: Path, ids: np.ndarray, modalities: dict[str, Any]) -> None:
    """The clinical table of patients and the cohort file."""
    rng, patients = np.random.default_rng(2), len(ids)
    types = np.array([f"T{i:02d}" for i in rng.permutation(np.arange(patients) % TYPES)])
    time_days = (1500 * rng.exponential(size=patients)).round() + 1
    clinical = {"id": ids, "type": types, "t": time_days, "e": rng.integers(0, 2, patients)}
    pd.DataFrame(clinical).to_csv(folder / "clinical.csv", index=False)
    cohort = {
        "name": f"scale{patients}",
        "root": ".",
        "clinical": {
            "format": "table", "path": "clinical.csv", "patient_id": "id", "cohort": "type",
            "endpoints": {"os": {"time": "t", "event": "e"}},
        },
        "modalities": modalities,
    }  # fmt: skip
    (folder / "cohort.yaml").write_text(yaml.safe_dump(cohort, sort_keys=False), encoding="utf-8")


def write_vectors(folder: Path, patients: int) -> None:
    """A cohort of two tables of vectors; what stands there already is kept."""
    if (folder / "cohort.yaml").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    ids, have = np.array(names_of(patients)), who_has(patients)
    for column, name in enumerate(("first", "second")):
        write_table(folder / f"{name}.parquet", ids[have[:, column]], VECTOR, 100_000, column)
    tables = {n: {n: {"reader": "vector", "path": f"{n}.parquet"}} for n in ("first", "second")}
    write_description(folder, ids, tables)


def write_cohort(folder: Path, base: Path, patients: int) -> Path:
    """A cohort of so many patients and its experiment; what stands there already is kept."""
    experiment = folder / "experiment.yaml"
    if experiment.is_file():
        return experiment
    ids, have = np.array(names_of(patients)), who_has(patients)
    for column, source in ((0, "tiles"), (2, "notes")):
        (folder / source).mkdir(parents=True, exist_ok=True)
        for i in np.flatnonzero(have[:, column]):
            target = folder / source / f"{ids[i]}.h5"
            if not target.exists():
                os.link(base / source / f"{ids[i % BASE]}.h5", target)
    write_table(folder / "genes.parquet", ids[have[:, 1]])
    modalities = {
        "image": {"tiles": {"reader": "h5", "path": "tiles", "max_tokens": TOKENS["tiles"]}},
        "rna": {"genes": {"reader": "vector", "path": "genes.parquet", "group_size": 32}},
        "report": {"notes": {"reader": "h5", "path": "notes", "max_tokens": TOKENS["notes"]}},
    }
    write_description(folder, ids, modalities)
    settings = {
        "cohort": "cohort.yaml",
        "store": "store",
        "pretrain": {"epochs": 1, "losses": {"retention": {"weight": 2.0, "of": ["tokens", "fused"]}}},
        "evaluate": {"cohorts": ["T00", "T01"], "modes": ["lp"], "inits": ["pretrained"], "bootstrap": 0},
    }
    experiment.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return experiment


@dataclass(frozen=True)
class Cost:
    """What a command took: processor and wall seconds, and the peak of its own memory in GiB."""

    processor: float
    wall: float
    memory: float
    note: str = ""


def own_memory(pid: int) -> int:
    """Bytes of a process beside mapped files; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon", "RssShmem")))


def measure(arguments: list[str], most: float) -> Cost:
    """Run `prime` with these arguments, for `most` seconds at most."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    started, peak, note = time.perf_counter(), 0, ""
    command = [sys.executable, "-m", "prime", *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
        while True:
            done, status, used = os.wait4(run.pid, os.WNOHANG)
            if done:
                break
            peak = max(peak, own_memory(run.pid))
            if time.perf_counter() - started > most and not note:
                note = "stopped"
                run.terminate()
            time.sleep(0.1)
        run.returncode = os.waitstatus_to_exitcode(status)
        assert run.stderr is not None
        if run.returncode and not note:
            raise SystemExit(f"prime {' '.join(arguments)}: {run.stderr.read().decode()[-2000:]}")
    return Cost(used.ru_utime + used.ru_stime, time.perf_counter() - started, peak / 2**30, note)


def arguments_of(command: str, folder: Path, network: Path) -> list[str]:
    """The command line of a command on the cohort of a folder."""
    experiment, cohort, out = folder / "experiment.yaml", folder / "cohort.yaml", folder / "out"
    store, trained = str(folder / "store"), ["--checkpoint", str(network)]
    given = {
        "check": [str(cohort)],
        "pack": [str(cohort), "--out", store],
        "pretrain": [str(experiment), "--out", str(out / "pretrain")],
        "evaluate": [str(experiment), *trained, "--out", str(out / "evaluate")],
        "fit": [str(experiment), *trained, "--cohort-name", "T00", "--out", str(out / "model")],
        "predict": ["--cohort", str(cohort), "--store", store, "--model", str(out / "model")],
    }
    rest = ["--out", str(out / "predictions.csv")] if command == "predict" else []
    return [command, *given[command], *rest]


def print_table(costs: dict[tuple[str, int], Cost]) -> None:
    """A row a command and size."""
    print("| command | patients | processor s | wall s | own memory GiB | growth of time |")
    print("|---|---|---|---|---|---|")
    for (command, patients), cost in costs.items():
        sizes = [p for c, p in costs if c == command and p < patients]
        growth = "-"
        if sizes and not cost.note and not costs[command, sizes[-1]].note:
            ratio = cost.processor / costs[command, sizes[-1]].processor
            growth = f"{math.log(ratio) / math.log(patients / sizes[-1]):.2f}"
        times = f"{cost.processor:.0f} | {cost.wall:.0f}{' (stopped)' if cost.note else ''}"
        print(f"| {command} | {patients:,} | {times} | {cost.memory:.2f} | {growth} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="for cohorts, stores and results")
    parser.add_argument("--patients", type=int, nargs="+", default=[1044, 10439, 104390])
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--seconds", type=float, default=300.0, help="after which pretraining is stopped")
    parser.add_argument(
        "--vectors", type=int, help="so many patients with two tables of vectors, and no tokens"
    )
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    if options.vectors:
        place = folder / f"vectors{options.vectors}"
        write_vectors(place, options.vectors)
        done = ("check", "pack")
        print_table({(c, options.vectors): measure(arguments_of(c, place, folder), math.inf) for c in done})
        return
    for seed, (source, rows) in enumerate(TOKENS.items()):
        if not (folder / "base" / source / f"{names_of(BASE)[-1]}.h5").is_file():
            write_tokens(folder / "base" / source, rows, seed)
    network = folder / "network"
    costs: dict[tuple[str, int], Cost] = {}
    for patients in sorted(options.patients):
        place = folder / f"patients{patients}"
        experiment = write_cohort(place, folder / "base", patients)
        for command in options.commands:
            if command in ("evaluate", "fit") and not (network / "model.safetensors").is_file():
                measure(["pretrain", str(experiment), "--out", str(network)], math.inf)
            most = options.seconds if command == "pretrain" else math.inf
            costs[command, patients] = measure(arguments_of(command, place, network), most)
            cost = costs[command, patients]
            print(f"{command}, {patients}: {cost.processor:.0f} s, {cost.memory:.2f} GiB", file=sys.stderr)
    print_table(costs)


if __name__ == "__main__":
    main()
