"""Retrieval, neighbours, perplexity and spread on inputs whose answers are known."""

import pytest
import torch
from torch.nn.functional import normalize

from prime.pretraining.diagnostics import (
    expert_use,
    neighbour_accuracy,
    perplexity,
    prototype_use,
    retrieval,
    spread,
)

NAMES = ["a", "b"]


def test_perfect_and_shifted_retrieval() -> None:
    z, observed = torch.eye(6), torch.ones((6, 2), dtype=torch.bool)
    same = retrieval(torch.stack([z, z], 1), observed, None, NAMES)
    assert same == {"a-b": 1.0, "a-b/chance": pytest.approx(1 / 6)}
    assert retrieval(torch.stack([z, z.roll(1, 0)], 1), observed, None, NAMES)["a-b"] == 0.0


def test_retrieval_counts_only_patients_with_both() -> None:
    z = torch.eye(6)
    both = torch.stack([z, z], 1)
    observed = torch.ones((6, 2), dtype=torch.bool)
    observed[0, 0] = observed[1, 1] = False
    both[0, 0] = both[1, 1] = float("nan")
    assert retrieval(both, observed, None, NAMES) == {"a-b": 1.0, "a-b/chance": pytest.approx(0.25)}
    observed[2:, 0] = False
    assert retrieval(both, observed, None, NAMES) == {}


def test_within_a_group_only_its_members_compete() -> None:
    """Patients 0 and 1 are confused with each other, and belong to different groups."""
    a = torch.eye(4)
    b = a[[1, 0, 2, 3]]
    groups = torch.tensor([0, 1, 0, 1])
    z, observed = torch.stack([a, b], 1), torch.ones((4, 2), dtype=torch.bool)
    assert retrieval(z, observed, None, NAMES)["a-b"] == 0.5
    within = retrieval(z, observed, groups, NAMES)
    assert within["a-b/chance"] == 0.5
    assert within["a-b"] >= 0.5


def test_neighbours_vote() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 2
    centres = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    apart = centres[labels] + 0.01 * torch.randn((40, 2), generator=generator)
    assert neighbour_accuracy(apart, labels) == 1.0
    assert neighbour_accuracy(apart, 1 - labels) == 1.0
    shuffled = labels[torch.randperm(40, generator=generator)]
    assert neighbour_accuracy(apart, shuffled) < 0.8
    assert neighbour_accuracy(torch.eye(2), torch.tensor([0, 1])) == 0.0  # never one's own neighbour


def test_perplexity_is_the_number_of_entries_in_use() -> None:
    assert perplexity(torch.full((8,), 1 / 8)) == pytest.approx(8.0)
    assert perplexity(torch.tensor([1.0, 0.0, 0.0])) == pytest.approx(1.0)
    assert perplexity(torch.tensor([0.5, 0.5, 0.0, 0.0])) == pytest.approx(2.0)


def test_spread_is_one_for_even_directions_and_zero_in_collapse() -> None:
    z = normalize(torch.randn((4000, 32), generator=torch.Generator().manual_seed(0)), dim=-1)
    assert spread(z) == pytest.approx(1.0, abs=0.02)
    assert spread(z[:1].expand(50, -1)) == pytest.approx(0.0, abs=1e-5)


def test_use_of_prototypes() -> None:
    consensus = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.5, 0.48, 0.02, 0.0]])
    assert prototype_use(consensus)["prototypes_dead"] == 2  # below a tenth of a quarter
    even = prototype_use(torch.full((3, 4), 0.25))
    assert even == {"prototype_perplexity": pytest.approx(4.0), "prototypes_dead": 0}


def test_use_of_experts_counts_the_slots_of_each_modality() -> None:
    """Two patients, two blocks, tokens of modalities 0, 0 and 1, two experts each; expert 3 never serves."""
    modality = torch.tensor([0, 0, 1])
    first = torch.tensor([[[0, 1], [0, 2], [2, 1]], [[0, 1], [0, 1], [2, 1]]])
    found = expert_use(torch.stack([first, first], dim=1), modality, 2, 4)
    assert found["expert_use"] == [pytest.approx([4 / 8, 3 / 8, 1 / 8, 0.0]), pytest.approx([0, 0.5, 0.5, 0])]
    assert found["experts_dead"] == 2
    other = torch.stack([first, torch.full_like(first, 3)], dim=1)
    assert expert_use(other, modality, 2, 4)["expert_use"][1] == pytest.approx([0, 0.25, 0.25, 0.5])
    assert expert_use(torch.zeros(2, 0), modality, 2, 4) == {"expert_use": [], "experts_dead": 0}
