"""Lists of patients in files of lines and in tables, and the list of patients kept out of pretraining."""

from pathlib import Path

import pytest

from prime.cohort.patient_list import read_exclusions, read_patient_list
from prime.errors import InputError

KNOWN = ["A", "B", "C"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "C\nA\n"),
        ("list", "\n C \r\nA\r\n\n"),
        ("list.txt", "\ufeffC\nA\nC"),
        ("list.csv", "patient_id\nC\nA\n"),
        ("list.csv", "fold,patient_id\n1,C\n2,A\n3,C\n"),
        ("list.tsv", "fold\tpatient_id\n1\t C\n2\tA\n"),
    ],
)
def test_lists_of_patients(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8"))
    assert read_patient_list(path, "--train") == ["C", "A"]
    assert read_exclusions(path, KNOWN) == {"A", "C"}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("list.txt", b"", "no patient id"),
        ("list.txt", b"\n \n", "no patient id"),
        ("list.csv", b"patient_id\n", "no rows"),
        ("list.csv", b"patient,fold\nA,1\n", "no column 'patient_id'"),
        ("list.txt", b"A\nY\nX\n", "'X' is not a patient of the cohort \\(2 such ids\\)"),
        ("list.txt", b"A\n\xff\n", "UTF-8"),
        ("list.txt", None, "no such file"),
        ("list.csv", None, "no such file"),
    ],
)
def test_bad_lists(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"--exclude: .*{words}"):
        read_exclusions(path, KNOWN)
