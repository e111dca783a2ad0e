"""What all tests share: one thread for torch, and small packed stores."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import settings

from prime import provenance
from prime.store.store import Store
from tests.made_up import write_checkpoint, write_store
from tests.small_model import SmallModel, make_model

torch.set_num_threads(1)
settings.register_profile("prime", deadline=None)  # a shared machine is slow at times
settings.load_profile("prime")
LONGEST = ("study", "pretraining", "demo")
CACHE = "PRIME_CACHE"


def pytest_configure(config: pytest.Config) -> None:
    """An empty cache for the run, which its workers share: what a new machine does is what is tested."""
    if not hasattr(config, "workerinput"):
        folder = TemporaryDirectory(prefix="prime-tests-")
        os.environ[CACHE] = folder.name
        config.add_cleanup(folder.cleanup)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Folders with the longest tests first, so that no worker ends long after the others."""
    items.sort(key=lambda item: not set(LONGEST) & set(item.path.parts))


@pytest.fixture(scope="session")
def made_up_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Sixty patients, three cancer types, three modalities; read-only by agreement."""
    return write_store(tmp_path_factory.mktemp("made_up"))


@pytest.fixture(scope="session")
def evaluation_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three hundred patients, a hundred of each type, most of them complete; read-only by agreement."""
    return write_store(tmp_path_factory.mktemp("evaluation_store"), 300, 1, 0.9)


@pytest.fixture(scope="session")
def evaluation_checkpoint(evaluation_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with random weights whose pretraining saw everyone."""
    everyone = [str(p) for p in evaluation_store.patients["patient_id"]]
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "run", evaluation_store, everyone)


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    """A fitted model of all kinds of sources; read-only by agreement."""
    return make_model(tmp_path_factory.mktemp("small_model"))


@pytest.fixture
def edit_code(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Makes a module of ours, by its dotted name, look edited to whatever asks for a digest of the code."""
    edited: set[str] = set()
    original = provenance._code_digest

    def digest(path: Path) -> str:
        name = ".".join(path.relative_to(provenance.PACKAGE.parent).with_suffix("").parts)
        return f"edited {name}" if name in edited else original(path)

    def edit(name: str) -> None:
        edited.add(name)
        provenance.source_digest.cache_clear()

    monkeypatch.setattr(provenance, "_code_digest", digest)
    yield edit
    provenance.source_digest.cache_clear()
