"""A small cohort as the explorer shows it; nothing goes to the user's cache."""

from collections.abc import Iterator

import pytest
import torch

from prime.cohort.config import load_cohort
from prime.explore.cohort import Explored, explored
from prime.explore.prepare import open_any
from prime.serve.trace import caching_nowhere
from prime.store.store import Store
from tests.small_model import SmallModel


@pytest.fixture(scope="session")
def shown(small_model: SmallModel) -> Iterator[Explored]:
    """The cohort that the small model was fitted on, with its findings; read-only by agreement."""
    checkpoint, model = open_any(small_model.model)
    with caching_nowhere():
        store = Store.open(small_model.store)
        yield explored(load_cohort(small_model.cohort), store, checkpoint, model, torch.device("cpu"))
