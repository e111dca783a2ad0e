"""The running mean that `imputation: mean` imputes, against a naive loop, and over two processes."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from prime.model.constants import MeanTokens
from prime.model.prime import Prime
from prime.pretraining.network import OpaqueBatch, PretrainingModel
from prime.store.batch import Batch
from tests.made_up import (
    inputs,
    losses_of,
    make_batch,
    model_config,
    patterns_without_nothing,
    pretraining_model,
    select,
)

MEAN: dict[str, Any] = {"imputation": "mean"}
RANKS, EACH = 2, 5


def mean_of(model: Prime) -> MeanTokens:
    assert isinstance(model.bank, MeanTokens)
    return model.bank


def looped(steps: list[tuple[Tensor, Tensor]], decay: float) -> tuple[list[Tensor], list[float]]:
    """Means (K, D) and weights of each modality after steps of tokens (B, M, K, D) and observed (B, M).

    Every patient weighs decay ** (steps with the modality since then).
    """
    modalities = steps[0][0].shape[1]
    means, weights = [torch.zeros_like(steps[0][0][0, 0]) for _ in range(modalities)], [0.0] * modalities
    for m in range(modalities):
        total, weight = torch.zeros_like(means[m]), 0.0
        for own, observed in steps:
            rows = [own[b, m] for b in range(len(own)) if observed[b, m]]
            if rows:
                total, weight = decay * total, decay * weight
            for row in rows:
                total, weight = total + row, weight + 1.0
        if weight:
            means[m], weights[m] = total / weight, weight
    return means, weights


def observed_of_steps() -> list[Tensor]:
    """Three steps; modality 2 is absent from the second, modality 1 from the first two."""
    steps = [patterns_without_nothing(6, 3, seed) for seed in (0, 1, 2)]
    steps[0][:, 1] = False
    steps[1][:, 1:] = False
    for observed in steps:
        observed[:, 0] |= ~observed.any(dim=1)
    return steps


@pytest.mark.parametrize("decay", [1.0, 0.9, 0.0])
@pytest.mark.parametrize("whole", ["network", "pretraining"])
def test_training_steps_update_the_mean_as_a_loop_says(decay: float, whole: str) -> None:
    """The weights move between the steps, so each step has tokens of its own."""
    model = pretraining_model(model={**MEAN, "mean_decay": decay})
    prime = model.prime
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    seen: list[tuple[Tensor, Tensor]] = []
    for step, observed in enumerate(observed_of_steps()):
        batch = make_batch(observed, seed=step)
        with torch.no_grad():
            seen.append((prime.tokenize(batch), observed))
        optimizer.zero_grad()
        if whole == "pretraining":
            losses_of(model, batch)["total"].backward()
        else:
            prime(batch).fused.square().sum().backward()
        optimizer.step()
        means, weights = looped(seen, decay)
        found = mean_of(prime)
        assert found.weight.tolist() == pytest.approx(weights)
        assert torch.allclose(found.tokens, torch.stack(means), atol=1e-5)
    assert not torch.equal(seen[0][0][0, 0], seen[1][0][0, 0])


def test_a_modality_never_seen_stays_zero_and_an_absent_one_stays_as_it_was() -> None:
    model = Prime(inputs(), model_config(**MEAN)).train()
    first = torch.tensor([[True, True, False]]).expand(4, 3)
    model(make_batch(first))
    before = mean_of(model).tokens.clone()
    assert bool((before[2] == 0).all())
    assert bool((before[:2] != 0).any(dim=2).any(dim=1).all())
    model(make_batch(torch.tensor([[True, False, False]]).expand(4, 3), seed=1))
    after = mean_of(model).tokens
    assert torch.equal(before[1:], after[1:])
    assert not torch.equal(before[0], after[0])


def test_what_stands_where_nothing_was_observed_never_enters_the_mean() -> None:
    mean, observed = MeanTokens(3, model_config(**MEAN)), torch.tensor([[True, False, False]]).expand(4, 3)
    own = torch.full((4, 3, 3, 16), float("nan"))
    own[:, 0] = torch.arange(4.0)[:, None, None]
    mean.update(own, observed)
    assert mean.tokens[:, 0, 0].tolist() == [1.5, 0.0, 0.0]
    assert mean.weight.tolist() == [4.0, 0.0, 0.0]


def test_evaluation_leaves_the_mean_alone() -> None:
    model = pretraining_model(model=MEAN)
    batch = make_batch(patterns_without_nothing(6, 3, 0))
    model(OpaqueBatch(batch))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.eval()
    model(OpaqueBatch(make_batch(patterns_without_nothing(6, 3, 1), seed=1)))
    model.prime(batch)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert float(before["prime.bank.weight"].min()) > 0


def test_a_training_step_imputes_the_mean_of_earlier_steps() -> None:
    """Not that of its own batch, so batch-mates change nothing within a step either."""
    model = Prime(inputs(), model_config(**MEAN)).train()
    observed = patterns_without_nothing(6, 3, 2)
    first = model(make_batch(observed)).tokens
    assert bool((first[~observed] == 0).all())
    stored = mean_of(model).tokens.clone()
    second = model(make_batch(observed, seed=1)).tokens
    assert torch.equal(second[~observed], stored.expand(6, 3, 3, 16)[~observed])
    assert not torch.equal(mean_of(model).tokens, stored)


def test_the_mean_carries_no_gradient_to_earlier_steps() -> None:
    model = pretraining_model(model=MEAN)
    for seed in (0, 1):
        losses_of(model, make_batch(patterns_without_nothing(6, 3, seed), seed))["total"].backward()
    assert not mean_of(model.prime).tokens.requires_grad


def parallel_batches() -> list[Batch]:
    """Two steps; in the second the last rank has no patient with the third modality."""
    steps = [patterns_without_nothing(RANKS * EACH, 3, seed) for seed in (0, 1)]
    steps[1][EACH:, 2] = False
    steps[1][EACH:, 0] = True
    return [make_batch(observed, seed) for seed, observed in enumerate(steps)]


def parallel_model() -> PretrainingModel:
    return pretraining_model(model=MEAN, drop_modality=0.0, drop_token=0.0)


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS)
    model = parallel_model()
    parallel = torch.nn.parallel.DistributedDataParallel(model)
    pooled: list[Tensor] = []
    for batch in parallel_batches():
        mine = select(batch, torch.arange(rank * EACH, (rank + 1) * EACH))
        found = parallel(OpaqueBatch(mine))
        model.weigh(found.rows)["total"].backward()
        pooled.append(found.diagnosed["network"]["pooled"])
    torch.save({"state": model.state_dict(), "pooled": pooled}, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_keep_the_mean_of_one(tmp_path: Path) -> None:
    model = parallel_model()
    expected = [model(OpaqueBatch(batch)).diagnosed["network"]["pooled"] for batch in parallel_batches()]
    mp.spawn(worker, args=(str(tmp_path),), nprocs=RANKS)
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]
    for name in ("prime.bank.tokens", "prime.bank.weight"):
        assert torch.equal(ranks[0]["state"][name], ranks[1]["state"][name]), name
        assert torch.allclose(ranks[0]["state"][name], model.state_dict()[name], atol=1e-5), name
    for step, pooled in enumerate(expected):
        found = torch.cat([rank["pooled"][step] for rank in ranks])
        assert torch.allclose(found, pooled, atol=1e-5)
