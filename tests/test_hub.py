"""Where a model's weights are looked for: a folder, the hub's cache, the hub."""

from pathlib import Path
from typing import Any

import pytest

from prime.errors import InputError
from prime.hub import ModelFiles, model_folder, recorded_name

FILES = ModelFiles(("*.safetensors", "*.bin"), ("config.json",), "config.json and weights")


class Hub:
    """Stands for `snapshot_download`: a cached and a fetched snapshot, None where there is none."""

    def __init__(self, cached: Path | None, fetched: Path | None) -> None:
        self.cached, self.fetched = cached, fetched
        self.asked: list[tuple[str, bool]] = []
        self.patterns: set[tuple[str, ...]] = set()
        self.revisions: set[str | None] = set()

    def __call__(
        self, name: str, *, revision: str | None, allow_patterns: list[str], local_files_only: bool = False
    ) -> str:
        self.revisions.add(revision)
        self.asked.append((name, local_files_only))
        self.patterns.add(tuple(allow_patterns))
        found = self.cached if local_files_only else self.fetched
        if found is None:
            raise FileNotFoundError if local_files_only else ConnectionError
        return str(found)


@pytest.fixture
def snapshots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two snapshots with weights, and one without."""
    for name in ("cached", "fetched", "partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").touch()
    (tmp_path / "cached" / "model.bin").touch()
    (tmp_path / "fetched" / "model.safetensors").touch()

    def hub(cached: str | None, fetched: str | None) -> Hub:
        made = Hub(*(None if name is None else tmp_path / name for name in (cached, fetched)))
        monkeypatch.setattr("huggingface_hub.snapshot_download", made)
        return made

    return hub


def test_a_local_folder_comes_first(snapshots: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = snapshots("cached", "fetched")
    assert model_folder(str(tmp_path / "partial"), FILES, "here") == tmp_path / "partial"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert model_folder("partial", FILES, "here") == Path("partial")
    assert model_folder("~/partial", FILES, "here") == tmp_path / "partial"
    assert hub.asked == []


@pytest.mark.parametrize(
    ("cached", "fetched", "expected", "asked"),
    [
        ("cached", "fetched", "cached", [True]),
        ("cached", None, "cached", [True]),
        (None, "fetched", "fetched", [True, False]),
        ("partial", "fetched", "fetched", [True, False]),
    ],
)
def test_the_cache_comes_before_the_network_where_it_has_weights(
    snapshots: Any, tmp_path: Path, cached: str | None, fetched: str | None, expected: str, asked: list[bool]
) -> None:
    hub = snapshots(cached, fetched)
    assert model_folder("some/model", FILES, "here") == tmp_path / expected
    assert hub.asked == [("some/model", only) for only in asked]
    assert hub.patterns == {("*.safetensors", "*.bin", "config.json")}
    assert hub.revisions == {None}


def test_a_revision_is_asked_of_the_cache_and_of_the_hub(snapshots: Any) -> None:
    hub = snapshots(None, "fetched")
    model_folder("some/model", FILES, "here", revision="v2")
    assert hub.asked == [("some/model", True), ("some/model", False)]
    assert hub.revisions == {"v2"}


@pytest.mark.parametrize("cached", [None, "partial"])
def test_a_model_that_is_nowhere(snapshots: Any, cached: str | None) -> None:
    snapshots(cached, None)
    message = (
        r"^--weights some/model: neither a folder nor reachable on the hub \(ConnectionError\); "
        r"give a folder with config\.json and weights$"
    )
    with pytest.raises(InputError, match=message):
        model_folder("some/model", FILES, "--weights some/model")


@pytest.mark.parametrize("name", ["./none", "../none", "~/none", "/none", "file.bin"])
def test_what_is_a_path_is_not_asked_of_the_hub(
    snapshots: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.bin").touch()
    hub = snapshots("cached", "fetched")
    with pytest.raises(InputError, match=r"^here: not a folder; give one with config\.json and weights$"):
        model_folder(name, FILES, "here")
    assert hub.asked == []


def test_the_hub_s_client_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"here: no such folder, and the model hub needs pip install"):
        model_folder("some/model", FILES, "here")


def test_a_recorded_name_tells_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uni").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert recorded_name(str(tmp_path / "uni")) == "uni"
    assert recorded_name("~/uni") == "uni"
    monkeypatch.chdir(tmp_path / "uni")
    assert recorded_name(".") == "uni"
    assert recorded_name("owkin/phikon") == "owkin/phikon"
