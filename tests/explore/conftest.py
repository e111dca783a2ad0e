"""A small cohort as the explorer shows it; nothing goes to the user's cache."""

from collections.abc import Iterator

import pytest
import torch

from prime.cohort.config import load_cohort
from prime.explore.cohort import Explored, explored
from prime.explore.prepare import open_any
from prime.serve.trace import caching_nowhere
from prime.store.store import Store
from tests.explore.slide_cohort import SlideCohort, make_slide_cohort
from tests.small_model import SmallModel


@pytest.fixture(scope="session")
def one_cache() -> Iterator[None]:
    """One cache folder for all of them: blocks that follow each other in a session would hide the first's."""
    with caching_nowhere():
        yield


@pytest.fixture(scope="session")
def shown(small_model: SmallModel, one_cache: None) -> Explored:
    """The cohort that the small model was fitted on, with its findings; read-only by agreement."""
    checkpoint, model = open_any(small_model.model)
    store = Store.open(small_model.store)
    return explored(load_cohort(small_model.cohort), store, checkpoint, model, torch.device("cpu"))


@pytest.fixture(scope="session")
def slide_cohort(small_model: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> SlideCohort:
    """Unseen patients, one of whom has centroids of two slides that are at hand."""
    return make_slide_cohort(small_model, tmp_path_factory.mktemp("slides"))


@pytest.fixture(scope="session")
def slides_shown(small_model: SmallModel, slide_cohort: SlideCohort, one_cache: None) -> Explored:
    """That cohort, with the findings of the small model."""
    checkpoint, model = open_any(small_model.model)
    store = Store.open(slide_cohort.store)
    return explored(load_cohort(slide_cohort.cohort), store, checkpoint, model, torch.device("cpu"))
