"""AnnData and MuData files (`.h5ad`, `.h5mu`): their annotations, and their matrices a few rows at a time."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import h5py
import pandas as pd

from prime.cohort.readers.h5_files import find_whole, reading_h5
from prime.cohort.readers.matrix_rows import CscRows, CsrRows, DenseRows, Rows
from prime.cohort.source import KEPT_ATTRIBUTES, kept_attributes
from prime.errors import InputError, cut, first_line, some
from prime.extras import need

OBS_NAMES = "obs_names"


@dataclass(frozen=True)
class Annotated:
    """One AnnData of an open file.

    Attributes:
        file: the file.
        place: the path of its group, `/` or `/mod/NAME`.
    """

    file: h5py.File
    place: str

    @property
    def obs_names(self) -> "pd.Series[str]":
        """The names of the rows, as text."""
        return self._names("obs")

    @property
    def var_names(self) -> list[str]:
        """The names of the variables. Raises InputError where one occurs twice."""
        names = self._names("var")
        if bool(names.duplicated().any()):
            twice = names[names.duplicated()].iloc[0]
            raise InputError(f"var_names: {cut(twice)!r} occurs twice; make them unique")
        return names.tolist()

    def column(self, axis: str, name: str) -> "pd.Series[Any]":
        """A column of `obs` or `var`. Raises InputError where there is none."""
        group = self._frame(axis)
        if name == group.attrs["_index"] or name not in group:
            found = [str(key) for key in group if key not in (group.attrs["_index"], "__categories")]
            raise InputError(f"{axis} has no column {cut(name)!r}; it has {some(found) or 'none'}")
        return pd.Series(_element(group, name, f"{axis}/{name}"), name=name)

    def columns(self, axis: str) -> list[str]:
        """The columns of `obs` or `var`, in their order."""
        return [str(name) for name in self._frame(axis).attrs.get("column-order", [])]

    def attributes(self) -> dict[str, str]:
        """The texts of `uns` that say how the numbers were made: encoder, unit, trained_on, ..."""
        found: dict[str, Any] = {}
        for name in KEPT_ATTRIBUTES:
            data = find_whole(self.file, f"{self.place}/uns/{name}")
            if isinstance(data, h5py.Dataset) and data.shape == ():
                found[name] = data[()]
        return kept_attributes(found)

    def matrix(self, name: str) -> Rows | pd.DataFrame | h5py.Dataset:
        """`X`, `layers/NAME` or `obsm/NAME`: rows, a table, or an array of three dimensions.

        Raises InputError where there is none, or where it is of another kind.
        """
        found = find_whole(self.file, f"{self.place}/{name}")
        kind = "" if found is None else str(found.attrs.get("encoding-type", ""))
        if isinstance(found, h5py.Dataset) and found.ndim in (2, 3) and found.dtype.kind in "fiub":
            return DenseRows(found) if found.ndim == 2 else found
        if isinstance(found, h5py.Group) and kind == "dataframe":
            from anndata.io import read_elem

            return cast(pd.DataFrame, read_elem(found))
        if isinstance(found, h5py.Group) and kind in ("csr_matrix", "csc_matrix"):
            return CsrRows(found) if kind == "csr_matrix" else CscRows(found)
        inside, _, _ = name.rpartition("/")
        group = find_whole(self.file, f"{self.place}/{inside}") if inside else None
        known = list(group) if isinstance(group, h5py.Group) else []
        if found is None:
            raise InputError(
                f"no {cut(name)}" + (f"; {inside} has {some(known) or 'nothing'}" if inside else "")
            )
        raise InputError(f"{cut(name)}: no matrix of numbers ({kind or type(found).__name__})")

    def _names(self, axis: str) -> "pd.Series[str]":
        group = self._frame(axis)
        index = str(group.attrs["_index"])
        found = pd.Series(_element(group, index, f"{axis}/{index}"), dtype=object)
        return found.astype(str).rename(f"{axis}_names")

    def _frame(self, axis: str) -> h5py.Group:
        group = find_whole(self.file, f"{self.place}/{axis}")
        if not isinstance(group, h5py.Group) or "_index" not in group.attrs:
            raise InputError(f"{axis} is no table of names; open the file with today's anndata, and write it")
        return group


def _element(group: h5py.Group, name: str, what: str) -> Any:
    """A column as anndata reads it: numbers, text, categories, values that may be missing."""
    from anndata.io import read_elem

    if name not in group:
        raise InputError(f"{cut(what)} is missing; write the file again")
    try:
        return read_elem(cast(Any, group[name]))
    except Exception as error:  # anndata raises many kinds for what it did not write
        raise InputError(f"{cut(what)} cannot be read ({first_line(error)}); write the file again") from None


def read_obs(path: Path, where: str) -> pd.DataFrame:
    """The table `obs` of the whole file; the names of its rows are the column `obs_names`.

    Raises InputError as `annotated`.
    """
    need("reading .h5ad and .h5mu", "anndata", "anndata")
    with reading_h5(path, where) as file:
        _modalities(file)
        data = Annotated(file, "")
        columns = {
            OBS_NAMES: data.obs_names,
            **{name: data.column("obs", name) for name in data.columns("obs")},
        }
        return pd.DataFrame({n: c.astype(object) if c.dtype == "category" else c for n, c in columns.items()})


@contextmanager
def annotated(path: Path, where: str, modality: str | None = None) -> Generator[Annotated]:
    """Open an AnnData file, or one modality of a MuData file.

    Raises:
        InputError: anndata is not installed, no such file, a damaged one, one of another kind, parts that lie
            in other files, an unknown modality; also for what goes wrong within the block.
    """
    need("reading .h5ad and .h5mu", "anndata", "anndata")
    if not path.is_file():
        raise InputError(f"{where}: {path}: no such file")
    with reading_h5(path, where) as file:
        known = _modalities(file)
        if known is None and modality is not None:
            raise InputError("an AnnData, which has no modalities; take modality out")
        if known is not None:
            if modality is None and len(known) == 1:
                modality = known[0]
            if modality is None or modality not in known:
                what = "" if modality is None else f"no modality {cut(modality)!r}; "
                raise InputError(f"{what}it holds {some(known)}; name one with modality:")
        yield Annotated(file, "" if modality is None else f"/mod/{modality}")


def modalities_of(path: Path, where: str) -> list[str]:
    """The modalities of a MuData file; none of an AnnData file. Raises InputError for other files."""
    with reading_h5(path, where) as file:
        return _modalities(file) or []


def _modalities(file: h5py.File) -> list[str] | None:
    """The modalities of a MuData, None for an AnnData. Raises InputError for anything else."""
    mod = file["mod"] if isinstance(file.get("mod", getlink=True), h5py.HardLink) else None
    if isinstance(mod, h5py.Group):
        if not (known := [str(name) for name in mod]):
            raise InputError("a MuData without a modality")
        return known
    if {"obs", "var"} <= set(file):
        return None
    raise InputError(f"no AnnData or MuData; it holds {some(list(file)) or 'nothing'}")
