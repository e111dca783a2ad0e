"""The embedding cache equals a direct forward pass in every pattern, and computes each subset once."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from prime.downstream.embeddings import embed, read_out
from prime.model.prime import Completed, Encoding, Prime
from prime.settings.evaluation import FinetuneConfig, ReadoutConfig
from prime.store.batch import Batch
from prime.store.inputs import input_spec
from prime.store.loading import PatientLoader, fit_scalings
from prime.store.store import Store
from tests.made_up import model_config

PATTERNS = {
    "".join(n for n, k in zip(" irt"[1:], keep, strict=True) if k): keep
    for keep in product((True, False), repeat=3)
    if any(keep)
}


@pytest.fixture(scope="module")
def loader(made_up_store: Store) -> PatientLoader:
    return PatientLoader(made_up_store, fit_scalings(made_up_store, np.arange(60), 5.0))


@pytest.fixture(scope="module")
def network(made_up_store: Store) -> Prime:
    torch.manual_seed(0)
    return Prime(input_spec(made_up_store), model_config())


@pytest.mark.parametrize(
    "readout",
    [
        ReadoutConfig(),
        ReadoutConfig(stages=("tokens", "fused")),
        ReadoutConfig(stages=("refined",), pool="flatten"),
        ReadoutConfig(stages=("tokens",)),
    ],
    ids=["pooled", "tokens+fused", "flat", "tokens alone"],
)
def test_equals_a_direct_forward_pass(
    made_up_store: Store, loader: PatientLoader, network: Prime, readout: ReadoutConfig
) -> None:
    observed, patients = made_up_store.observed(), np.arange(3, 40)
    cache = embed(network, loader, observed, patients, PATTERNS, readout, batch_size=16)
    for name, keep in PATTERNS.items():
        left = (observed[patients] & np.array(keep)).any(axis=1)
        assert np.array_equal(cache.row[name][patients] >= 0, left)
        assert (np.delete(cache.row[name], patients) == -1).all()
        for patient in patients[left][:8]:
            batch = loader.batch([patient]).keep(torch.tensor([keep]))
            with torch.no_grad():
                expected = read_out(network.eval()(batch), readout)
            found = cache.take(name, np.array([patient]))
            assert np.allclose(found, expected.numpy(), atol=1e-5)


class Counting(Prime):
    """Counts the patients it tokenizes, and the subsets it encodes."""

    tokenized: int = 0
    encoded: int = 0

    def tokenize(self, batch: Batch, hide: float = 0.0) -> torch.Tensor:
        self.tokenized += len(batch.patient_ids)
        return super().tokenize(batch, hide)

    def encode(self, found: Completed) -> Encoding:
        self.encoded += len(found.tokens)
        return super().encode(found)


def test_each_distinct_subset_is_computed_once(made_up_store: Store, loader: PatientLoader) -> None:
    model = Counting(input_spec(made_up_store), model_config())
    observed, patients = made_up_store.observed(), np.arange(60)
    cache = embed(model, loader, observed, patients, PATTERNS, ReadoutConfig())
    subsets = {(p, tuple(observed[p] & np.array(k))) for p in patients for k in PATTERNS.values()}
    distinct = sum(any(kept) for _, kept in subsets)
    assert model.encoded == len(cache.values) == distinct
    assert distinct < 60 * len(PATTERNS)
    assert model.tokenized == observed.any(axis=1).sum()


def test_the_backbone_is_not_run_for_what_is_read_before_it(
    made_up_store: Store, loader: PatientLoader
) -> None:
    model = Counting(input_spec(made_up_store), model_config())
    readout = ReadoutConfig(stages=("tokens",))
    embed(model, loader, made_up_store.observed(), np.arange(20), PATTERNS, readout)
    assert model.tokenized
    assert not model.encoded


def test_shapes_of_what_a_head_reads(made_up_store: Store, loader: PatientLoader, network: Prime) -> None:
    def shape(**options: Any) -> tuple[int, ...]:
        with torch.no_grad():
            return tuple(read_out(network(loader.batch([0, 1])), ReadoutConfig(**options)).shape)

    assert shape() == (2, 1, 16)
    assert shape(stages=("tokens", "refined", "fused")) == (2, 9, 16)
    assert shape(stages=("fused",), pool="flatten") == (2, 3, 48)


def test_pooling_reads_observed_modalities_only(loader: PatientLoader, network: Prime) -> None:
    with torch.no_grad():
        encoding = network.eval()(loader.batch(np.arange(10)))
    found = read_out(encoding, ReadoutConfig())[:, 0]
    for i in range(10):
        expected = encoding.fused[i][encoding.observed[i]].mean(dim=(0, 1))
        assert torch.allclose(found[i], expected, atol=1e-5)


def test_bfloat16_is_asked_for_by_name_and_stays_near(
    made_up_store: Store, loader: PatientLoader, network: Prime
) -> None:
    observed, patients = made_up_store.observed(), np.arange(60)
    exact = embed(network, loader, observed, patients, PATTERNS, ReadoutConfig())
    mixed = embed(network, loader, observed, patients, PATTERNS, ReadoutConfig(precision="bf16-mixed"))
    assert mixed.values.dtype == np.float32
    error = np.abs(mixed.values - exact.values)
    assert error.max() > 0
    assert error.mean() < 0.02 * exact.values.std()


def test_a_precision_that_fine_tuning_would_not_heed_is_refused() -> None:
    FinetuneConfig.model_validate(FinetuneConfig().model_dump())
    with pytest.raises(ValidationError, match=r"set finetune\.precision"):
        FinetuneConfig.model_validate({"precision": "32-true", "readout": {"precision": "bf16-mixed"}})
