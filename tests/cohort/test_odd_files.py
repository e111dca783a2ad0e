"""Files that reach for others, declare what they do not hold, or hold numbers in a way that is no array."""

import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from prime.cohort.readers.tokens import TokenSource, read_tokens
from prime.cohort.tables import read_table
from prime.errors import InputError

ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)


def read(folder: Path, reader: str = "h5", **options: Any) -> dict[str, Any]:
    source = read_tokens(TokenSource(reader=reader, path=".", **options), folder, "tiles")
    return dict(source.patients)


def refused(folder: Path, match: str, reader: str = "h5", **options: Any) -> None:
    """One clear error that names the file, soon, and without memory."""
    tracemalloc.start()
    started = time.perf_counter()
    with pytest.raises(InputError, match=match) as error:
        read(folder, reader, **options)
    assert tracemalloc.get_traced_memory()[1] < 2**27
    tracemalloc.stop()
    assert time.perf_counter() - started < 20
    assert str(folder) in str(error.value)
    assert "secret" not in str(error.value)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Another file, whose bytes must not come into a cohort."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "raw").write_bytes(b"secret" * 100)
    with h5py.File(folder / "other.h5", "w") as file:
        file["features"] = ROWS + 9
        file["group/features"] = ROWS + 9
    return folder


def external_storage(file: h5py.File, outside: Path) -> None:
    file.create_dataset("features", (2, 3), "f4", external=[(str(outside / "raw"), 0, 24)])


def external_link(file: h5py.File, outside: Path) -> None:
    file["features"] = h5py.ExternalLink(str(outside / "other.h5"), "features")


def soft_to_external(file: h5py.File, outside: Path) -> None:
    file["way"] = h5py.ExternalLink(str(outside / "other.h5"), "/")
    file["features"] = h5py.SoftLink("/way/features")


def soft_through_group(file: h5py.File, outside: Path) -> None:
    file["a/way"] = h5py.ExternalLink(str(outside / "other.h5"), "group")
    file["b/c"] = h5py.SoftLink("/a")
    file["features"] = h5py.SoftLink("b/c/way/features")


def virtual(file: h5py.File, outside: Path) -> None:
    layout = h5py.VirtualLayout((2, 3), "f4")
    layout[:] = h5py.VirtualSource(str(outside / "other.h5"), "features", (2, 3))
    file.create_virtual_dataset("features", layout)


def flags_outside(file: h5py.File, outside: Path) -> None:
    file["features"] = ROWS
    file.create_dataset("augmented", (2,), "i1", external=[(str(outside / "raw"), 0, 2)])


def mask_outside(file: h5py.File, outside: Path) -> None:
    file["features"] = ROWS
    file["mask"] = h5py.ExternalLink(str(outside / "other.h5"), "features")


REACHING = (
    external_storage, external_link, soft_to_external, soft_through_group, virtual, flags_outside,
    mask_outside,
)  # fmt: skip


@pytest.mark.parametrize("write", REACHING)
def test_nothing_of_another_file_is_read(
    tmp_path: Path, outside: Path, write: Callable[[h5py.File, Path], None]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with h5py.File(folder / "p1.h5", "w") as file:
        write(file, outside)
    refused(folder, "another file")


def test_links_within_the_file_are_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "p1.h5", "w") as file:
        file["deep/er/features"] = ROWS
        file["deep/soft"] = h5py.SoftLink("er/features")
        file["features"] = h5py.SoftLink("/deep/soft")
    assert np.array_equal(read(tmp_path)["p1"], ROWS)
    assert np.array_equal(read(tmp_path, dataset="deep/soft")["p1"], ROWS)


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "p1.h5", "w") as file:
        file["features"] = h5py.SoftLink("/b")
        file["b"] = h5py.SoftLink("/features")
    refused(tmp_path, "links after each other")


def huge(file: h5py.File) -> None:
    file.create_dataset("features", (10**12, 8), "f4", chunks=(1024, 8), fillvalue=1)


