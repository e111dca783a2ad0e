"""The kinds of input that are changed: what each case makes, reads, and holds against the right answer."""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from prime.cohort.check.check import check
from prime.cohort.config import load_cohort
from prime.cohort.readers.tokens import TokenSource, read_tokens
from prime.cohort.tables import read_table
from prime.errors import InputError
from prime.file_names import file_name, path_part
from prime.files import is_whole_parquet, write_parquet, write_text, writing_below
from prime.model.checkpoint import load_checkpoint
from prime.parsing import parse_json
from prime.settings.experiment import load_experiment
from prime.splits.split_files import read_splits
from prime.store.opening import default_store
from prime.store.packing import pack
from prime.store.store import Store
from tests.fuzz.mutations import NASTY_NAMES, NASTY_YAML, of_bytes, of_cells, of_yaml
from tests.fuzz.world import COHORT, World, contents, copied, of_model


class ChangedInSilence(AssertionError):
    """An input was taken that gives another answer than the right one."""


def require(right: bool, what: str) -> None:
    if not right:
        raise ChangedInSilence(what)


@dataclass
class Bench:
    """The world, a folder for the case, and what the world's folders hold unchanged."""

    world: World
    folder: Path
    cache: dict[str, Any] = field(default_factory=dict[str, Any])

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self.cache:
            self.cache[name] = make()
        return self.cache[name]

    @cached_property
    def stored(self) -> dict[str, Any]:
        return contents(Store.open(self.world.store))

    @cached_property
    def modelled(self) -> dict[str, Any]:
        return of_model(self.world.model)

    def cohort(self) -> Path:
        """The cohort's files in the case's folder, linked or copied but for what is changed."""
        target = self.folder / "cohort"
        if not target.is_dir():
            shutil.copytree(self.world.cohort, target)
        for name in ("clinical.csv", "genes.parquet", "cohort.yaml"):
            shutil.copyfile(self.world.cohort / name, target / name)
        return target

    def empty(self, name: str) -> Path:
        target = self.folder / name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        return target


def yaml_values(random: Random, bench: Bench) -> None:
    path = bench.cohort() / "cohort.yaml"
    path.write_text(of_yaml(random, COHORT), encoding="utf-8")
    check(load_cohort(path), progress=False)


def yaml_bytes(random: Random, bench: Bench) -> None:
    path = bench.cohort() / "cohort.yaml"
    path.write_bytes(of_bytes(random, COHORT.encode()))
    load_cohort(path)


def yaml_keys_twice(random: Random, bench: Bench) -> None:
    lines = COHORT.splitlines()
    single = [n for n, line in enumerate(lines) if line.strip() and ": " in line]
    at = random.choice(single)
    key = lines[at].partition(":")[0]
    lines.insert(at + 1, f"{key}: {random.choice(['years', '1', lines[at].partition(': ')[2]])}")
    path = bench.cohort() / "cohort.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    try:
        load_cohort(path)
    except InputError as error:
        require(f"line {at + 2}: key {key.strip()!r} is given twice" in str(error), str(error))
        raise
    require(False, f"{key} twice")


def settings(random: Random, bench: Bench) -> None:
    path = bench.folder / "experiment.yaml"
    path.write_text("cohort: cohort.yaml\n", encoding="utf-8")
    key = random.choice(("seed", "clip", "model.dim", "pretrain.epochs", "evaluate.tasks", "evaluate.folds"))
    key = random.choice((key, key, f"{key}.{random.choice(NASTY_NAMES)}", random.choice(NASTY_NAMES)))
    load_experiment(path, (f"{key}={random.choice((*NASTY_YAML, *NASTY_NAMES))}",))


def json_bytes(random: Random, bench: Bench) -> None:
    text = bench.once("manifest", (bench.world.store / "manifest.json").read_bytes)
    parse_json(of_bytes(random, text), "here")


