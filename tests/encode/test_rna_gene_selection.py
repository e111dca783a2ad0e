"""Which genes are kept: each way against a plain computation."""

from pathlib import Path

import numpy as np
import pytest

from prime.encode.rna.gene_selection import first_genes, most_variable_genes, random_genes
from prime.encode.rna.genes import read_gene_list

TCGA = Path(__file__).resolve().parents[2] / ".." / "shared" / "tcga" / "bulkrnabert"


def test_first_and_random() -> None:
    assert first_genes(5, 3).tolist() == [0, 1, 2]
    assert first_genes(3, 5).tolist() == [0, 1, 2]
    drawn = random_genes(1000, 100, 7)
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert len(drawn) == 100
    assert drawn.tolist() == random_genes(1000, 100, 7).tolist()
    assert drawn.tolist() != random_genes(1000, 100, 8).tolist()
    assert random_genes(4, 10, 0).tolist() == [0, 1, 2, 3]


def test_variance_is_that_of_log_tpm_over_the_patients() -> None:
    draw = np.random.default_rng(0)
    tpm = np.exp(draw.normal(0, 1, (9, 50)) * draw.random(50))
    tpm[:, 7] = np.nan  # missing everywhere: as 0, it never varies
    variance = np.var(np.log10(1 + np.nan_to_num(tpm)), axis=0)
    expected = sorted(np.argsort(-variance)[:20].tolist())
    assert most_variable_genes(iter(tpm), 20).tolist() == expected
    assert most_variable_genes(np.ones((3, 6)), 2).tolist() == [0, 1]
    with pytest.raises(ValueError, match="two profiles"):
        most_variable_genes(tpm[:1], 2)


@pytest.mark.tcga
@pytest.mark.skipif(not TCGA.is_dir(), reason="no real TCGA evaluation set beside the checkout")
def test_the_first_2048_lack_most_of_the_known_drivers() -> None:
    """What docs/encode_rna.md says of --slice first."""
    names = read_gene_list(TCGA / "common_gene_id.txt").names
    kept = {names[row] for row in first_genes(len(names), 2048)}
    assert names[2047] == "ENSG00000099864"
    inside = {"BRCA1": "ENSG00000012048", "ESR1": "ENSG00000091831"}
    outside = {
        "KRAS": "ENSG00000133703", "IDH1": "ENSG00000138413", "TP53": "ENSG00000141510",
        "EGFR": "ENSG00000146648", "MKI67": "ENSG00000148773", "PTEN": "ENSG00000171862",
    }  # fmt: skip
    assert all(gene in kept for gene in inside.values())
    assert all(gene in names and gene not in kept for gene in outside.values())