def huge_compressed(file: h5py.File) -> None:
    data = file.create_dataset("features", (2**20, 4096), "f4", chunks=(2**16, 1024), compression="gzip")
    data[:2, :3] = ROWS


ODD: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "huge": (huge, "declares 32,000,000,000,000 bytes"),
    "compressed": (huge_compressed, "declares 17,179,869,184 bytes"),
    "scalar": (lambda file: file.create_dataset("features", data=1.0), "a single value"),
    "nothing": (lambda file: file.create_dataset("features", data=h5py.Empty("f4")), "or nothing"),
    "text": (lambda file: file.create_dataset("features", data=["a", "b"]), "expected numbers"),
    "ragged": (
        lambda file: file.create_dataset("features", (2,), h5py.vlen_dtype(np.float32)), "expected numbers",
    ),
    "compound": (lambda file: file.create_dataset("features", (2,), np.dtype("f4,f4")), "expected numbers"),
    "complex": (lambda file: file.create_dataset("features", data=ROWS * 1j), "expected numbers"),
    "reference": (lambda file: file.create_dataset("features", (1,), h5py.ref_dtype), "expected numbers"),
    "group": (lambda file: file.create_group("features"), "no dataset"),
    "type": (lambda file: file.__setitem__("features", np.dtype("f4")), "no dataset"),
    "4 axes": (lambda file: file.create_dataset("features", data=ROWS[None, None]), "shape"),
    "flags": (
        lambda file: (file.create_dataset("features", data=ROWS), file.create_dataset("augmented", data=1)),
        "a single value",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_odd_datasets_are_one_clear_error(tmp_path: Path, kind: str) -> None:
    write, message = ODD[kind]
    with h5py.File(tmp_path / "p1.h5", "w") as file:
        write(file)
    refused(tmp_path, message)


def test_attributes_are_no_fault(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "p1.h5", "w") as file:
        file["features"] = ROWS
        file["features"].attrs["encoder"] = np.bytes_(b"\xff\xfe")
        file.attrs["weights"] = "w" * 60_000
    source = read_tokens(TokenSource(reader="h5", path="."), tmp_path, "tiles")
    assert len(source.attributes["weights"]) <= 10_000


def test_hidden_files_are_none(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "p1.h5", "w") as file:
        file["features"] = ROWS
    (tmp_path / "._p1.h5").write_bytes(b"\0\x05\x16\x07 of macOS")
    (tmp_path / ".p2.0a0a0a-1-00000000.h5").write_bytes(b"half")
    assert list(read(tmp_path)) == ["p1"]


def test_a_file_that_is_being_written_says_so(tmp_path: Path) -> None:
    code = (
        "import h5py, sys; f = h5py.File(sys.argv[1], 'w'); f['features'] = [[1.0, 2.0]]; f.flush()\n"
        "print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "p1.h5")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        refused(tmp_path, r"p1\.h5: is still open for writing; wait")
        other.kill()


@pytest.mark.parametrize("pattern", ["/abs/*", "", "**a", "[", "../*"])
def test_a_pattern_that_is_none_is_one_clear_error(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(InputError, match=r"file_pattern|matches"):
        read(tmp_path, file_pattern=pattern)


def twins(n: int) -> torch.Tensor:
    return torch.from_numpy(ROWS).repeat(n, 1)


PLAIN: dict[str, torch.Tensor] = {
    "leaf": torch.from_numpy(ROWS.copy()).requires_grad_(),
    "parameter": torch.nn.Parameter(torch.from_numpy(ROWS.copy())),
    "negative": torch._neg_view(torch.from_numpy(-ROWS)),
    "transposed": torch.from_numpy(ROWS.T.copy()).T,
    "bfloat16": torch.from_numpy(ROWS).bfloat16(),
    "half": torch.from_numpy(ROWS).half(),
    "double": torch.from_numpy(ROWS).double(),
    "part": torch.from_numpy(np.concatenate([ROWS, ROWS]))[:2],
}


@pytest.mark.parametrize("kind", PLAIN)
def test_tensors_of_every_plain_kind_are_read(tmp_path: Path, kind: str) -> None:
    torch.save(PLAIN[kind], tmp_path / "p1.pt")
    assert np.array_equal(read(tmp_path, "pt")["p1"], ROWS)


def nested() -> torch.Tensor:
    return torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(1, 3)])


@pytest.mark.filterwarnings("ignore:.*[Nn]ested.*:UserWarning", "ignore:.*Sparse.*:UserWarning")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.from_numpy(ROWS).to_sparse(), "sparse|plain tensor file"),
        (lambda: torch.from_numpy(ROWS).to_sparse_csr(), "sparse|plain tensor file"),
        (lambda: torch.ones(2, 3, device="meta"), "meta|plain tensor file"),
        (nested, "nested|plain tensor file"),
        (lambda: torch.zeros(1).expand(10**7, 10**5), "more numbers than are stored"),
        (lambda: torch.zeros(3).as_strided((2, 3), (0, 1)), "more numbers than are stored"),
        (lambda: torch.ones(2, 3, dtype=torch.complex64), "floating-point"),
        (lambda: torch.tensor(1.0), "shape"),
        (lambda: [torch.ones(2)], "floating-point"),
        (lambda: torch.full((2, 3), float("nan")), "NaN"),
    ],
)
def test_other_tensors_are_one_clear_error(
    tmp_path: Path, make: Callable[[], torch.Tensor], message: str
) -> None:
    torch.save(make(), tmp_path / "p1.pt")
    refused(tmp_path, message, "pt")


