"""What files state of their encoder: contradictions are refused, silence is said."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from prime.cohort.origin import contradiction, unknown_makers
from prime.cohort.readers import read_source
from prime.cohort.readers.tokens import TokenSource
from prime.cohort.source import SourceRows
from prime.errors import InputError


@pytest.mark.parametrize(
    ("mine", "theirs", "name"),
    [
        ({"encoder": "uni_v2"}, {"encoder": "gigapath"}, "encoder"),
        ({"encoder": "owkin/Phikon-v2"}, {"encoder": "phikon_v2"}, None),
        ({"encoder": "a"}, {}, None),
        ({"encoder": "unknown"}, {"encoder": "a"}, None),
        ({"encoder": "a", "weights_sha256": "1"}, {"encoder": "b", "weights_sha256": "1"}, None),
        ({"encoder": "a", "weights_sha256": "1"}, {"encoder": "a", "weights_sha256": "2"}, "weights_sha256"),
        ({"encoder": "a", "weights_sha256": "1"}, {"encoder": "b", "weights_sha256": "2"}, "encoder"),
        ({"encoder": "log2(1 + TPM)"}, {"encoder": "log10(1 + TPM)"}, "encoder"),
        ({"target_magnification": "20"}, {"target_magnification": "20.0"}, None),
        ({"target_magnification": "20"}, {"target_magnification": "10"}, "target_magnification"),
        ({"extractor": "ctranspath"}, {"encoder": "uni_v2"}, None),
        ({"feature_names": "a,b"}, {"feature_names": "b,a"}, "feature_names"),
        ({"licence": "x"}, {"licence": "y"}, None),
    ],
)
def test_contradictions(mine: dict[str, str], theirs: dict[str, str], name: str | None) -> None:
    for one, other in ((mine, theirs), (theirs, mine)):
        found = contradiction(one, other)
        assert (found and found[0]) == name


def slides(folder: Path, **encoders: str | None) -> None:
    (folder / "f").mkdir()
    for name, encoder in encoders.items():
        with h5py.File(folder / "f" / f"{name}.h5", "w") as file:
            data = file.create_dataset("features", data=np.ones((3, 4), dtype=np.float32))
            if encoder is not None:
                data.attrs["encoder"] = encoder


def read(folder: Path, **options: int) -> tuple[SourceRows, int]:
    source = read_source("tiles", TokenSource(reader="h5", path="f", **options), folder)
    return source, sum(len(rows) for _, rows in source.patients)


def test_two_encoders_in_a_folder_are_refused(tmp_path: Path) -> None:
    slides(tmp_path, a="uni_v2", b=None, c="gigapath")
    with pytest.raises(InputError, match=r"c.h5 states encoder 'gigapath', .*a.h5 states 'uni_v2'; keep one"):
        read(tmp_path)


def test_files_that_state_nothing_are_counted(tmp_path: Path) -> None:
    slides(tmp_path, a=None, b="uni_v2", c=None)
    source, _ = read(tmp_path)
    assert source.attributes == {"encoder": "uni_v2"}
    assert source.notes == ["2 of 3 files state no encoder: whether all come from one cannot be known"]


def test_magnifications_of_the_coordinates_are_compared(tmp_path: Path) -> None:
    slides(tmp_path, a="uni_v2", b="uni_v2")
    for name, power in (("a", 20), ("b", 10)):
        with h5py.File(tmp_path / "f" / f"{name}.h5", "a") as file:
            file.create_dataset("coords", data=np.zeros((3, 2))).attrs["target_magnification"] = power
    with pytest.raises(InputError, match="target_magnification '10'"):
        read(tmp_path)


def test_thinning_says_which_share_is_kept_and_what_to_do(tmp_path: Path) -> None:
    slides(tmp_path, a="x", b="x")
    source, rows = read(tmp_path, max_tokens=2)
    assert rows == 4
    assert len(source.notes) == 1
    assert "2 of 2 patients had more than 2 tokens (3 in the median): 2 of each are kept" in source.notes[0]
    assert "66.7 % of theirs" in source.notes[0]
    assert "max_tokens" in source.notes[0]


def test_what_cannot_be_known_is_said() -> None:
    lines = unknown_makers(
        [
            ("a", {}, {}),
            ("b", {"encoder": "x"}, {}),
            ("c", {}, {"encoder": "x"}),
            ("d", {"encoder": "x"}, {"encoder": "x"}),
            ("e", {"encoder": "x"}, {"extractor": "x"}),
        ]
    )
    assert [line[:8] for line in lines] == ["source a", "source b", "source c", "source e"]
    assert all(line.endswith("whether it is the same one cannot be known") for line in lines)
