"""Splits files: an exact round trip, atomic, and one clear message for whatever is wrong."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prime.errors import InputError
from prime.splits.folds import Fold, stratified_folds
from prime.splits.split_files import read_splits, save_splits

IDS = np.array([f"p{i}" for i in range(40)], dtype=object)
PARTS = ("train", "validation", "test")


def some_folds() -> list[Fold]:
    event = np.arange(40) % 3 == 0
    return stratified_folds("A", np.arange(5, 40), np.arange(40.0) + 1, event, 4, 0)


def assert_same(first: list[Fold], second: list[Fold]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert (one.cohort, one.fold) == (other.cohort, other.fold)
        for part in PARTS:
            assert getattr(other, part).dtype == np.int64
            assert np.array_equal(getattr(one, part), getattr(other, part))


@st.composite
def saved(draw: st.DrawFn) -> tuple[list[Fold], np.ndarray]:
    """Folds of up to three cohorts, with any text as patient ids."""
    ids = draw(st.lists(st.text(max_size=5), min_size=3, max_size=12, unique=True))
    keys = draw(
        st.lists(st.tuples(st.text(max_size=3), st.integers(0, 9)), min_size=1, max_size=3, unique=True)
    )
    folds: list[Fold] = []
    for cohort, number in keys:
        order = np.array(draw(st.permutations(range(len(ids)))), dtype=np.int64)
        first = draw(st.integers(1, len(ids) - 2))
        second = draw(st.integers(first + 1, len(ids) - 1))
        end = draw(st.integers(second + 1, len(ids)))
        parts = (order[:first], order[first:second], order[second:end])
        folds.append(Fold(cohort, number, *(np.sort(part) for part in parts)))
    return folds, np.array(ids, dtype=object)


@settings(max_examples=60)
@given(saved())
def test_the_round_trip_is_exact(drawn: tuple[list[Fold], np.ndarray]) -> None:
    folds, ids = drawn
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "splits.json"
        save_splits(path, folds, ids)
        assert_same(folds, read_splits(path, ids))
        assert [file.name for file in Path(folder).iterdir()] == ["splits.json"]


def test_patients_are_found_by_name_wherever_they_stand(tmp_path: Path) -> None:
    save_splits(tmp_path / "s.json", some_folds(), IDS)
    order = np.random.default_rng(0).permutation(40)
    for old, new in zip(some_folds(), read_splits(tmp_path / "s.json", IDS[order]), strict=True):
        for part in PARTS:
            assert set(IDS[order][getattr(new, part)]) == set(IDS[getattr(old, part)])


def test_the_file_is_what_the_documentation_says(tmp_path: Path) -> None:
    fold = Fold("A", 2, np.array([0, 3]), np.array([1]), np.array([2]))
    save_splits(tmp_path / "s.json", [fold], IDS)
    assert json.loads((tmp_path / "s.json").read_text(encoding="utf-8")) == {
        "format": "prime-splits",
        "version": 1,
        "folds": [{"cohort": "A", "fold": 2, "train": ["p0", "p3"], "validation": ["p1"], "test": ["p2"]}],
    }


def in_fold(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    return lambda document: change(document["folds"][1])


def doubled(document: dict[str, Any]) -> None:
    document["folds"].append(document["folds"][0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("format"), "the file: no key 'format'; found version, folds"),
        (lambda d: d.update(format="csv"), "format 'csv'; a splits file has 'prime-splits'"),
        (lambda d: d.update(version=2), "version 2; this release reads version 1"),
        (lambda d: d.update(version=True), "version True; this"),
        (lambda d: d.update(seed=0), "the file: unknown key 'seed'"),
        (lambda d: d.update(folds={}), "folds is no list; found a mapping"),
        (lambda d: d.update(folds=[]), "folds is empty"),
        (lambda d: d.update(folds=[3]), r"folds\[0\] is no mapping with .*; found a number"),
        (doubled, "fold 0 of cohort A occurs twice"),
        (in_fold(lambda f: f.pop("train")), r"folds\[1\]: no key 'train'; found cohort, fold, validation"),
        (in_fold(lambda f: f.update(extra=1)), r"folds\[1\]: unknown key 'extra'"),
        (in_fold(lambda f: f.update(cohort=None)), r"folds\[1\]: cohort None is not a text"),
        (in_fold(lambda f: f.update(fold="1")), r"folds\[1\]: fold '1' is not a whole number"),
        (in_fold(lambda f: f.update(fold=True)), r"folds\[1\]: fold True is not a whole number"),
        (in_fold(lambda f: f.update(fold=-1)), r"folds\[1\]: fold -1 is not a whole number"),
        (in_fold(lambda f: f.update(test=[])), r"folds\[1\]: test is empty"),
        (in_fold(lambda f: f.update(train=[])), r"folds\[1\]: train is empty"),
        (in_fold(lambda f: f.update(test="p1")), r"folds\[1\]: test is no list; found a text"),
        (in_fold(lambda f: f.update(test=None)), r"folds\[1\]: test is no list; found null"),
        (in_fold(lambda f: f["test"].append(7)), r"test: patient 7 is not a text"),
        (in_fold(lambda f: f["test"].append(["p1"])), r"test: patient \['p1'\] is not a text"),
        (in_fold(lambda f: f["test"].append("nobody")), r"test: patient nobody is not in the cohort"),
        (
            in_fold(lambda f: f["test"].append(f["train"][0])),
            r"folds\[1\]: patient p\d+ is in both train and test",
        ),
        (
            in_fold(lambda f: f["validation"].append(f["validation"][0])),
            r"folds\[1\]: patient p\d+ occurs twice in validation",
        ),
    ],
)
def test_bad_splits_files_are_one_clear_error(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    path = tmp_path / "splits.json"
    save_splits(path, some_folds(), IDS)
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        read_splits(path, IDS)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "splits.json"
    with pytest.raises(InputError, match="no such file"):
        read_splits(path, IDS)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"not a JSON file|the file is no mapping"):
        read_splits(path, IDS)


def test_what_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "splits.json"
    save_splits(path, some_folds(), IDS)
    before = path.read_bytes()
    one = np.array([1])
    for fold in (Fold("A", 0, one, np.array([2]), one), Fold("A", 0, one, np.array([2]), one[:0])):
        with pytest.raises(InputError):
            save_splits(path, [fold], IDS)
    for position in (-1, 40):
        with pytest.raises(ValueError, match="outside the 40 patients"):
            save_splits(path, [Fold("A", 0, one, np.array([2]), np.array([position]))], IDS)
    with pytest.raises(ValueError, match="a patient twice"):
        save_splits(path, some_folds(), np.array(["p1"] * 40, dtype=object))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["splits.json"]