def test_a_compressed_tensor_file_is_refused(tmp_path: Path) -> None:
    torch.save(torch.zeros(10**6), tmp_path / "p1.pt")
    with zipfile.ZipFile(tmp_path / "p1.pt") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "p1.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    refused(tmp_path, "compressed", "pt")


def sheet(path: Path, far: str) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active["A1"], book.active["A2"], book.active[far] = "patient", "p1", 1
    book.save(path)


def sparse_text(path: Path) -> None:
    path.write_text(",".join(f"g{n}" for n in range(50_000)) + "\n" + "p\n" * 50_000)


def zipped(path: Path) -> None:
    sheet(path, "B2")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/sharedStrings2.xml", b" " * (2**27 + 1))


def constant(path: Path) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2**23, dtype=np.int8)), pa.array([1.0]))
    pq.write_table(pa.table({f"g{n}": column for n in range(16)}), path)


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("far.xlsx", lambda path: sheet(path, "XFD1048576"), "rows and 16,384 columns"),
        ("far.xlsx", lambda path: sheet(path, "XFD2000"), "rows and 16,384 columns"),
        ("bomb.xlsx", zipped, "unpacks to"),
        ("short.csv", sparse_text, "50,000 columns and 50,001 lines"),
        ("constant.parquet", constant, "declares 134,217,728 cells"),
    ],
)
def test_a_table_that_declares_what_it_does_not_hold_is_refused_unread(
    tmp_path: Path, name: str, write: Callable[[Path], None], message: str
) -> None:
    write(tmp_path / name)
    tracemalloc.start()
    with pytest.raises(InputError, match=f"{name}: .*{message}"):
        read_table(tmp_path / name, "clinical")
    assert tracemalloc.get_traced_memory()[1] < 2**27
    tracemalloc.stop()


def test_large_tables_that_are_there_are_read(tmp_path: Path) -> None:
    frame = pd.DataFrame(np.zeros((3000, 700)), columns=[f"g{n}" for n in range(700)])
    frame.to_parquet(tmp_path / "a.parquet")
    frame.iloc[:200, :100].to_csv(tmp_path / "a.csv", index=False)
    frame.iloc[:20, :40].to_excel(tmp_path / "a.xlsx", index=False)
    assert read_table(tmp_path / "a.parquet", "x").shape == (3000, 700)
    assert read_table(tmp_path / "a.csv", "x").shape == (200, 100)
    assert read_table(tmp_path / "a.xlsx", "x").shape == (20, 40)
