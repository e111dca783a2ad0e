"""What all tests share: one thread for torch, and a small packed store."""

import pytest
import torch
from made_up import write_store

from prime.cohort.store import Store

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def made_up_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Sixty patients, three cancer types, three modalities; read-only by agreement."""
    return write_store(tmp_path_factory.mktemp("made_up"))