def splits_values(random: Random, bench: Bench) -> None:
    fold: dict[str, Any] = {"cohort": "A", "fold": 0, "train": ["p0"], "validation": ["p1"], "test": ["p2"]}
    document: dict[str, Any] = {"format": "prime-splits", "version": 1, "folds": [fold]}
    nasty: tuple[Any, ...] = (None, 1, -1, "", [], {}, [[]], "p0", ["p0"], ["p9"], True, 1e300, [None])
    where = random.choice((document, fold, fold, fold))
    where[random.choice((*where, random.choice(NASTY_NAMES)))] = random.choice(nasty)
    path = bench.folder / "splits.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    read_splits(path, np.array(["p0", "p1", "p2"], dtype=object))


def csv_cells(random: Random, bench: Bench) -> None:
    folder = bench.cohort()
    text = (folder / "clinical.csv").read_text(encoding="utf-8")
    (folder / "clinical.csv").write_text(of_cells(random, text), encoding="utf-8")
    check(load_cohort(folder / "cohort.yaml"), progress=False)


def csv_bytes(random: Random, bench: Bench) -> None:
    path = bench.folder / "a.csv"
    path.write_bytes(of_bytes(random, (bench.world.cohort / "clinical.csv").read_bytes()))
    read_table(path, "clinical", text=random.random() < 0.5)


def csv_same_in_other_words(random: Random, bench: Bench) -> None:
    """Order of rows and columns, ends of lines, a byte order mark, blanks and quotes change nothing."""
    folder = bench.cohort()
    frame = pd.read_csv(folder / "clinical.csv", dtype=str).sample(
        frac=1, random_state=random.randrange(2**32)
    )
    frame = frame[random.sample(list(frame.columns), len(frame.columns))]
    for name in ("patient", "died") if random.random() < 0.5 else ():
        frame[name] = [
            f"{' ' * random.randrange(3)}{cell}{' ' * random.randrange(3)}" for cell in frame[name]
        ]
    end, mark = random.choice(("\n", "\r\n")), random.choice(("utf-8", "utf-8-sig"))
    frame.to_csv(
        folder / "clinical.csv", index=False, lineterminator=end, encoding=mark, quoting=random.choice((0, 1))
    )
    out = bench.folder / "store"  # its sources are those of the cases before
    found = Store.open(pack(load_cohort(folder / "cohort.yaml"), out, progress=False))
    require(contents(found) == bench.stored, "another store from the same table")


def parquet_bytes(random: Random, bench: Bench) -> None:
    path = bench.folder / "a.parquet"
    path.write_bytes(of_bytes(random, (bench.world.cohort / "genes.parquet").read_bytes()))
    read_table(path, "genes")


def parquet_types(random: Random, bench: Bench) -> None:
    folder = bench.cohort()
    count = 60
    columns: dict[str, pa.Array] = {
        "text": pa.array(["a"] * count),
        "null": pa.nulls(count),
        "flag": pa.array([True] * count),
        "list": pa.array([[1.0]] * count),
        "struct": pa.array([{"a": 1}] * count),
        "date": pa.array([0] * count, pa.date32()),
        "decimal": pa.array([1] * count).cast(pa.decimal128(20, 0)),
        "bytes": pa.array([b"\xff"] * count),
        "huge": pa.array([2**63 - 1] * count),
        "infinite": pa.array([float("inf")] * count),
        "category": pa.array(["a"] * count).dictionary_encode(),
        "half": pa.array(np.ones(count, np.float16)),
        "time": pa.array([0] * count, pa.timestamp("ns", "UTC")),
        "duration": pa.array([0] * count, pa.duration("s")),
    }
    table = pq.read_table(folder / "genes.parquet")
    for name in random.sample(list(columns), random.randint(1, 2)):
        shown = random.choice((name, "g3", "patient_id", random.choice(NASTY_NAMES)))
        table = table.append_column(shown, columns[name])
    if random.random() < 0.3:
        table = table.replace_schema_metadata(
            {b"pandas": random.choice((b"{}", b"{", b"[1]", b'{"columns": 1}'))}
        )
    pq.write_table(table, folder / "genes.parquet")
    check(load_cohort(folder / "cohort.yaml"), progress=False)


