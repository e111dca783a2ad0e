"""Reports as counts of words: which words, which patients, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from prime.cohort.config import CohortConfig
from prime.cohort.readers import read_source, source_files
from prime.cohort.readers.words import WordSource
from prime.cohort.source import SourceRows
from prime.errors import InputError
from prime.store.packing import pack
from prime.store.store import Store

REPORTS = [
    ("b.1", "Tumor, TUMOR tumor; stage 3a. x"),
    ("a.2", "margin clear_margin"),
    ("b.2", "Margin positive"),
    ("c", "Größe 12 mm, tumor"),
    ("d.1", " - "),
]


def words(folder: Path, reports: list[tuple[str, str]], **options: Any) -> SourceRows:
    pd.DataFrame(reports, columns=["patient_filename", "text"]).to_csv(folder / "r.csv", index=False)
    config = WordSource.model_validate({"reader": "words", "path": "r.csv", **options})
    return read_source("words", config, folder)


def test_words_by_the_number_of_patients_then_by_name(tmp_path: Path) -> None:
    source = words(tmp_path, REPORTS)
    # margin: a, b; tumor: b, c; the rest once
    names = ["margin", "tumor", "12", "3a", "clear", "größe", "mm", "positive", "stage"]
    assert (source.kind, source.dim, source.feature_names) == ("vector", 9, names)
    rows = dict(source.patients)
    assert list(rows) == ["a", "b", "c"]
    assert all(values.shape == (1, 9) and values.dtype == np.float32 for values in rows.values())
    assert rows["a"][0].tolist() == [2, 0, 0, 0, 1, 0, 0, 0, 0]
    assert rows["b"][0].tolist() == [1, 3, 0, 1, 0, 0, 0, 1, 1]
    assert rows["c"][0].tolist() == [0, 1, 1, 0, 0, 1, 1, 0, 0]
    assert source.notes == [
        "1 patients have several reports: joined",
        "1 reports have no word (d): counted as missing",
    ]
    assert source.detected == "csv table: 5 reports, 9 of 9 words, in 1 or more"


def test_the_most_common_words_in_groups(tmp_path: Path) -> None:
    source = words(tmp_path, REPORTS, max_words=3, group_size=2)
    assert source.feature_names == ["margin", "tumor", "12"]
    assert source.groups is not None
    assert source.groups.tolist() == [0, 0, 1]
    assert dict(source.patients)["b"].tolist() == [[1, 3, 0]]


def test_a_patient_with_none_of_the_kept_words_has_zeros(tmp_path: Path) -> None:
    source = words(tmp_path, [("a", "one two"), ("b", "one"), ("c", "three")], max_words=1)
    assert {p: v.tolist() for p, v in source.patients} == {"a": [[1]], "b": [[1]], "c": [[0]]}


def test_phrases_count_like_words(tmp_path: Path) -> None:
    reports = [("a", "No tumor. No, no tumor seen"), ("b", "tumor seen"), ("c", "no")]
    pairs = words(tmp_path, reports, max_length=2)
    # in two patients: no, seen, tumor, "tumor seen"; in a alone: no no, no tumor, tumor no
    expected = ["no", "seen", "tumor", "tumor seen", "no no", "no tumor", "tumor no"]
    assert pairs.feature_names == expected
    rows = {patient: values[0].tolist() for patient, values in pairs.patients}
    assert rows == {"a": [3, 1, 2, 1, 1, 2, 1], "b": [0, 1, 1, 1, 0, 0, 0], "c": [1, 0, 0, 0, 0, 0, 0]}
    triples = words(tmp_path, reports, max_length=3)
    longer = {"no no tumor", "no tumor no", "no tumor seen", "tumor no no"}
    assert set(triples.feature_names or ()) == set(expected) | longer
    assert words(tmp_path, reports).feature_names == ["no", "seen", "tumor"]
    assert words(tmp_path, reports, max_length=2, max_words=4).feature_names == expected[:4]


@pytest.mark.parametrize("length", [0, 4])
def test_phrases_have_one_to_three_words(tmp_path: Path, length: int) -> None:
    with pytest.raises(ValidationError, match="max_length"):
        words(tmp_path, REPORTS, max_length=length)


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"source words: .*no report has a word; check the column 'text'"):
        words(tmp_path, [("a", "."), ("b", "- x")])
    with pytest.raises(InputError, match="row 2 has no patient in patient_filename"):
        words(tmp_path, [("a", "one two"), (".x", "three")])
    with pytest.raises(InputError, match="no column 'report'"):
        words(tmp_path, REPORTS, text="report")
    config = WordSource(reader="words", path="none.csv")
    with pytest.raises(InputError, match="no such file"):
        source_files("words", config, tmp_path)


def test_packed_it_is_a_vector_source(tmp_path: Path) -> None:
    words(tmp_path, REPORTS)
    pd.DataFrame({"id": list("abcd"), "t": 10, "e": 1}).to_csv(tmp_path / "clinical.csv", index=False)
    config = CohortConfig.model_validate(
        {
            "name": "words",
            "root": str(tmp_path),
            "clinical": {
                "format": "table", "path": "clinical.csv", "patient_id": "id",
                "endpoints": {"os": {"time": "t", "event": "e"}},
            },
            "modalities": {"report": {"counts": {"reader": "words", "path": "r.csv", "max_words": 2}}},
        }
    )  # fmt: skip
    store = Store.open(pack(config, tmp_path / "store", progress=False))
    assert store.sources["counts"].kind == "vector"
    assert store.values("counts").tolist() == [[2, 0], [1, 3], [0, 1]]
    assert store.observed()[:, 0].tolist() == [True, True, True, False]


def test_given_words_are_counted_in_their_order(tmp_path: Path) -> None:
    source = words(tmp_path, REPORTS, vocabulary=["tumor", "never", "margin clear"], group_size=2)
    assert source.feature_names == ["tumor", "never", "margin clear"]
    rows = dict(source.patients)
    assert {name: row[0].tolist() for name, row in rows.items()} == {
        "a": [0, 0, 1],
        "b": [3, 0, 0],
        "c": [1, 0, 0],
    }
    assert source.detected == "csv table: 5 reports, 3 given words, 2 of which occur"
    assert source.groups is not None
    assert source.groups.tolist() == [0, 0, 1]


def test_a_cohort_takes_a_list_where_it_gives_none() -> None:
    table = {"reader": "words", "path": "r.csv"}
    own = {**table, "vocabulary": ["mine"]}
    described = {
        "name": "c",
        "clinical": {"format": "table", "path": "c.csv", "patient_id": "id"},
        "modalities": {"report": {"w": table, "own": own, "facts": {**table, "reader": "facts"}}},
    }
    config = CohortConfig.model_validate(described)
    found = config.with_vocabularies({"w": ["a", "b"], "own": ["a"], "facts": ["a"], "else": ["a"]})
    options = {name: option for _, name, option in found.every_source()}
    assert options["w"].vocabulary == ("a", "b")
    assert options["own"].vocabulary == ("mine",)
    assert options["facts"] == config.modalities["report"]["facts"]
    assert config.with_vocabularies({}) == config
