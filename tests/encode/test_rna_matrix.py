"""Matrices: which way round, which unit and why, and what contradicts a declared one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prime.encode.rna.genes import gene_list, read_gene_list
from prime.encode.rna.matrix import MatrixOptions, read_matrix, read_tpm
from prime.encode.rna.units import check_unit, detect_unit, to_tpm
from prime.errors import InputError

TCGA = Path(__file__).resolve().parents[2] / ".." / "shared" / "tcga" / "bulkrnabert"
GENES = 12_000  # enough for their sum to tell


def made_tpm(patients: int = 3, genes: int = GENES, seed: int = 0) -> np.ndarray:
    """TPM of genes that are eight tenths of all."""
    draw = np.random.default_rng(seed)
    raw = np.exp(draw.normal(0, 2.5, (patients, genes))) * (draw.random((patients, genes)) > 0.1)
    return 8e5 * raw / raw.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("change", "unit", "words"),
    [
        (lambda x: x, "tpm", "sum to 800,000 to 800,000, at most 1,000,000"),
        (lambda x: np.log10(1 + x), "log10-tpm", "turned back they sum to 800,000"),
        (lambda x: np.log2(1 + x), "log2-tpm", "turned back they sum to 800,000"),
        (lambda x: np.log1p(x), "ln-tpm", "turned back they sum to 800,000"),
        (lambda x: np.round(x * 40), "counts", "all values are whole numbers"),
        (lambda x: np.minimum(np.round(x), 9), "counts", "all values are whole numbers, the largest 9"),
        (
            lambda x: np.log2(0.001 + x),
            "log2-tpm-0.001",
            "the least value is -9.97, and turned back patients",
        ),
        (lambda x: np.log2(0.001 + x).round(4), "log2-tpm-0.001", "at most 1,000,000"),
    ],
)
def test_units_are_found_with_a_reason(change, unit: str, words: str) -> None:
    values = change(made_tpm())
    found, reason = detect_unit(values, "m.csv")
    assert found == unit
    assert words in reason
    check_unit(values, unit, ["a", "b", "c"], "m.csv")
    if unit != "counts":
        near = 1e-4 if (values == values.round(4)).all() else 1e-9
        assert np.allclose(to_tpm(values, unit), made_tpm(), rtol=near, atol=near)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x * 40 + 0.25, "not whole, sums 32,003,000 to 32,003,000; declare --unit (RSEM"),
        (lambda x: x * 1000, "sums 800,000,000 to 800,000,000; declare --unit (RSEM"),
        (lambda x: x * 0.3, "sums 240,000 to 240,000; declare --unit (RSEM's expected counts: --unit counts"),
        (lambda x: x[:, :500], "; 500 genes do not tell TPM from FPKM"),
        (lambda x: np.log2(1 + 0.3 * x), "but 12,000 genes do not tell the base"),
        (lambda x: 1000 * np.log2(1 + x), "values up to"),
        (lambda x: x / 50 - 1, "negative values, down to -1.00; z-scores cannot be turned back"),
        (lambda x: np.log2(0.001 + x)[:, :500], "as Xena has it, whose least value is -9.97, declare --unit"),
        (lambda x: np.log2(1e-6 + x), "negative values, down to -19.93"),
        (lambda x: np.log2(1 + x)[:, :500], "these are logarithms, but 500 genes do not tell the base"),
        (lambda x: x / 1e5, "these are logarithms, but 12,000 genes do not tell the base"),
    ],
)
def test_units_that_cannot_be_told_are_refused(change, message: str) -> None:
    with pytest.raises(InputError) as caught:
        detect_unit(change(made_tpm()), "m.csv")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "unit", "message"),
    [
        (lambda x: np.log2(1 + x), "tpm", "patient b has no value over"),
        (lambda x: x * 40, "tpm", "patient b sums to 32,000,000, beyond 1,000,000"),
        (lambda x: x * 0.3, "tpm", "patient b sums to 240,000 only, TPM to most of a million"),
        (lambda x: x * 1000, "tpm", "patient b sums to 800,000,000, beyond 1,000,000"),
        (lambda x: x, "log2-tpm", "no logarithm of TPM"),
        (lambda x: np.log2(1 + x), "log10-tpm", "over 1,000,000"),
        (lambda x: np.log10(1 + x), "log2-tpm", "only: another base"),
        (lambda x: x, "counts", "patient b has fractions that sum to 800,000: TPM"),
        (lambda x: np.log2(1 + x), "counts", "these are logarithms"),
    ],
)
def test_a_declared_unit_that_contradicts_one_patient_is_refused(change, unit: str, message: str) -> None:
    good = {"tpm": lambda x: x, "counts": lambda x: np.round(x * 40)}.get(
        unit, lambda x: np.log1p(x) / np.log({"log2-tpm": 2, "log10-tpm": 10}.get(unit, np.e))
    )
    values = made_tpm()
    mixed = np.stack([good(values)[0], change(values)[1], good(values)[2]])
    check_unit(good(values), unit, ["a", "b", "c"], "m.csv")
    with pytest.raises(InputError, match=f"m.csv: unit {unit}, but patient b ") as caught:
        check_unit(mixed, unit, ["a", "b", "c"], "m.csv")
    assert message in str(caught.value)


def test_patients_without_any_expression_fail_and_have_no_say_in_the_unit(tmp_path: Path) -> None:
    genes, path = gene_list(ids(GENES), "list"), tmp_path / "m.parquet"
    for unit, change in (
        ("tpm", lambda x: x),
        ("log2-tpm", lambda x: np.log2(1 + x)),
        ("log2-tpm-0.001", lambda x: np.log2(0.001 + x)),
    ):
        tpm = made_tpm()
        tpm[1] = 0.0
        frame(change(tpm)).to_parquet(path)
        found = read_tpm(path, MatrixOptions(), genes)
        assert found.unit == unit
        assert list(found.silent) == ["p1"]
        assert "no gene is expressed, each has the value" in found.silent["p1"]
        assert np.allclose(found.tpm[[0, 2]], tpm[[0, 2]], rtol=1e-6, atol=1e-6)
    frame(np.zeros((2, 30))).to_parquet(path)
    with pytest.raises(InputError, match=r"no sample has any expression \(no gene is expressed"):
        read_tpm(path, MatrixOptions(), gene_list(ids(30), "list"))


def test_counts_of_genes_without_a_length_alone_are_no_expression(tmp_path: Path) -> None:
    path, lengths = tmp_path / "counts.csv", tmp_path / "lengths.csv"
    frame(np.array([[10.0, 20.0, 70.0], [0.0, 0.0, 7.0]]), versions=False).to_csv(path, index=False)
    pd.DataFrame({"gene_id": ids(2), "length": [1000, 2000]}).to_csv(lengths, index=False)
    found = read_tpm(path, MatrixOptions(lengths=lengths), gene_list(ids(2), "list"))
    assert found.tpm.tolist()[0] == [5e5, 5e5]
    assert list(found.silent) == ["p1"]


def test_negative_values_contradict_every_other_unit(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    frame(np.log2(made_tpm(3, 200) + 0.001)).to_csv(path, index=False)
    genes = gene_list(ids(200), "list")
    for unit in ("tpm", "log2-tpm", "ln-tpm", "log10-tpm", "counts"):
        with pytest.raises(InputError, match=r"patient p0, gene ENSG\d+: -"):
            read_tpm(path, MatrixOptions(unit=unit), genes)
    found = read_tpm(path, MatrixOptions(unit="log2-tpm-0.001"), genes)
    assert np.allclose(found.tpm, made_tpm(3, 200), atol=1e-6)


def test_counts_become_tpm_by_hand() -> None:
    """Counts 10, 20, 0 over 1, 2 and 5 kb: rates 10, 10, 0, so half a million each."""
    found = to_tpm(np.array([[10.0, 20.0, 0.0], [0, 0, 0]]), "counts", np.array([1000.0, 2000.0, 5000.0]))
    assert found.tolist() == [[500_000, 500_000, 0], [0, 0, 0]]


def ids(number: int) -> list[str]:
    return [f"ENSG{i:011d}" for i in range(number)]


def frame(values: np.ndarray, versions: bool = True) -> pd.DataFrame:
    names = [f"{name}.{i % 9 + 1}" if versions else name for i, name in enumerate(ids(values.shape[1]))]
    table = pd.DataFrame(values, columns=pd.Index(names))
    table.insert(0, "patient_id", [f"p{i}" for i in range(len(values))])
    return table


@pytest.fixture
def values() -> np.ndarray:
    return made_tpm(3, 200)


def test_either_way_round_and_either_kind_of_file(tmp_path: Path, values: np.ndarray) -> None:
    genes = gene_list(list(reversed(ids(200))), "list")
    options = MatrixOptions(unit="tpm")
    wide, tall = tmp_path / "wide.parquet", tmp_path / "tall.tsv"
    frame(values).to_parquet(wide)
    turned = frame(values).set_index("patient_id").T.rename_axis("Ensembl_ID").reset_index()
    turned.insert(1, "gene_name", [f"NAME{i}" for i in range(200)])
    turned.to_csv(tall, sep="\t", index=False)
    for path in (wide, tall):
        found = read_tpm(path, options, genes)
        assert found.samples == ["p0", "p1", "p2"]
        assert np.allclose(found.tpm, values[:, ::-1], rtol=1e-12)
        assert (found.unit, found.reason) == ("tpm", "declared")


def test_an_index_and_columns_about_genes_are_no_samples(tmp_path: Path, values: np.ndarray) -> None:
    genes, options = gene_list(ids(200), "list"), MatrixOptions(unit="tpm")
    wide, tall = tmp_path / "wide.csv", tmp_path / "tall.tsv"
    frame(values).assign(patient_id=["007", "08", "9"]).iloc[::-1].to_csv(wide)
    assert read_tpm(wide, options, genes).samples == ["9", "08", "007"]
    turned = frame(values).set_index("patient_id").T.rename_axis("gene_id").reset_index()
    turned.insert(1, "Entrez_Gene_Id", range(1000, 1200))
    turned.to_csv(tall, sep="\t")
    found = read_tpm(tall, options, genes)
    assert found.samples == ["p0", "p1", "p2"]
    assert np.allclose(found.tpm, values, rtol=1e-12)


def test_counts_need_lengths_and_are_normalised_over_all_genes(tmp_path: Path) -> None:
    path, lengths = tmp_path / "counts.csv", tmp_path / "lengths.csv"
    counts = np.array([[10.0, 20.0, 70.0], [30.0, 0.0, 0.0]])
    frame(counts, versions=False).to_csv(path, index=False)
    genes = gene_list(ids(2), "list")
    with pytest.raises(InputError, match="need --lengths"):
        read_tpm(path, MatrixOptions(), genes)
    pd.DataFrame({"gene_id": ids(3), "length": [1000, 2000, 7000]}).to_csv(lengths, index=False)
    found = read_tpm(path, MatrixOptions(lengths=lengths), genes)
    assert np.allclose(found.tpm, [[1e6 / 3, 1e6 / 3], [1e6, 0]])
    pd.DataFrame({"gene_id": ids(3), "length": [1000, 0, 7000]}).to_csv(lengths, index=False)
    with pytest.raises(InputError, match="gene ENSG00000000001: the length is not a number above 0"):
        read_tpm(path, MatrixOptions(lengths=lengths), genes)
    pd.DataFrame({"gene_id": ["x"], "length": [1000]}).to_csv(lengths, index=False)
    with pytest.raises(InputError, match="has a length for 0 of the 3 genes"):
        read_tpm(path, MatrixOptions(lengths=lengths), genes)


def test_symbols_become_ids(tmp_path: Path, values: np.ndarray) -> None:
    path, symbols = tmp_path / "m.csv", tmp_path / "map.csv"
    names = [f"NAME{i}" for i in range(200)]
    table = pd.DataFrame(values, columns=pd.Index(names))
    table.insert(0, "sample", ["a", "b", "c"])
    table.to_csv(path, index=False)
    genes = gene_list(ids(200), "list")
    with pytest.raises(InputError, match="--genes-in columns or rows"):
        read_tpm(path, MatrixOptions(unit="tpm"), genes)
    with pytest.raises(InputError, match="the genes are symbols"):
        read_tpm(path, MatrixOptions(unit="tpm", genes_in="columns"), genes)
    pd.DataFrame({"gene_id": ids(200), "gene_name": names}).to_csv(symbols, index=False)
    found = read_tpm(path, MatrixOptions(unit="tpm", genes_in="columns", symbols=symbols), genes)
    assert np.allclose(found.tpm, values)
    as_listed = read_tpm(path, MatrixOptions(unit="tpm"), gene_list(names, "list"))
    assert np.allclose(as_listed.tpm, values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(**{"ENSG00000000004.5": -1.0}), "patient p0, gene ENSG00000000004: -1 (3 such"),
        (
            lambda t: t.assign(**{"ENSG00000000004.5": [1.0, np.nan, 1.0]}),
            "patient p1, gene ENSG00000000004: nan",
        ),
        (lambda t: t.assign(**{"ENSG00000000004.9": 1.0}), "gene 'ENSG00000000004' occurs twice"),
        (lambda t: t.assign(site="x"), "column 'site' holds 'x', not a number"),
        (lambda t: t.iloc[:, :150], "has 149 of the 200 genes of list, at least 189 are needed"),
        (lambda t: t.drop(columns="patient_id"), "Name it with --id-column"),
    ],
)
def test_bad_matrices_are_told(tmp_path: Path, values: np.ndarray, change, message: str) -> None:
    path = tmp_path / "m.csv"
    change(frame(values)).to_csv(path, index=False)
    with pytest.raises(InputError) as caught:
        read_tpm(path, MatrixOptions(unit="tpm"), gene_list(ids(200), "list"))
    assert message in str(caught.value)
    assert "m.csv" in str(caught.value)


@pytest.mark.tcga
@pytest.mark.skipif(not TCGA.is_dir(), reason="no real TCGA evaluation set beside the checkout")
def test_the_real_sample_is_tpm_and_its_logarithms_are_recognised(tmp_path: Path) -> None:
    genes = read_gene_list(TCGA / "common_gene_id.txt")
    found = read_tpm(TCGA / "tcga_sample.csv", MatrixOptions(), genes)
    assert found.unit == "tpm"
    assert found.samples[0] == "TCGA-06-2559-01A"
    assert np.allclose(found.tpm.sum(axis=1), [795632.1194, 754188.6904, 779002.1712, 622910.1470])
    assert found.tpm[0, :5].tolist() == [
        69.5439,
        0.4599,
        112.2372,
        8.4532,
        8.4303,
    ]  # as in the GDC's own file
    for base, unit in ((2.0, "log2-tpm"), (np.e, "ln-tpm"), (10.0, "log10-tpm")):
        logs = np.log1p(found.tpm) / np.log(base)
        assert detect_unit(logs, "x")[0] == unit
        check_unit(logs, unit, found.samples, "x")
        assert np.allclose(to_tpm(logs, unit), found.tpm, rtol=1e-9, atol=1e-9)


def test_another_offset_is_not_taken_for_that_of_xena() -> None:
    with pytest.raises(InputError, match=r"unit unknown: negative values, down to -6\.64"):
        detect_unit(np.log2(0.01 + made_tpm()), "m.csv")


def made_table(path: Path, more: dict[str, object], genes: int = 40) -> Path:
    """A matrix of samples in rows with Ensembl ids, and further columns."""
    table = pd.DataFrame(made_tpm(3, genes), columns=[f"ENSG{i:011d}" for i in range(genes)])
    table.insert(0, "patient_id", ["a", "b", "c"])
    table.assign(**more).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"age": 60.0, "OS.time": 3.0}, "age, OS.time are no Ensembl ids"),
        ({"1-Mar": 1.0, "Sep-02": 2.0}, "2 genes are called 1-Mar, Sep-02: a spreadsheet changed symbols"),
        ({"ENSG00000099999": ["1,5", "2,5", "3"]}, "holds '1,5', not a number"),
    ],
)
def test_what_is_no_expression_of_a_gene_is_refused(tmp_path: Path, more, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_matrix(made_table(tmp_path / "m.csv", more), MatrixOptions(), None)


def test_reads_that_belong_to_no_gene_are_left_out(tmp_path: Path) -> None:
    path = made_table(tmp_path / "m.csv", {"N_unmapped": 5.0, "__no_feature": 7.0})
    assert len(read_matrix(path, MatrixOptions(), None).genes) == 40


def test_a_row_without_a_gene_is_not_asked_for_a_patient(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("Hugo_Symbol,p1,p2\nTP53,1,2\n,3,4\n")
    with pytest.raises(
        InputError, match="row 2 has no Hugo_Symbol; give every row the name of its patient or gene"
    ):
        read_matrix(tmp_path / "m.csv", MatrixOptions(id_column="Hugo_Symbol", genes_in="rows"), None)
