"""AnnData and MuData files as sources: the numbers of the same table, and one line for each fault."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData, set_options
from scipy import sparse

from prime.cohort.readers import matrix_rows, read_source
from prime.cohort.readers.annotated import AnnDataSource
from prime.cohort.readers.vector import VectorSource
from prime.cohort.source import SourceRows
from prime.errors import InputError

GENES = ["TP53", "KRAS", "EGFR", "MYC", "RB1"]


def values(patients: int = 12, seed: int = 0) -> np.ndarray:
    """Numbers, half of them zero, as float32 holds them."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(patients, len(GENES))).astype(np.float32)
    return np.where(rng.random(found.shape) < 0.5, 0, found)


def made(x: Any, names: list[str] | None = None, **more: Any) -> AnnData:
    count = x.shape[0]
    obs = pd.DataFrame(more.pop("obs", {}), index=names or [f"P{i:02d}" for i in range(count)])
    return AnnData(x, obs, pd.DataFrame(index=GENES[: x.shape[1]]), **more)


def read(path: Path, **options: Any) -> tuple[SourceRows, dict[str, np.ndarray]]:
    config = AnnDataSource.model_validate({"reader": "anndata", "path": path.name, **options})
    source = read_source("x", config, path.parent)
    return source, dict(source.patients)


def as_table(table: pd.DataFrame, folder: Path, **options: Any) -> tuple[SourceRows, dict[str, np.ndarray]]:
    """The same numbers through the reader of tables; `table` has patient_id."""
    table.to_parquet(folder / "oracle.parquet", index=False)
    config = VectorSource.model_validate({"reader": "vector", "path": "oracle.parquet", **options})
    source = read_source("x", config, folder)
    return source, dict(source.patients)


def require_same(
    found: tuple[SourceRows, dict[str, np.ndarray]], expected: tuple[SourceRows, dict[str, np.ndarray]]
) -> None:
    assert found[0].feature_names == expected[0].feature_names
    assert found[0].empty == expected[0].empty
    assert (found[0].kind, found[0].dim) == (expected[0].kind, expected[0].dim)
    np.testing.assert_array_equal(found[0].groups, expected[0].groups)
    assert list(found[1]) == list(expected[1])
    for patient, rows in expected[1].items():
        assert found[1][patient].dtype == np.float32
        assert found[1][patient].tobytes() == rows.tobytes()


STORED: dict[str, Callable[[np.ndarray], Any]] = {
    "dense": np.asarray,
    "float64": lambda x: x.astype(np.float64),
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
}


@pytest.mark.parametrize("chunk", [1, 7, 2**22])
@pytest.mark.parametrize("instances", ["mean", "tokens"])
@pytest.mark.parametrize("stored", STORED)
def test_it_reads_what_a_table_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: str, instances: str, chunk: int
) -> None:
    """Samples of patients in no order, several a patient, a feature without a number, a row without one."""
    x = values(20)
    x[3], x[:, 2], x[5, 0] = np.nan, np.nan, np.nan
    owners = [f"{i:05d}" for i in np.random.default_rng(1).integers(0, 9, 20)]
    data = made(STORED[stored](x), [f"sample{i}" for i in range(20)], obs={"case": owners})
    data.write_h5ad(tmp_path / "x.h5ad")
    table = pd.DataFrame(x, columns=GENES)
    table.insert(0, "patient_id", owners)
    expected = as_table(table, tmp_path, instances=instances, group_size=2)
    monkeypatch.setattr(matrix_rows, "CHUNK_VALUES", chunk)
    found = read(tmp_path / "x.h5ad", patient_id="case", instances=instances, group_size=2)
    require_same(found, expected)
    assert found[0].empty == ["EGFR"]
    assert "1 of 20 rows have no number at all: counted as missing" in found[0].notes
    assert found[0].detected == "h5ad X: 20 rows, 4 features"


def test_names_of_rows_stay_text(tmp_path: Path) -> None:
    names = ["00012", "12", "1e5", "P 1"]
    made(values(4), names).write_h5ad(tmp_path / "x.h5ad")
    assert sorted(read(tmp_path / "x.h5ad")[1]) == sorted(names)


