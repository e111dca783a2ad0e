"""A model that keeps its patients, unseen patients, and a hub of this machine."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from prime.predict.fit import fit
from prime.predict.model_folder import FittedModel, load_model
from prime.settings.experiment import load_experiment
from prime.store.store import Store
from tests.share.fake_hub import WRITES, FakeHub, serving
from tests.small_model import SmallModel

OTHER = {"HF_HUB_DISABLE_XET": True, "HF_HUB_DISABLE_PROGRESS_BARS": True, "HF_HUB_OFFLINE": False}


@dataclass(frozen=True)
class Work:
    """A folder of a model with its patients, its cohort, and the packed unseen patients."""

    folder: Path
    own: Store
    unseen: Store
    cohort: Path

    @property
    def model(self) -> FittedModel:
        return load_model(self.folder)


@pytest.fixture(scope="package")
def work(small_model: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> Work:
    folder, made = tmp_path_factory.mktemp("share"), small_model
    experiment = load_experiment(made.cohort.parent.parent / "experiment.yaml", ())
    own = Store.open(made.store)
    fit(own, experiment, made.run, ("all",), folder / "model", with_patients=True)
    return Work(folder / "model", own, made.packed(made.unseen, folder / "unseen"), made.unseen)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """The hub that this process's client asks, with an empty cache and a token that writes."""
    import huggingface_hub.constants as constants

    with serving() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.address)
        files = found.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        for name, value in OTHER.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setenv("HF_TOKEN", WRITES)
        yield found