def xlsx_bytes(random: Random, bench: Bench) -> None:
    def make() -> bytes:
        buffer = io.BytesIO()
        pd.DataFrame({"patient": ["p1", "p2"], "months": [1, 2]}).to_excel(buffer, index=False)
        return buffer.getvalue()

    path = bench.folder / "a.xlsx"
    path.write_bytes(of_bytes(random, bench.once("xlsx", make)))
    read_table(path, "clinical", text=random.random() < 0.5)


def _tokens(folder: Path, reader: str) -> dict[str, Any]:
    return dict(read_tokens(TokenSource(reader=reader, path="."), folder, "tiles").patients)


def h5_bytes(random: Random, bench: Bench) -> None:
    folder = bench.empty("in")
    (folder / "p1.h5").write_bytes(of_bytes(random, (bench.world.cohort / "slides" / "p00.h5").read_bytes()))
    _tokens(folder, "h5")


def h5_shapes(random: Random, bench: Bench) -> None:
    """Numbers of any kind and shape, links and compression: the numbers themselves, or an error."""
    folder = bench.empty("in")
    shape = random.choice(((), (0,), (4,), (3, 4), (1, 3, 4), (2, 3, 4), (3, 0), (0, 4), (10**12, 4)))
    kind = random.choice(("f2", "f4", "f8", ">f4", "i1", "u2", "i8", "?", "c8", "S3", "f4,f4"))
    other = folder / "other.bin"
    with h5py.File(folder / "p1.h5", "w") as file:
        values = np.zeros(shape if 10**12 not in shape else (1, 4), kind)
        options: dict[str, Any] = {}
        if shape and 0 not in shape and random.random() < 0.5:
            options = {
                "chunks": tuple(min(n, 64) for n in shape),
                "compression": random.choice((None, "gzip")),
            }
        if kind == "f4" and shape == (3, 4) and random.random() < 0.5:
            other.write_bytes(b"secret bytes of another file" * 9)
            options = {"external": [(str(other), 0, 48)]}
        name = random.choice(("features", "features", "feats", "a/b", "other"))
        data = file.create_dataset(name, shape, kind, **options)
        if values.size and not options.get("external") and 10**12 not in shape:
            data[...] = values
        if name != "features" and random.random() < 0.7:
            file["features"] = h5py.SoftLink(random.choice((f"/{name}", name, "/features", "/no")))
    found = _tokens(folder, "h5")
    require(not options.get("external"), "bytes of another file")
    require(all(not rows.any() for rows in found.values()), "other numbers")


def pt_bytes(random: Random, bench: Bench) -> None:
    folder = bench.empty("in")
    (folder / "p1.pt").write_bytes(of_bytes(random, (bench.world.cohort / "bags" / "p04.pt").read_bytes()))
    _tokens(folder, "pt")


def pt_kinds(random: Random, bench: Bench) -> None:
    folder = bench.empty("in")
    rows = torch.arange(12.0).reshape(3, 4)
    made: tuple[Callable[[], Any], ...] = (
        lambda: rows.clone().requires_grad_(), lambda: torch.nn.Parameter(rows), lambda: rows.to_sparse(),
        lambda: rows.to("meta"), lambda: torch._neg_view(-rows), lambda: rows.T.contiguous().T,
        lambda: torch.zeros(1).expand(10**9, 4), lambda: rows.bfloat16(), lambda: rows.double()[None],
        lambda: rows.to(torch.complex64), lambda: [rows], lambda: {"a": rows}, lambda: "text", lambda: None,
        lambda: rows.int(), lambda: rows / 0, lambda: rows[:0], lambda: rows.to(torch.float8_e5m2),
    )  # fmt: skip
    torch.save(random.choice(made)(), folder / "p1.pt", _use_new_zipfile_serialization=random.random() < 0.7)
    found = _tokens(folder, "pt")
    right = [np.asarray(rows), np.asarray(rows.to(torch.float8_e5m2).float())]
    require(all(any(np.array_equal(rows, one) for one in right) for rows in found.values()), "other numbers")


