"""PRIME on one modality against PRIME's own parts."""

import pytest
import torch
from torch import Tensor, nn

from prime.catalogue.methods import METHODS
from prime.model.backbone import FusionBlock
from prime.model.prime import Prime
from prime.store.inputs import InputSpec
from tests.made_up import inputs, make_batch, model_config

IMAGE = inputs(1)
BASELINE = torch.tensor([-2.0, -1.0, 0.5])


def network(spec: InputSpec = IMAGE, seed: int = 0, **changes: object) -> nn.Module:
    torch.manual_seed(seed)
    return METHODS["image_only"].build(
        spec, model_config(**changes), METHODS["image_only"].settings(), BASELINE
    )


def prime_twin(unimodal: nn.Module, **changes: object) -> Prime:
    """PRIME without refiners on the image alone, with the same tokenizer and backbone."""
    twin = Prime(IMAGE, model_config(imputation="zero", refiner=False, **changes)).eval()
    state: dict[str, Tensor] = {}
    for key, value in unimodal.state_dict().items():
        if not key.startswith("head."):
            state[key.replace("tokenizer.", "tokenizers.image.", 1)] = value
    missing, unexpected = twin.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(key.startswith(("alignment_heads.", "fusion_head.", "bank.")) for key in missing)
    return twin


@pytest.mark.parametrize("mixture", [True, False])
def test_it_is_prime_on_one_modality(mixture: bool) -> None:
    unimodal = network(blocks=4, mixture=mixture).eval()
    batch = make_batch(torch.ones((9, 1), dtype=torch.bool))
    head = unimodal.head
    with torch.no_grad():
        head[2].weight.normal_()
    fused = prime_twin(unimodal, blocks=4, mixture=mixture)(batch).fused  # (B, 1, K, D)
    features = torch.stack([sum(patient[0, k] for k in range(3)) / 3 for patient in fused])
    spread = (features.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    expected = (features - features.mean(1, keepdim=True)) / spread @ head[2].weight.T + BASELINE
    torch.testing.assert_close(unimodal(batch).logits, expected, rtol=1e-4, atol=1e-5)


def test_every_second_block_is_sparse_and_its_gate_knows_one_modality() -> None:
    blocks = [m for m in network(blocks=4).modules() if isinstance(m, FusionBlock)]
    assert [block.experts is not None for block in blocks] == [False, True, False, True]
    assert all(b.experts is None or b.experts.modality.shape == (1, 16) for b in blocks)


def test_weights_start_as_those_of_prime() -> None:
    """Xavier-uniform, zero biases; the head starts at zero weights and the baseline."""
    unimodal = network(dim=64, heads=4)
    for name, module in unimodal.named_modules():
        if isinstance(module, nn.Linear) and not name.startswith("head."):
            bound = (6 / sum(module.weight.shape)) ** 0.5
            assert 0.9 * bound < float(module.weight.detach().abs().max()) <= bound
            assert module.bias is None or not module.bias.any()
    assert not unimodal.head[2].weight.any()
    assert torch.equal(unimodal.head[2].bias, BASELINE)


def test_it_adds_no_loss() -> None:
    batch = make_batch(torch.ones((4, 1), dtype=torch.bool))
    assert network(blocks=2).train()(batch).losses == {}


@pytest.mark.parametrize(
    ("name", "role"), [("image_only", "image"), ("rna_only", "rna"), ("report_only", "report")]
)
def test_each_reads_its_own_modality(name: str, role: str) -> None:
    available = dict(inputs(3).modalities)
    assert METHODS[name].modalities(available, {}) == (role,)
