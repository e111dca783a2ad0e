"""A reader is one file: its options, their faults, and a toy reader from its file to store and check."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from prime.cohort.check.check import check
from prime.cohort.config import CohortConfig, load_cohort
from prime.cohort.readers import READERS, reader
from prime.cohort.source import SourceConfig
from prime.errors import InputError
from prime.store.packing import pack
from prime.store.store import Store

TOY = '''
from pathlib import Path

import numpy as np

from prime.cohort.readers.registry import reader
from prime.cohort.source import SourceConfig, SourceRows


class LineSource(SourceConfig):
    """Lines of text: a patient and a number."""

    times: float = 1.0


@reader("lines", settings=LineSource)
def read_lines(config: LineSource, root: Path, where: str) -> SourceRows:
    pairs = [line.split() for line in (root / config.path).read_text().splitlines()]
    rows = ((patient, np.array([[float(x) * config.times]], np.float32)) for patient, x in pairs)
    return SourceRows("vector", 1, ["number"], rows, f"{len(pairs)} lines", groups=np.zeros(1, np.int64))
'''


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Path]:
    """A cohort of five patients, of whom two have a line, for a reader in a file of its own."""
    (tmp_path / "toy.py").write_text(TOY)
    spec = importlib.util.spec_from_file_location("toy_reader", tmp_path / "toy.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    (tmp_path / "lines.txt").write_text("a 1\nb 2.5\n")
    (tmp_path / "clinical.csv").write_text("id,t,e\n" + "".join(f"{p},10,{p in 'ab':d}\n" for p in "abcde"))
    write(tmp_path, {"reader": "lines", "path": "lines.txt", "times": 2})
    yield tmp_path / "cohort.yaml"
    del READERS["lines"]


def write(folder: Path, source: dict[str, Any]) -> Path:
    endpoint = {"time": "t", "event": "e"}
    clinical = {"format": "table", "path": "clinical.csv", "patient_id": "id", "endpoints": {"os": endpoint}}
    value = {"name": "toy", "clinical": clinical, "modalities": {"numbers": {"line": source}}}
    (folder / "cohort.yaml").write_text(yaml.safe_dump(value))
    return folder / "cohort.yaml"


def test_a_reader_in_a_file_of_its_own_packs_and_checks(toy: Path) -> None:
    config = load_cohort(toy)
    store = Store.open(pack(config, toy.parent / "store", progress=False))
    assert store.values("line").tolist() == [[2.0], [5.0]]
    assert store.observed()[:, 0].tolist() == [True, True, False, False, False]
    report = check(config, progress=False)
    assert report.errors == []
    (found,) = report.sources
    assert (found.reader, found.detected, found.patients) == ("lines", "2 lines", 2)
    assert (found.minimum, found.maximum) == (2.0, 5.0)


def test_its_options_stay_in_the_cohort_and_make_the_store_stale(toy: Path) -> None:
    config = load_cohort(toy)
    dumped = config.model_dump(mode="json")
    assert dumped["modalities"]["numbers"]["line"] == {"reader": "lines", "path": "lines.txt", "times": 2.0}
    assert CohortConfig.model_validate(dumped) == config
    assert CohortConfig.model_validate_json(config.model_dump_json()) == config
    folder = pack(config, toy.parent / "store", progress=False)
    write(toy.parent, {"reader": "lines", "path": "lines.txt", "times": 3})
    assert Store.open(folder).stale(load_cohort(toy)) == ["source line: its options changed"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"reader": "lines", "path": "x", "time": 2}, "time: no such key"),
        ({"reader": "lines"}, "path: Field required"),
        ({"reader": "lines", "path": "x", "times": "two"}, "times: Input should be a"),
        ({"reader": "h5", "path": "x", "max_tokens": 0}, "max_tokens: Input should be g"),
        ({"reader": "vector", "path": "x", "times": 2}, "times: no such key"),
        ({"reader": "dicom"}, "reader: name one of 'vector', 'h5', 'pt', 'report', "
         "'words', 'facts', 'clinical', 'anndata', 'mudata', 'lines', found 'dicom'"),
        ({"path": "x"}, "reader: name one of"),
        ({"reader": ["h5"]}, "reader: name one of"),
        ("lines.txt", "reader: name one of"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_source_is_said_by_its_key(toy: Path, source: Any, message: str) -> None:
    path = write(toy.parent, source)
    with pytest.raises(InputError) as error:
        load_cohort(path)
    assert str(error.value).startswith(f"{path}: modalities.numbers.line.{message}")
    assert "\n" not in str(error.value)


def test_a_name_stands_for_one_reader() -> None:
    with pytest.raises(ValueError, match="'vector' is registered twice"):
        reader("vector", settings=SourceConfig)(READERS["vector"].read)