def test_a_modality_a_layer_and_obsm_are_named(tmp_path: Path) -> None:
    rna, image = made(values(6)), made(values(4, 1)[:, :3], [f"P{i:02d}" for i in range(4)])
    image.var_names = ["a", "b", "c"]
    rna.layers["counts"] = sparse.csr_matrix(values(6, 2))
    rna.obsm["X_pca"] = values(6, 3)[:, :2]
    rna.obsm["scores"] = pd.DataFrame(values(6, 4)[:, :2], rna.obs_names, ["up", "down"])
    with set_options(pull_on_update=False):
        MuData({"rna": rna, "image": image}).write(tmp_path / "x.h5mu")
    for options, names, expected in (
        ({"modality": "image"}, ["a", "b", "c"], image.X),
        ({"modality": "rna"}, GENES, rna.X),
        ({"modality": "rna", "layer": "counts"}, GENES, values(6, 2)),
        ({"modality": "rna", "obsm": "X_pca"}, ["X_pca_0", "X_pca_1"], rna.obsm["X_pca"]),
        ({"modality": "rna", "obsm": "scores"}, ["up", "down"], values(6, 4)[:, :2]),
        ({"modality": "rna", "ignore": ["KRAS"]}, [n for n in GENES if n != "KRAS"], np.delete(rna.X, 1, 1)),
    ):
        source, found = read(tmp_path / "x.h5mu", **options)
        assert source.feature_names == names
        np.testing.assert_array_equal(np.concatenate(list(found.values())), expected)


def test_groups_are_a_column_of_var_and_attributes_are_in_uns(tmp_path: Path) -> None:
    data = made(values())
    data.var["pathway"] = pd.Categorical(["p", "q", "p", "q", "r"])
    data.uns |= {"encoder": "UNI", "trained_on": "TCGA", "colours": ["red"]}
    data.write_h5ad(tmp_path / "x.h5ad")
    source, _ = read(tmp_path / "x.h5ad", groups="pathway")
    assert source.groups is not None
    assert source.groups.tolist() == [0, 1, 0, 1, 2]
    assert source.attributes == {"encoder": "UNI", "trained_on": "TCGA"}


def test_three_dimensions_are_rows_of_patients(tmp_path: Path) -> None:
    tokens = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float16)
    tokens[0, 1:], tokens[2] = np.nan, np.nan
    data = made(values(4))
    data.obsm["tokens"] = tokens
    data.write_h5ad(tmp_path / "x.h5ad")
    source, found = read(tmp_path / "x.h5ad", obsm="tokens")
    assert (source.kind, source.dim, source.feature_names, source.groups) == ("sequence", 2, None, None)
    assert {patient: len(rows) for patient, rows in found.items()} == {"P00": 1, "P01": 3, "P03": 3}
    np.testing.assert_array_equal(found["P03"], tokens[3].astype(np.float32))
    assert source.notes == ["1 patients have no token: counted as missing"]
    thinned, found = read(tmp_path / "x.h5ad", obsm="tokens", max_tokens=2)
    np.testing.assert_array_equal(found["P01"], tokens[1, [0, 2]].astype(np.float32))
    assert "2 of 3 patients had more than 2 tokens" in thinned.notes[0]
    source, found = read(tmp_path / "x.h5ad", obsm="tokens", kind="vector")
    assert (source.kind, source.feature_names) == ("vector", ["tokens_0", "tokens_1"])
    np.testing.assert_allclose(found["P01"][0], tokens[1].astype(np.float64).mean(axis=0), rtol=1e-6)


