"""The store: a round trip, resuming, staleness, checksums; and the real cohort's counts."""

import json
import os
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from prime.cohort.config import CohortConfig, load_cohort
from prime.errors import InputError
from prime.files import write_npy
from prime.store import packing
from prime.store.array_writer import HEADER_BYTES, ArrayWriter, TooLargeForFloat16
from prime.store.packing import pack, patient_index
from prime.store.store import Store, _points_to

CHECKOUT = Path(__file__).resolve().parents[2]
TCGA = CHECKOUT / ".." / "shared" / "tcga"

NO_ENCODER = "the files state no encoder: whether all come from one cannot be known"


def write_h5(path: Path, values: Any) -> None:
    with h5py.File(path, "w") as file:
        file["features"] = np.asarray(values, np.float32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five clinical patients (p1 has no features) and two with features only (z, y)."""
    folder = tmp_path / "data"
    (folder / "tiles").mkdir(parents=True)
    clinical = "id,type,t,e,status\np3,A,10,1,ok\np1,A,20,0,ok\np2,B,30,1,out\np5,B,5,0,ok\np4,B,,,ok\n"
    (folder / "clinical.csv").write_text(clinical)
    genes = {
        "patient_id": ["p2", "p3", "z", "p5"],
        "g1": [1.0, 2.0, 3.0, np.nan],
        "g2": [5.0, np.nan, 7.0, np.nan],
    }
    pd.DataFrame(genes).to_parquet(folder / "genes.parquet", index=False)
    slides = {"patient_id": ["p3", "p4", "p3"], "f": [1.0, 2.0, 3.0]}
    pd.DataFrame(slides).to_csv(folder / "slides.csv", index=False)
    write_h5(folder / "tiles" / "p4.h5", [[1, 2, 3], [4, 5, 6]])
    write_h5(folder / "tiles" / "y.h5", [[7, 8, 9.1]])
    write_h5(folder / "tiles" / "p1.h5", np.zeros((0, 3)))
    return folder


def cohort(root: Path, **changes: Any) -> CohortConfig:
    raw: dict[str, Any] = {
        "name": "made-up",
        "root": str(root),
        "clinical": {
            "format": "table",
            "path": "clinical.csv",
            "patient_id": "id",
            "cohort": "type",
            "endpoints": {"os": {"time": "t", "event": "e"}},
            "exclude": [{"column": "status", "values": ["out"]}],
        },
        "modalities": {
            "image": {
                "slides": {"reader": "vector", "path": "slides.csv", "instances": "tokens"},
                "tiles": {"reader": "h5", "path": "tiles"},
            },
            "rna": {"genes": {"reader": "vector", "path": "genes.parquet", "group_size": 1}},
        },
    }
    return CohortConfig.model_validate(raw | changes)


def with_source(root: Path, modality: str, source: str, **options: Any) -> CohortConfig:
    raw = cohort(root).model_dump(mode="json")
    raw["modalities"][modality][source] |= options
    return CohortConfig.model_validate(raw)


@pytest.fixture
def packed(root: Path, tmp_path: Path) -> Path:
    return pack(cohort(root), tmp_path / "store", progress=False)


def test_round_trip(packed: Path, root: Path) -> None:
    store = Store.open(packed)
    store.verify()
    patients = store.patients
    assert list(patients["patient_id"]) == ["p1", "p2", "p3", "p4", "p5", "y", "z"]
    assert list(patients["cohort"]) == ["A", "B", "A", "B", "B", "", ""]
    assert list(patients["excluded"]) == [False, True, False, False, False, False, False]
    np.testing.assert_array_equal(patients["os_time_days"], [20, 30, 10, np.nan, 5, np.nan, np.nan])
    np.testing.assert_array_equal(patients["os_event"], [0, 1, 1, np.nan, 0, np.nan, np.nan])
    assert store.modalities == {"image": ["slides", "tiles"], "rna": ["genes"]}
    assert store.endpoints == ["os"]
    np.testing.assert_array_equal(store.observed(), [[0, 0], [0, 1], [1, 1], [1, 0], [0, 0], [1, 0], [0, 1]])
    expected = {
        ("slides", "p3"): [[1], [3]],
        ("slides", "p4"): [[2]],
        ("tiles", "p4"): [[1, 2, 3], [4, 5, 6]],
        ("tiles", "y"): np.asarray([[7, 8, 9.1]]).astype(np.float16),
        ("genes", "p2"): [[1, 5]],
        ("genes", "p3"): [[2, np.nan]],
        ("genes", "z"): [[3, 7]],
    }
    for source in store.sources:
        values, index = store.values(source), store.index(source)
        assert index.dtype == np.int64
        for patient, (start, length) in zip(patients["patient_id"], index, strict=True):
            want = expected.get((source, patient), np.zeros((0, values.shape[1])))
            np.testing.assert_array_equal(values[start : start + length], want)


def test_manifest(packed: Path, root: Path) -> None:
    sources = Store.open(packed).sources
    genes, tiles = sources["genes"], sources["tiles"]
    assert (genes.modality, genes.kind, genes.dim, genes.rows, genes.patients) == ("rna", "vector", 2, 3, 3)
    assert (genes.dtype, genes.feature_names, genes.groups) == ("float32", ["g1", "g2"], [0, 1])
    assert genes.notes == ["1 of 4 rows have no number at all: counted as missing"]
    assert (tiles.kind, tiles.dtype, tiles.rows, tiles.max_rows) == ("sequence", "float16", 3, 2)
    assert tiles.notes == ["p1.h5 is empty (no tokens): counted as missing", NO_ENCODER]
    assert [item.path for item in tiles.files] == ["tiles/p1.h5", "tiles/p4.h5", "tiles/y.h5"]
    manifest = json.loads((packed / "manifest.json").read_text())
    assert manifest["config"]["modalities"]["rna"]["genes"]["group_size"] == 1
    assert manifest["clinical"]["file"]["path"] == "clinical.csv"


def test_values_are_a_read_only_map(packed: Path) -> None:
    values = Store.open(packed).values("genes")
    assert isinstance(values, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        values[0, 0] = 1


def test_large_sequence_numbers_are_kept_in_float32(root: Path, tmp_path: Path) -> None:
    write_h5(root / "tiles" / "p2.h5", [[1, 2, 1e7]])
    store = Store.open(pack(cohort(root), tmp_path / "store", progress=False))
    assert store.sources["tiles"].dtype == "float32"
    assert float(np.max(store.values("tiles"))) == 1e7
    assert store.sources["tiles"].notes == ["p1.h5 is empty (no tokens): counted as missing", NO_ENCODER]
    store.verify()


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {p.name: (p.stat().st_mtime_ns, p.stat().st_ino) for p in sorted(folder.iterdir())}


def watch_reading(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    read: list[str] = []
    real = packing.read_source

    def watched(name: str, *rest: Any) -> Any:
        read.append(name)
        return real(name, *rest)

    monkeypatch.setattr(packing, "read_source", watched)
    return read


def test_packing_again_writes_nothing(packed: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(packed)
    read = watch_reading(monkeypatch)
    pack(cohort(root), packed, progress=False)
    assert snapshot(packed) == before
    assert read == []


def test_only_changed_sources_are_read_again(
    packed: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = watch_reading(monkeypatch)
    write_h5(root / "tiles" / "p1.h5", [[1, 1, 1]])
    pack(cohort(root), packed, progress=False)
    assert read == ["tiles"]
    pack(with_source(root, "rna", "genes", group_size=2), packed, progress=False)
    assert read == ["tiles", "genes"]
    store = Store.open(packed)
    store.verify()
    assert store.sources["genes"].groups == [0, 0]
    assert bool(store.observed()[0, 0])


def test_an_interrupted_packing_resumes(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pack(cohort(root), tmp_path / "whole", progress=False)
    real = packing.read_source

    def dies(name: str, *rest: Any) -> Any:
        if name == "genes":
            raise KeyboardInterrupt
        return real(name, *rest)

    out = tmp_path / "store"
    with monkeypatch.context() as patch:
        patch.setattr(packing, "read_source", dies)
        with pytest.raises(KeyboardInterrupt):
            pack(cohort(root), out, progress=False)
    with pytest.raises(InputError, match="not a store"):
        Store.open(out)
    read = watch_reading(monkeypatch)
    pack(cohort(root), out, progress=False)
    assert read == ["genes"]
    for name in ("patients.parquet", "genes.npy", "tiles.npy", "tiles.index.npy", "slides.npy"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_a_failed_repacking_leaves_no_store(packed: Path, root: Path) -> None:
    write_h5(root / "tiles" / "p1.h5", [[np.nan, 1, 1]])
    with pytest.raises(InputError, match=r"p1\.h5: token 0 holds NaN"):
        pack(cohort(root), packed, progress=False)
    with pytest.raises(InputError, match="not a store"):
        Store.open(packed)
    assert not [p for p in packed.iterdir() if p.name.startswith(".")]


def test_a_lost_array_is_written_again(packed: Path, root: Path) -> None:
    before = (packed / "genes.npy").read_bytes()
    (packed / "genes.npy").write_bytes(before[:-4])
    (packed / "tiles.index.npy").unlink()
    pack(cohort(root), packed, progress=False)
    assert (packed / "genes.npy").read_bytes() == before
    Store.open(packed).verify()


def test_fresh_store_is_not_stale(packed: Path, root: Path) -> None:
    assert Store.open(packed).stale(cohort(root)) == []


def test_touched_file_of_same_content_is_not_stale(packed: Path, root: Path) -> None:
    os.utime(root / "genes.parquet", ns=(1, 1))
    assert Store.open(packed).stale(cohort(root)) == []


def test_stale_names_what_changed(packed: Path, root: Path) -> None:
    store = Store.open(packed)
    write_h5(root / "tiles" / "new.h5", [[1, 2, 3]])
    (root / "tiles" / "y.h5").unlink()
    (root / "slides.csv").write_text("patient_id,f\np3,9\n")
    (root / "clinical.csv").write_text((root / "clinical.csv").read_text().replace("10,1", "10,0"))
    assert sorted(store.stale(cohort(root))) == [
        "clinical: clinical.csv changed",
        "source slides: slides.csv changed",
        "source tiles: tiles/new.h5 is new",
        "source tiles: tiles/y.h5 is missing",
    ]


def test_stale_on_options_and_missing_files(packed: Path, root: Path) -> None:
    store = Store.open(packed)
    assert store.stale(with_source(root, "image", "tiles", max_tokens=1)) == [
        "source tiles: its options changed"
    ]
    assert store.stale(cohort(root, name="other")) == [
        "the cohort's name is 'other', the store holds 'made-up'"
    ]
    fewer = cohort(root).model_dump(mode="json")["modalities"]["rna"]
    assert store.stale(cohort(root, modalities={"rna": fewer})) == ["the modalities or their sources changed"]
    (root / "genes.parquet").unlink()
    (reason,) = store.stale(cohort(root))
    assert reason.startswith("source genes:")
    assert "no such file" in reason


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("name", ["genes.npy", "tiles.npy", "tiles.index.npy"])
def test_verify_finds_damage(packed: Path, name: str) -> None:
    damage(packed / name)
    store = Store.open(packed)
    with pytest.raises(InputError, match=re.escape(name) + ".*checksum"):
        store.verify()


def test_open_faults(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a store"):
        Store.open(tmp_path / "none")
    store = Store.open(packed)
    with pytest.raises(InputError, match="no source 'mri'; it has slides, tiles, genes"):
        store.values("mri")
    damage(packed / "patients.parquet")
    with pytest.raises(InputError, match=r"patients\.parquet: its checksum"):
        Store.open(packed)
    (packed / "patients.parquet").unlink()
    with pytest.raises(InputError, match=r"patients\.parquet: missing"):
        Store.open(packed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "store format 99, this version reads 4"),
        ({"sources": {"genes": {"kind": "vector"}}}, "damaged"),
    ],
)
def test_manifest_faults(packed: Path, change: dict[str, Any], message: str) -> None:
    path = packed / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        Store.open(packed)
    path.write_text("[1]")
    with pytest.raises(InputError, match="not a store's manifest"):
        Store.open(packed)
    path.write_text("{")
    with pytest.raises(InputError, match="not a JSON file"):
        Store.open(packed)


def test_truncated_arrays_are_refused(packed: Path) -> None:
    for name in ("genes.npy", "genes.index.npy"):
        (packed / name).write_bytes((packed / name).read_bytes()[:140])
    store = Store.open(packed)
    with pytest.raises(InputError, match=r"damaged store: genes\.npy: its checksum"):
        store.values("genes")
    with pytest.raises(InputError, match=r"damaged store: genes\.index\.npy: its checksum"):
        store.index("genes")


def test_rows_in_another_order_are_no_store_of_ours(packed: Path) -> None:
    store = Store.open(packed)
    before = np.array(store.values("tiles"))
    times = (packed / "tiles.npy").stat()
    values = np.load(packed / "tiles.npy", mmap_mode="r+")
    values[:] = before[::-1]
    values.flush()
    os.utime(packed / "tiles.npy", ns=(times.st_atime_ns, times.st_mtime_ns))  # a copy that keeps the time
    for opened in (store, Store.open(packed)):
        with pytest.raises(InputError, match=r"damaged store: tiles\.npy: its checksum is not"):
            opened.values("tiles")


@pytest.mark.parametrize("change", ["dim", "groups", "modalities", "endpoints", "no digest", "no digests"])
def test_an_edited_manifest_is_refused(packed: Path, change: str) -> None:
    path = packed / "manifest.json"
    manifest = json.loads(path.read_text())
    if change == "dim":
        manifest["sources"]["genes"]["dim"] = 3
    elif change == "groups":
        manifest["sources"]["genes"]["groups"] = [0, 0]
    elif change == "modalities":
        manifest["modalities"]["rna"], manifest["modalities"]["image"] = ["tiles", "slides"], ["genes"]
    elif change == "endpoints":
        manifest["endpoints"] = []
    elif change == "no digest":
        del manifest["sha256"]["tiles.npy"]
    else:
        manifest["sha256"] = {}
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="damaged store: its manifest is not as it was written"):
        Store.open(packed)


def test_damaged_sources_are_packed_again(packed: Path, root: Path) -> None:
    before = np.array(Store.open(packed).values("tiles"))
    damage(packed / "tiles.npy")
    damage(packed / "slides.rows.parquet")
    damage(packed / "genes.index.npy")
    store = Store.open(pack(cohort(root), packed, progress=False))
    store.verify()
    assert np.array_equal(store.values("tiles"), before)


@pytest.mark.parametrize(
    "index", [[[0, 1], [1, 2]], [[0, 4], [0, -1]], [[2, 2], [0, 1]], [[-1, 1], [0, 2]], [[0, 3]]]
)
def test_an_index_stays_within_its_rows(index: list[list[int]]) -> None:
    wrong = index != [[0, 1], [1, 2]]
    assert _points_to(np.array(index), 2, 3) is not wrong
    assert not _points_to(np.array(index, dtype=np.float64), len(index), 3)


def test_out_must_be_a_folder(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        pack(cohort(root), tmp_path / "file", progress=False)


@pytest.mark.parametrize("rows", [[], [2], [1, 0, 3]])
def test_array_writer_writes_what_numpy_reads(tmp_path: Path, rows: list[int]) -> None:
    parts = [np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32) for n in rows]
    with ArrayWriter(tmp_path / "a.npy", 3, "float32") as writer:
        for part in parts:
            writer.append(part)
    found = np.load(tmp_path / "a.npy", allow_pickle=False)
    np.testing.assert_array_equal(found, np.concatenate([np.zeros((0, 3), np.float32), *parts]))
    assert (tmp_path / "a.npy").stat().st_size == HEADER_BYTES + 12 * sum(rows)


def test_array_writer_refuses_what_float16_can_not_hold(tmp_path: Path) -> None:
    with ArrayWriter(tmp_path / "a.npy", 1, "float16") as writer:
        writer.append(np.array([[60000.0]], np.float32))
        with pytest.raises(TooLargeForFloat16):
            writer.append(np.array([[-60001.0]], np.float32))
        with pytest.raises(ValueError, match=r"expected rows \(n, 1\)"):
            writer.append(np.zeros((1, 2), np.float32))


@pytest.mark.tcga
@pytest.mark.skipif(not TCGA.is_dir(), reason="the TCGA evaluation set is not beside the checkout")
def test_real_cohort_counts_agree_with_its_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIME_TCGA", str(TCGA.resolve()))
    config = load_cohort(CHECKOUT / "configs" / "tcga.cohort.yaml")
    modalities = {name: sources for name, sources in config.modalities.items() if name != "report"}
    store = Store.open(pack(config.model_copy(update={"modalities": modalities}), tmp_path, progress=False))
    have = {name: store.index(name)[:, 1] > 0 for name in store.sources}
    types = store.patients["cohort"].to_numpy()
    rows = re.findall(r"^\|([A-Z]{2,4})\|([\d|]+)\|$", (TCGA / "README.md").read_text(), re.MULTILINE)
    assert len(rows) == 33
    for kind, cells in rows:
        listed = [int(cell) for cell in cells.split("|")]
        here = types == kind
        sources = ("hif", "xception", "nuclei", "reads", "genes", "signatures")
        assert [int(here.sum()), *(int((here & have[s]).sum()) for s in sources)] == listed[:7], kind


def test_a_source_without_a_number_is_refused(root: Path, tmp_path: Path) -> None:
    table = pd.read_parquet(root / "genes.parquet")
    table[["g1", "g2"]] = np.nan
    table.to_parquet(root / "genes.parquet", index=False)
    with pytest.raises(InputError, match=r"source genes: .*genes.parquet: no column holds a number"):
        pack(cohort(root), tmp_path / "store", progress=False)
    assert not (tmp_path / "store" / "manifest.json").exists()
    assert not (tmp_path / "store" / "genes.json").exists()


def test_an_index_is_written_in_the_same_bytes_by_every_version(tmp_path: Path) -> None:
    """Networks and embeddings know their data by this file's hash: another layout makes all of them anew."""
    patients = pd.DataFrame({"patient_id": ["a", "b", "c"]})
    rows = pd.DataFrame({"patient_id": ["a", "c"], "start": [0, 2], "length": [2, 3]})
    write_npy(tmp_path / "index.npy", patient_index(patients, rows))
    content = (tmp_path / "index.npy").read_bytes()
    assert b"'<i8', 'fortran_order': True, 'shape': (3, 2)" in content
    assert content.endswith(np.array([0, 0, 2, 2, 0, 3], dtype="<i8").tobytes())
