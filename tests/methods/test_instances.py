"""Image instances, genomic tokens and the post-norm encoder, against plain loops and torch's own layer."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prime.errors import InputError
from prime.methods.layers.instances import (
    ConcatFusion,
    GenomicTokens,
    Instances,
    PooledEncoder,
    PostNormBlock,
    contiguous_means,
)
from prime.store.batch import Batch, SourceBatch
from prime.store.inputs import InputSpec
from tests.made_up import SOURCES, inputs, make_batch, model_config, poison

BOTH = torch.tensor([[True, True], [True, False], [False, True], [True, True], [True, True]])


def genes_spec(*sources: str) -> InputSpec:
    """An image and RNA with these sources."""
    names = {"image": ("tiles",), "rna": sources}
    return InputSpec(modalities=names, sources={s: SOURCES[s] for s in ("tiles", *sources)})


def rows_of(source: SourceBatch, patient: int) -> Tensor:
    """The real rows (n, d) of a patient."""
    return source.values[patient][source.token_mask[patient]]


# Instances --------------------------------------------------------------------------------------------------


def test_instances_are_projected_rows_and_feature_groups() -> None:
    torch.manual_seed(0)
    layer = Instances(inputs(2), "image", model_config()).eval()
    batch = make_batch(BOTH, seed=4)
    x, mask = layer(poison(batch))
    assert x.shape == (5, 4 + 2, 16)
    assert not x[~mask].any()
    tiles, stats = layer.projections["tiles"], layer.projections["stats"]
    for i in range(5):
        expected: list[Tensor] = []
        for row in rows_of(batch.sources["tiles"], i):
            normal = (row - row.mean()) / (row.var(unbiased=False) + 1e-5).sqrt()
            expected.append(tiles.linear.weight @ normal + tiles.linear.bias)
        for row in rows_of(batch.sources["stats"], i):  # groups (0, 0, 1, 1)
            expected.append(row[0] * stats.weight[0, 0] + row[1] * stats.weight[0, 1] + stats.bias[0])
            expected.append(row[2] * stats.weight[1, 0] + row[3] * stats.weight[1, 1] + stats.bias[1])
        assert int(mask[i].sum()) == len(expected)
        if expected:
            torch.testing.assert_close(x[i][mask[i]], torch.stack(expected).clamp_min(0))


def test_no_gradient_comes_from_masked_places() -> None:
    torch.manual_seed(0)
    layer = Instances(inputs(2), "image", model_config())
    gradients: list[list[Tensor | None]] = []
    for batch in (make_batch(BOTH, seed=4), poison(make_batch(BOTH, seed=4))):
        layer.zero_grad()
        layer(batch)[0].square().sum().backward()
        gradients.append([p.grad for p in layer.parameters()])
    for clean, poisoned in zip(*gradients, strict=True):
        assert clean is not None
        assert poisoned is not None
        assert clean.any()
        assert torch.equal(clean, poisoned)


def test_dropout_of_instances_is_for_training() -> None:
    layer = Instances(inputs(2), "image", model_config(dropout=0.5))
    batch = make_batch(BOTH)
    still = layer.eval()(batch)[0]
    assert torch.equal(still, layer(batch)[0])
    noisy = layer.train()(batch)[0]
    hidden = (noisy == 0) & (still > 0)
    assert hidden.any()
    torch.testing.assert_close(noisy[~hidden], 2 * still[~hidden])


# Genomic tokens ---------------------------------------------------------------------------------------------


def test_contiguous_means_by_hand() -> None:
    rows = torch.tensor([[1.0, 2, 9, 3, 4, 5], [7.0, 8, 0, 0, 0, 0], [6.0, 0, 0, 0, 0, 0]])[..., None]
    mask = torch.tensor([[1, 1, 0, 1, 1, 1], [1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]]).bool()
    two = contiguous_means(rows, mask, 2)[..., 0]
    assert two.tolist() == [[2.0, 4.5], [7.0, 8.0], [0.0, 0.0]]
    three = contiguous_means(rows, mask, 3)[..., 0]
    assert three.tolist() == [[1.5, 3.5, 5.0], [7.0, 8.0, 0.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize(("count", "chunks"), [(1, 4), (4, 4), (7, 3), (23, 6), (16, 5)])
def test_contiguous_means_cover_every_row_once(count: int, chunks: int) -> None:
    """Sizes differ by one at most, and no later row is in an earlier chunk."""
    rows = torch.eye(count)[None]  # the mean of a chunk tells which rows are in it
    means = contiguous_means(rows, torch.ones((1, count), dtype=torch.bool), chunks)[0]
    member = means > 0  # (G, count)
    assert torch.equal(member.sum(dim=0), torch.ones(count, dtype=torch.long))
    sizes = member.sum(dim=1)
    assert int(sizes.max() - sizes.min()) <= 1
    assert bool((member.long().argmax(dim=0).diff() >= 0).all())


@pytest.mark.parametrize("chunks", [1, 3, 4, 10])
def test_chunks_cover_every_feature_once(chunks: int) -> None:
    tokens = GenomicTokens(genes_spec("genes", "marks"), "rna", chunks, model_config())
    batch = make_batch(torch.ones((3, 2), dtype=torch.bool), spec=genes_spec("genes", "marks"))
    numbered = {
        "genes": SourceBatch(torch.arange(7.0).expand(3, 1, 7), torch.ones((3, 1), dtype=torch.bool)),
        "marks": SourceBatch(torch.arange(7.0, 10).expand(3, 1, 3), torch.ones((3, 1), dtype=torch.bool)),
    }
    parts = tokens.chunks(Batch(batch.patient_ids, batch.modalities, numbered, batch.cohort_codes))
    assert len(parts) == chunks
    assert torch.cat(parts, dim=1)[1].tolist() == list(range(10))
    sizes = [part.shape[1] for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert tokens(batch).shape == (3, chunks, 16)


def test_each_chunk_has_a_network_of_its_own() -> None:
    torch.manual_seed(0)
    spec = genes_spec("genes")
    tokens = GenomicTokens(spec, "rna", 3, model_config()).eval()
    batch = make_batch(torch.ones((4, 2), dtype=torch.bool), spec=spec)
    before = tokens(batch)
    batch.sources["genes"].values[:, :, 3] += 1.0  # chunks 0-2, 3-4, 5-6
    changed = (tokens(batch) != before).any(dim=2)
    assert changed.tolist() == [[False, True, False]] * 4
    for g, part in enumerate(tokens.chunks(batch)):
        x = part
        for block in tokens.networks[g]:
            h = x @ block[0].weight.T + block[0].bias
            x = torch.where(h > 0, h, h.exp() - 1)  # ELU
        torch.testing.assert_close(tokens(batch)[:, g], x)


def test_sequences_are_averaged_by_chunk_and_absent_sources_are_zero() -> None:
    spec = genes_spec("genes", "words")
    batch = make_batch(BOTH, seed=1, length=7, spec=spec)
    tokens = GenomicTokens(spec, "rna", 2, model_config())
    found = tokens.chunks(poison(batch))
    absent = set()
    for i in range(len(BOTH)):
        rows = rows_of(batch.sources["words"], i).double().numpy()
        normal = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + 1e-5)
        halves = [[r for j, r in enumerate(normal) if j * 2 // len(rows) == g] for g in range(2)]
        vector = rows_of(batch.sources["genes"], i).double().numpy()
        absent.add((len(vector) == 0, len(rows) == 0))
        features = vector[0] if len(vector) else np.zeros(7)
        for g, part in enumerate((features[:4], features[4:])):
            mean = np.mean(halves[g], axis=0) if halves[g] else np.zeros(6)
            np.testing.assert_allclose(found[g][i], [*part, *mean], rtol=1e-5, atol=1e-6)
    assert absent >= {(True, False), (True, True), (False, False)}


def test_too_few_features_are_the_users_to_know() -> None:
    with pytest.raises(InputError, match="7 features of modality 'rna' cannot be cut into 8 groups"):
        GenomicTokens(genes_spec("genes"), "rna", 8, model_config())
    GenomicTokens(genes_spec("genes", "words"), "rna", 8, model_config())  # a sequence fills every chunk


# Encoder ----------------------------------------------------------------------------------------------------


def torch_layer(block: PostNormBlock) -> nn.TransformerEncoderLayer:
    """Torch's own post-norm layer with the block's weights."""
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, norm_first=False)
    mine, theirs = block.attention, layer.self_attn
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([mine.query.weight, mine.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([mine.query.bias, mine.key_value.bias]))
    theirs.out_proj.load_state_dict(mine.output.state_dict())
    layer.linear1.load_state_dict(block.feed_forward[0].state_dict())
    layer.linear2.load_state_dict(block.feed_forward[3].state_dict())
    layer.norm1.load_state_dict(block.attention_norm.state_dict())
    layer.norm2.load_state_dict(block.norm.state_dict())
    return layer


def test_a_block_is_torchs_post_norm_layer() -> None:
    torch.manual_seed(0)
    block = PostNormBlock(model_config())
    for norm in (block.attention_norm, block.norm):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    x = torch.randn(4, 5, 16)
    mask = torch.arange(5) < torch.tensor([5, 3, 1, 4])[:, None]
    expected = torch_layer(block)(x, src_key_padding_mask=~mask)
    torch.testing.assert_close(block(x, mask)[mask], expected[mask], rtol=1e-4, atol=1e-5)


def test_an_encoder_reads_tokens_that_count_and_gives_zero_without_any() -> None:
    torch.manual_seed(0)
    encoder = PooledEncoder(model_config())
    x = torch.randn(3, 4, 16, requires_grad=True)
    mask = torch.tensor([[True] * 4, [True, False, True, False], [False] * 4])
    found = encoder(x, mask)
    assert found[2].tolist() == [0.0] * 16
    short = encoder(x[1:2, [0, 2]], torch.ones((1, 2), dtype=torch.bool))
    torch.testing.assert_close(found[1], short[0])
    found.square().sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())
    assert not x.grad[~mask].any()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in encoder.parameters())


def test_concatenation_goes_through_two_layers() -> None:
    torch.manual_seed(0)
    fusion = ConcatFusion(8)
    x = torch.randn(5, 16)
    first, second = fusion[0], fusion[2]
    hidden = (x @ first.weight.T + first.bias).clamp_min(0)
    torch.testing.assert_close(fusion(x), (hidden @ second.weight.T + second.bias).clamp_min(0))