def test_cells_or_tiles_of_a_patient_are_tokens(tmp_path: Path) -> None:
    x = values(9)
    owners = ["b", "a", "b", "a", "c", "b", "b", "c", "a"]
    made(sparse.csr_matrix(x), [f"tile{i}" for i in range(9)], obs={"case": owners}).write_h5ad(
        tmp_path / "x.h5ad"
    )
    source, found = read(tmp_path / "x.h5ad", patient_id="case", kind="sequence", max_tokens=3)
    assert (source.kind, source.dim, list(found)) == ("sequence", 5, ["a", "b", "c"])
    np.testing.assert_array_equal(found["a"], x[[1, 3, 8]])
    np.testing.assert_array_equal(found["b"], x[[0, 5, 6]])  # four, thinned evenly


def test_normal_tissue_is_left_out(tmp_path: Path) -> None:
    names = ["TCGA-AA-0001-01A", "TCGA-AA-0001-11A", "TCGA-AA-0002-06A"]
    x = values(3)
    data = made(x, names, obs={"case": [name[:12] for name in names]})
    data.write_h5ad(tmp_path / "x.h5ad")
    _, found = read(tmp_path / "x.h5ad", patient_id="case")
    np.testing.assert_array_equal(found["TCGA-AA-0001"], x[:1])
    assert set(found) == {"TCGA-AA-0001", "TCGA-AA-0002"}
    _, found = read(tmp_path / "x.h5ad", patient_id="case", samples=["01"], sample_id="obs_names")
    assert set(found) == {"TCGA-AA-0001"}


def test_a_sparse_matrix_is_never_dense_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = sparse.random(2000, 4000, 0.001, "csr", np.float32, rng=np.random.default_rng(0))
    data = AnnData(x, pd.DataFrame(index=[f"p{i:04d}" for i in range(2000)]))
    data.write_h5ad(tmp_path / "x.h5ad")
    monkeypatch.setattr(matrix_rows, "CHUNK_VALUES", 2**18)
    tracemalloc.start()
    config = AnnDataSource(reader="anndata", path="x.h5ad")
    total = sum(float(rows.sum()) for _, rows in read_source("x", config, tmp_path).patients)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2000 * 4000  # bytes; dense it is four times that
    assert total == pytest.approx(x.sum(dtype=np.float64), rel=1e-5)


# Faults -----------------------------------------------------------------------------------------------------


def change(path: Path, name: str, value: Any) -> None:
    with h5py.File(path, "a") as file:
        del file[name]
        if value is not None:
            file[name] = value


def infinite(path: Path) -> None:
    x = values(4)
    x[2, 1] = np.inf
    made(x).write_h5ad(path)


def sparse_outside(path: Path) -> None:
    made(sparse.csr_matrix(values(4))).write_h5ad(path)
    with h5py.File(path, "a") as file:
        file["X/indices"][0] = 99


def sparse_torn(path: Path) -> None:
    made(sparse.csr_matrix(values(4))).write_h5ad(path)
    change(path, "X/indptr", np.array([0, 9, 3, 4, 5]))


def truncated(path: Path) -> None:
    made(values(200)).write_h5ad(path)
    path.write_bytes(path.read_bytes()[:3000])


def of_text(path: Path) -> None:
    path.write_text("patient_id,TP53\nP1,1\n", encoding="utf-8")


def another_h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["features"] = np.ones((2, 3))


def nameless(path: Path) -> None:
    made(values(3), ["a", "", "c"]).write_h5ad(path)


def twice(path: Path) -> None:
    data = made(values(3))
    data.write_h5ad(path)
    with h5py.File(path, "a") as file:
        file["var/_index"][1] = "TP53"


def linked(path: Path) -> None:
    made(values(3)).write_h5ad(path.with_name("other.h5ad"))
    made(values(3)).write_h5ad(path)
    change(path, "X", h5py.ExternalLink("other.h5ad", "X"))


def linked_inside(path: Path) -> None:
    made(values(3)).write_h5ad(path.with_name("other.h5ad"))
    made(sparse.csr_matrix(values(3))).write_h5ad(path)
    change(path, "X/data", h5py.ExternalLink("other.h5ad", "X"))