def _damage(random: Random, folder: Path) -> None:
    """One file of a folder changed, exchanged for another, reversed, or removed."""
    paths = sorted(path for path in folder.iterdir() if path.suffix != ".lock" and path.stat().st_size)
    path, kind = random.choice(paths), random.randrange(8)
    if kind == 0:
        shutil.copyfile(random.choice(paths), folder / "same") or (folder / "same").replace(path)
    elif kind == 1:
        path.unlink()
    elif kind == 2 and path.suffix == ".npy":
        np.save(path, np.load(path)[::-1])
    elif kind == 3 and path.suffix == ".json":
        found = json.loads(path.read_text(encoding="utf-8"))
        key = random.choice(list(found))
        found[key] = random.choice((None, {}, [], 1, "x", found[random.choice(list(found))]))
        path.write_text(json.dumps(found), encoding="utf-8")
    else:
        path.write_bytes(of_bytes(random, path.read_bytes()))


def store_files(random: Random, bench: Bench) -> None:
    folder = copied(bench.world.store, bench.folder / "damaged", lambda path: _damage(random, path))
    require(contents(Store.open(folder)) == bench.stored, "another store")


def model_files(random: Random, bench: Bench) -> None:
    folder = copied(bench.world.model, bench.folder / "damaged", lambda path: _damage(random, path))
    require(of_model(folder) == bench.modelled, "another model")


def checkpoint_files(random: Random, bench: Bench) -> None:
    folder = copied(bench.world.run, bench.folder / "damaged", lambda path: _damage(random, path))
    right = bench.once("run", lambda: load_checkpoint(bench.world.run))
    found = load_checkpoint(folder)
    pairs = zip(found.model.state_dict().values(), right.model.state_dict().values(), strict=True)
    require(all(torch.equal(one, other) for one, other in pairs), "other weights")
    require(found.manifest == right.manifest and found.config == right.config, "another description")


def names(random: Random, bench: Bench) -> None:
    """Patients, cancer types, sites and cohorts of any name: their names come back, and no path goes out."""
    folder = bench.cohort()
    frame = pd.read_csv(folder / "clinical.csv", dtype=str)
    column = random.choice(("patient", "type", "site"))
    name = random.choice(NASTY_NAMES).replace("\n", " ")
    frame.loc[random.randrange(len(frame)), column] = name
    frame.to_csv(folder / "clinical.csv", index=False)
    config = load_cohort(folder / "cohort.yaml").model_copy(update={"name": name})
    require(default_store(config).parent == Path("runs"), name)
    with writing_below(bench.folder / "out"):
        for safe in (file_name(name), path_part(name)):
            write_text(bench.folder / "out" / safe, "") if safe == file_name(safe) else None
    store = Store.open(pack(config, bench.folder / "named", progress=False))
    wanted = name.strip()
    place = {"patient": "patient_id", "type": "cohort", "site": "site"}[column]
    missing = column != "patient" and wanted.lower() in ("", "none", "nan")
    require(missing or wanted in set(store.patients[place]), f"{column} {name!r} has become another")


def parts_cut(random: Random, bench: Bench) -> None:
    """A part that a kill or a full disk has cut is no part."""
    path = bench.folder / "part.parquet"
    write_parquet(path, pd.DataFrame({"risk": np.arange(100.0)}))
    data = path.read_bytes()
    path.write_bytes(data[: random.randrange(len(data))])
    require(not is_whole_parquet(path), "a cut part counts as whole")


KINDS: dict[Callable[[Random, Bench], None], int] = {  # cases in the suite
    yaml_values: 160, yaml_bytes: 200, yaml_keys_twice: 120, settings: 160, json_bytes: 160,
    splits_values: 160, csv_cells: 80, csv_bytes: 120, csv_same_in_other_words: 40, parquet_bytes: 160,
    parquet_types: 40, xlsx_bytes: 60, h5_bytes: 120, h5_shapes: 120, pt_bytes: 120, pt_kinds: 100,
    store_files: 80, model_files: 40, checkpoint_files: 40, names: 40, parts_cut: 80,
}  # fmt: skip
