"""Which changes of files count: content and names, not where an environment stands."""

import shutil
from pathlib import Path

from prime.fingerprint import FileStamp, changed, stamp


def encoder(folder: Path) -> list[Path]:
    """Two files of an encoder, outside of any cohort."""
    folder.mkdir(parents=True)
    for name in ("config.json", "weights.bin"):
        (folder / name).write_text(f"{name} of the encoder")
    return sorted(folder.iterdir())


def stamped(files: list[Path], root: Path) -> list[FileStamp]:
    return [stamp(path, root) for path in files]


def test_an_encoder_that_moved_is_the_same(tmp_path: Path) -> None:
    root = tmp_path / "cohort"
    root.mkdir()
    before = stamped(encoder(tmp_path / "env1" / "encoder"), root)
    shutil.move(tmp_path / "env1", tmp_path / "env2")
    now = sorted((tmp_path / "env2" / "encoder").iterdir())
    assert changed(root, now, before, "text") == []


def test_an_encoder_of_other_content_elsewhere_is_another(tmp_path: Path) -> None:
    root = tmp_path / "cohort"
    root.mkdir()
    before = stamped(encoder(tmp_path / "env1" / "encoder"), root)
    now = encoder(tmp_path / "env2" / "encoder")
    now[1].write_text("weights.bin of an encodeR")  # as long as the other
    (tmp_path / "env1" / "encoder" / "weights.bin").unlink()
    reasons = changed(root, now, before, "text")
    assert [line.rsplit(" ", 2)[-1] for line in reasons] == ["missing", "new"]
    assert all("weights.bin" in line for line in reasons)


def test_a_file_of_the_cohort_that_moved_is_another(tmp_path: Path) -> None:
    """A folder's name can be a patient's."""
    files = encoder(tmp_path / "P1")
    before = stamped(files, tmp_path)
    shutil.move(tmp_path / "P1", tmp_path / "P2")
    reasons = changed(tmp_path, sorted((tmp_path / "P2").iterdir()), before, "slides")
    assert len(reasons) == 4


def test_two_files_alike_count_twice(tmp_path: Path) -> None:
    root = tmp_path / "cohort"
    root.mkdir()
    first, second = tmp_path / "env1" / "a", tmp_path / "env1" / "b"
    before = stamped([*encoder(first), *encoder(second)], root)
    shutil.move(tmp_path / "env1", tmp_path / "env2")
    now = sorted(path for path in (tmp_path / "env2").rglob("*") if path.is_file())
    assert changed(root, now, before, "text") == []
    assert changed(root, now[:3], before, "text") != []


def test_one_of_two_files_with_one_name_changed(tmp_path: Path) -> None:
    """The one whose content is known is taken for moved, the other is not."""
    root = tmp_path / "cohort"
    root.mkdir()
    before = stamped([*encoder(tmp_path / "env1" / "a"), *encoder(tmp_path / "env1" / "b")], root)
    shutil.move(tmp_path / "env1", tmp_path / "env2")
    now = sorted(path for path in (tmp_path / "env2").rglob("*") if path.is_file())
    now[0].write_text("config.json of the encodeR")
    reasons = changed(root, now, before, "text")
    assert len(reasons) == 2
    assert all("config.json" in line for line in reasons)