def virtual(path: Path) -> None:
    made(values(3)).write_h5ad(path.with_name("other.h5ad"))
    made(values(3)).write_h5ad(path)
    layout = h5py.VirtualLayout((3, 5), np.float32)
    layout[:] = h5py.VirtualSource(path.with_name("other.h5ad"), "X", (3, 5))
    with h5py.File(path, "a") as file:
        del file["X"]
        file.create_virtual_dataset("X", layout)


def declared(path: Path) -> None:
    made(values(3)).write_h5ad(path)
    with h5py.File(path, "a") as file:
        del file["X"]
        file.create_dataset("X", (3, 2**30), "f4", chunks=(1, 2**20))


def plain(path: Path) -> None:
    made(values(3)).write_h5ad(path)


def old(path: Path) -> None:
    made(values(3)).write_h5ad(path)
    change(path, "obs", np.array([(b"P1", 1.0)], dtype=[("index", "S4"), ("x", "f8")]))


FAULTS: list[tuple[Callable[[Path], object], dict[str, Any], str]] = [
    (lambda path: None, {}, "no such file"),
    (truncated, {}, "not a whole HDF5 file"),
    (of_text, {}, "not a whole HDF5 file"),
    (another_h5, {}, "no AnnData or MuData; it holds features"),
    (lambda path: made(np.zeros((0, 3))).write_h5ad(path), {}, "it has no row"),
    (lambda path: made(np.zeros((3, 0))).write_h5ad(path), {}, "X has the shape (3, 0)"),
    (lambda path: made(np.full((3, 2), np.nan)).write_h5ad(path), {}, "no column holds a number"),
    (infinite, {}, "'KRAS' of row 3 (patient P02) is inf"),
    (nameless, {}, "row 2 has no obs_names; give every row a patient id"),
    (twice, {}, "var_names: 'TP53' occurs twice"),
    (sparse_outside, {}, "a place outside its shape"),
    (sparse_torn, {}, "parts do not fit"),
    (linked, {}, "is a link to another file"),
    (linked_inside, {}, "X/data is a link; only what is in the file is read"),
    (virtual, {}, "lies in another file"),
    (declared, {}, "declares 12,884,901,888 bytes and stores 0"),
    (old, {}, "obs is no table of names"),
    (plain, {"layer": "counts"}, "no layers/counts; layers has nothing"),
    (plain, {"patient_id": "case"}, "obs has no column 'case'"),
    (plain, {"modality": "rna"}, "take modality out"),
    (plain, {"ignore": ["XX"]}, "ignore: X has no feature XX"),
    (plain, {"groups": "way"}, "var has no column 'way'"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "options", "said"), FAULTS)
def test_a_fault_is_one_line_that_names_the_file(
    tmp_path: Path, make: Callable[[Path], object], options: dict[str, Any], said: str
) -> None:
    path = tmp_path / "x.h5ad"
    make(path)
    with pytest.raises(InputError) as error:
        read(path, **options)
    text = str(error.value)
    assert said in text
    assert text.startswith(f"source x: {path}: ")
    assert len(text.splitlines()) == 1
    assert len(text) < 500 + len(str(path))


def test_a_modality_must_be_chosen(tmp_path: Path) -> None:
    with set_options(pull_on_update=False):
        rna, image = made(values(3)), made(values(3)[:, :2])
        image.var_names = ["a", "b"]
        MuData({"rna": rna, "image": image}).write(tmp_path / "x.h5mu")
    with pytest.raises(InputError, match="it holds image, rna; name one with modality:"):
        read(tmp_path / "x.h5mu")
    with pytest.raises(InputError, match="no modality 'dna'; it holds image, rna"):
        read(tmp_path / "x.h5mu", modality="dna")
    with pytest.raises(ValueError, match="layer and obsm: name one of them"):
        AnnDataSource(reader="anndata", path="x", layer="a", obsm="b")


def test_it_says_which_extra_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(values(3)).write_h5ad(tmp_path / "x.h5ad")
    monkeypatch.setattr("prime.extras._is_installed", lambda name: name != "anndata")
    with pytest.raises(
        InputError, match=r"needs the extra anndata: pip install 'prime-prognosis\[anndata\]'"
    ):
        read(tmp_path / "x.h5ad")
