"""STAR-Counts files: what is read of them, and each way in which one can be broken."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from prime.cohort.patient_names import PATIENT_FROM
from prime.cohort.tissue import TUMOUR
from prime.encode.rna.genes import PUBLISHED_SHA256, GeneList, align, base_id, gene_list, read_gene_list
from prime.encode.rna.samples import one_each, owners_of, star_files
from prime.encode.rna.star import is_star, read_star, star_profile
from prime.encode.rna.symbols import read_symbols
from prime.errors import InputError

TCGA = Path(__file__).resolve().parents[2] / ".." / "shared" / "tcga" / "bulkrnabert"

HEADER = (
    "# gene-model: GENCODE v36\n"
    "gene_id\tgene_name\tgene_type\tunstranded\tstranded_first\tstranded_second\ttpm_unstranded"
    "\tfpkm_unstranded\tfpkm_uq_unstranded\n"
    "N_unmapped\t\t\t6694310\t6694310\t6694310\n"
    "N_multimapping\t\t\t2778003\t2778003\t2778003\n"
    "N_noFeature\t\t\t3821670\t25229466\t25471197\n"
    "N_ambiguous\t\t\t4608251\t1046433\t1044349\n"
)


def row(gene: str, name: str, tpm: float | str) -> str:
    return f"{gene}\t{name}\tprotein_coding\t10\t5\t5\t{tpm}\t1.5\t1.4\n"


BODY = (
    row("ENSG00000000003.15", "TSPAN6", 69.5439)
    + row("ENSG00000000005.6", "TNMD", 0.4599)
    + row("ENSG00000002586.20", "CD99", 456.2969)
    + row("ENSG00000002586.20_PAR_Y", "CD99", 7.0)
    + row("ENSG00000002587.10", "HS3ST1", 14.2948)
    + row("ENSG00000009999.1", "TNMD", 2.0)
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "TCGA-06-2559-01A.tsv"
    path.write_text(HEADER + BODY, encoding="utf-8")
    return path


def test_a_whole_file_without_counts_rows_copies_and_versions(file: Path) -> None:
    star = read_star(file)
    assert star.ids == [
        "ENSG00000000003", "ENSG00000000005", "ENSG00000002586", "ENSG00000002587", "ENSG00000009999",
    ]  # fmt: skip
    assert star.symbols == ["TSPAN6", "TNMD", "CD99", "HS3ST1", "TNMD"]
    assert star.tpm.tolist() == [69.5439, 0.4599, 456.2969, 14.2948, 2.0]
    packed = file.with_suffix(".tsv.gz")
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert read_star(packed).tpm.tolist() == star.tpm.tolist()
    assert is_star(file)
    assert is_star(packed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "no line but comments"),
        (
            lambda text: text[: text.index("TNMD") + 12],
            "line 8 has 3 fields, the header 9: the file is cut off",
        ),
        (lambda text: text.replace("tpm_unstranded", "tpm"), "no column tpm_unstranded; found gene_id"),
        (lambda text: text.replace("69.5439", "-1"), "line 7: tpm_unstranded is '-1'"),
        (lambda text: text.replace("69.5439", "many"), "line 7: tpm_unstranded is 'many'"),
        (lambda text: text.replace("69.5439", "nan"), "line 7: tpm_unstranded is 'nan'"),
        (lambda text: text.replace("69.5439", "2e6"), "sums to 2,000,473, over 1,000,000: not TPM"),
        (lambda text: text + row("ENSG00000000003.2", "X", 1), "gene 'ENSG00000000003' occurs twice"),
        (
            lambda _: HEADER + row("ENSG00000000003.15", "A", 0) + row("ENSG00000000005.6", "B", "0.0"),
            "no gene is expressed, every tpm_unstranded is 0",
        ),
        (
            lambda _: HEADER + "".join(row(f"ENSG{i:011d}.1", f"N{i}", 20.0) for i in range(12_000)),
            "tpm_unstranded sums to 240,000 only over 12,000 genes",
        ),
    ],
)
def test_each_way_to_be_broken_is_told(file: Path, change, message: str) -> None:
    file.write_text(change(HEADER + BODY), encoding="utf-8")
    with pytest.raises(InputError, match=r"TCGA-06-2559-01A\.tsv: ") as caught:
        read_star(file)
    assert message in str(caught.value)


def test_damaged_archives_and_texts_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(gzip.compress((HEADER + BODY).encode())[:-20])
    with pytest.raises(InputError, match=r"a\.tsv\.gz: not a whole gzip file"):
        read_star(path)
    path.write_bytes((HEADER + BODY).encode("utf-16"))
    with pytest.raises(InputError, match="not a text file in UTF-8"):
        read_star(path)


def test_a_profile_follows_the_list_and_lacks_what_is_missing(file: Path) -> None:
    numbers = [f"ENSG{i:011d}" for i in (2587, 3, 5, 2586)]
    assert star_profile(file, gene_list(numbers, "list")).tolist() == [14.2948, 69.5439, 0.4599, 456.2969]
    symbols = gene_list(["CD99", "TNMD"], "list")
    assert star_profile(file, symbols).tolist() == [456.2969, 0.4599 + 2.0]
    with pytest.raises(InputError, match="has 1 of the 2 genes of list, at least 2 are needed"):
        star_profile(file, gene_list(["ENSG00000000003", "ENSG00000000004"], "list"))


def test_the_hard_minimum_is_18000_of_the_published_number() -> None:
    names = [f"ENSG{i:011d}" for i in range(19_062)]
    genes = gene_list(names, "list")
    assert genes.minimum == 18_000
    values = np.arange(19_062.0)
    found = align(names[:18_000], values[:18_000], genes, "x")
    assert np.isnan(found).sum() == 1_062
    assert found[17_999] == 17_999
    with pytest.raises(InputError, match="x: has 17,999 of the 19,062 genes"):
        align(names[:17_999], values[:17_999], genes, "x")


@pytest.mark.parametrize(
    ("raw", "base"),
    [
        ("ENSG00000000003.15", "ENSG00000000003"),
        ("ENSG00000000003", "ENSG00000000003"),
        ("ENSG00000182378.15_PAR_Y", None),
        ("ENSG00000182378_PAR_Y", None),
        ("HLA-A", "HLA-A"),
        ("AC004556.3", "AC004556.3"),
    ],
)
def test_versions_are_taken_off_ensembl_ids_alone(raw: str, base: str | None) -> None:
    assert base_id(raw) == base


def test_lists_of_genes(tmp_path: Path) -> None:
    path = tmp_path / "genes.txt"
    path.write_text("ENSG00000000005.6\nENSG00000000003\n", encoding="utf-8")
    assert read_gene_list(path).names == ("ENSG00000000005", "ENSG00000000003")
    path.write_text("ENSG00000000005.6\nENSG00000000005\n", encoding="utf-8")
    with pytest.raises(InputError, match="occurs twice"):
        read_gene_list(path)
    path.write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="no gene"):
        read_gene_list(path)
    with pytest.raises(InputError, match="no such file"):
        read_gene_list(tmp_path / "none.txt")
    table = tmp_path / "sample.csv"
    table.write_text('ENSG00000000005,"ENSG00000000003",identifier\n1,2,a\n', encoding="utf-8")
    assert read_gene_list(table).names == ("ENSG00000000005", "ENSG00000000003")


@pytest.mark.tcga
@pytest.mark.skipif(not TCGA.is_dir(), reason="no real TCGA evaluation set beside the checkout")
def test_the_published_list_is_known_and_must_be_in_order(tmp_path: Path) -> None:
    genes = read_gene_list(TCGA / "common_gene_id.txt")
    assert genes.is_published
    assert genes.sha256 == PUBLISHED_SHA256
    assert len(genes.names) == 19_062
    assert read_gene_list(TCGA / "tcga_sample.csv").is_published
    turned = tmp_path / "turned.txt"
    turned.write_text("\n".join(reversed(genes.names)), encoding="utf-8")
    with pytest.raises(InputError, match="in another order; sort the ids"):
        read_gene_list(turned)


def test_symbols_that_stand_for_one_listed_id(file: Path, tmp_path: Path) -> None:
    genes: GeneList = gene_list([f"ENSG{i:011d}" for i in (3, 5, 9999)], "list")
    assert read_symbols(file, genes) == {"TSPAN6": "ENSG00000000003"}  # TNMD stands for two
    table = tmp_path / "map.csv"
    table.write_text("gene_id,gene_name\nENSG00000000005.1,TNMD\n", encoding="utf-8")
    assert read_symbols(table, genes) == {"TNMD": "ENSG00000000005"}
    table.write_text("gene_id,gene_name\nENSG00000000001.1,TNMD\n", encoding="utf-8")
    with pytest.raises(InputError, match="none of its gene_id is in list"):
        read_symbols(table, genes)


def test_patients_of_files(tmp_path: Path) -> None:
    for name in ("a/TCGA-06-2559-01A.tsv", "b/TCGA-06-0187-01A.tsv.gz", "b/p7.star.tsv", "b/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x", encoding="utf-8")
    found, _ = star_files(tmp_path, PATIENT_FROM, None)
    assert list(found) == ["TCGA-06-0187", "TCGA-06-2559", "p7"]
    assert found["p7"] == tmp_path / "b" / "p7.star.tsv"
    (tmp_path / "a" / "p7.2.tsv").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match=r"patient p7 has two samples, 'p7\.2\.tsv'"):
        star_files(tmp_path, PATIENT_FROM, None)
    mapping = tmp_path / "which.csv"
    mapping.write_text("patient_id,path\nz,b/p7.star.tsv\ny,a/p7.2.tsv\n", encoding="utf-8")
    assert star_files(tmp_path, PATIENT_FROM, mapping)[0] == {
        "y": tmp_path / "a" / "p7.2.tsv",
        "z": tmp_path / "b" / "p7.star.tsv",
    }
    mapping.write_text("patient_id,path\nz,b/p7.star.tsv\nz,a/q.tsv\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"which\.csv: patient z has two samples"):
        star_files(tmp_path, PATIENT_FROM, mapping)
    with pytest.raises(InputError, match=r"no \.tsv or \.tsv\.gz file"):
        star_files(tmp_path / "none", PATIENT_FROM, None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("0a1b2c3d-0000-1111-2222-333344445555.rna_seq.tsv", "has the GDC's number, not a patient's"),
        (".tsv", "names no patient"),
        ("a:b.tsv", r"patient 'a:b' cannot name a file"),
    ],
)
def test_names_that_tell_no_patient(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        one_each([name], owners_of([name], PATIENT_FROM, "folder"), TUMOUR, "folder")


def test_files_of_another_kind_are_counted(tmp_path: Path) -> None:
    for name in ("TCGA-AA-0001.tsv", "TCGA-AA-0002.htseq.counts.gz", "TCGA-AA-0003.csv", "MANIFEST.txt"):
        (tmp_path / name).write_text("x")
    found, notes = star_files(tmp_path, PATIENT_FROM, None)
    assert list(found) == ["TCGA-AA-0001"]
    assert notes[-1].startswith("warning: 2 files are no .tsv: not read (TCGA-AA-0002.htseq.counts.gz, ")
