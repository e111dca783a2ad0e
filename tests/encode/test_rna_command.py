"""`prime encode rna` from files to features: what is written, resumed, refused, and read by PRIME again."""

import hashlib
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from prime.cli import run
from prime.cohort.readers.tokens import TokenSource, read_tokens
from prime.cohort.readers.vector import VectorSource, read_vector
from prime.errors import InputError
from prime.parsing import read_json
from tests.encode.rna_oracle import config_values, slow_bins, slow_tokens, write_weights

TCGA = Path(__file__).resolve().parents[2] / ".." / "shared" / "tcga" / "bulkrnabert"
GENES = [f"ENSG{i:011d}" for i in range(40)]
CONFIG = config_values(40, embed_dim=16, num_attention_heads=2, key_size=8, num_layers=2, ffn_embed_dim=24)
PATIENTS = ["TCGA-AA-0001", "TCGA-AA-0002", "TCGA-AA-0003", "TCGA-AA-0004"]
HEADER = (
    "# gene-model: GENCODE v36\ngene_id\tgene_name\tgene_type\tunstranded\ttpm_unstranded\tfpkm_unstranded\n"
)


def made_tpm() -> pd.DataFrame:
    """Patients by genes; the second gene is missing in every file."""
    draw = np.random.default_rng(1)
    values = np.exp(draw.normal(2, 2, (4, 40))).round(4)
    values[0, 3] = 0.0
    values[2, 5] = 500_000.0
    table = pd.DataFrame(values, index=pd.Index(PATIENTS), columns=pd.Index(GENES))
    table.iloc[:, 1] = np.nan
    return table


def write_star(path: Path, tpm: pd.Series) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{gene}.3\tN{gene[-2:]}\tx\t1\t{value}\t1\n" for gene, value in tpm.dropna().items()]
    path.write_text(HEADER + "N_unmapped\t\t\t7\n" + "".join(rows), encoding="utf-8")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """raw/ with four patients' files, weights/ with the list of genes, all small."""
    for patient, tpm in made_tpm().iterrows():
        write_star(tmp_path / "raw" / str(patient)[-1] / f"{patient}-01A.tsv", tpm)
    write_weights(tmp_path / "weights", CONFIG)
    (tmp_path / "weights" / "common_gene_id.txt").write_text("\n".join(GENES), encoding="utf-8")
    return tmp_path


def encode(*arguments: str | Path) -> int:
    return run(["encode", "rna", *map(str, arguments)])


def tokens_of(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        return np.asarray(file["features"])


def digests(folder: Path) -> dict[str, str]:
    return {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir()) if p.is_file()
    }


def truth(tmp_path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    weights = load_file(tmp_path / "weights" / "model.safetensors")
    factor = CONFIG["normalization_factor"]
    tpm = made_tpm()
    return {
        name: slow_tokens(weights, slow_bins(tpm.loc[name].to_numpy(), factor), CONFIG) for name in PATIENTS
    }


def test_files_become_tokens_that_the_h5_reader_reads(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = files / "out"
    assert encode(files / "raw", "--weights", files / "weights", "--out", out, "--tokens", 10) == 0
    for patient, expected in truth(files).items():
        found = tokens_of(out / "tokens" / f"{patient}.h5")
        assert (found.dtype, found.shape) == (np.dtype(np.float16), (10, 16))
        assert np.allclose(found, expected[:10], rtol=2e-3, atol=2e-3)
    with h5py.File(out / "tokens" / f"{PATIENTS[0]}.h5") as file:
        attributes = {name: str(text) for name, text in file["features"].attrs.items()}
    assert attributes["encoder"] == "BulkRNABert"
    assert attributes["weights"] == "weights"
    assert attributes["trained_on"] == "TCGA"
    assert attributes["slice"] == "first"
    assert attributes["genes"] == "10 of 40"
    assert attributes["expression_unit"] == "tpm"
    assert (out / "genes.txt").read_text().split() == GENES[:10]
    counts = pd.read_csv(out / "patients.csv")
    assert counts["genes_found"].tolist() == [39] * 4
    assert counts["clipped"].tolist() == [0, 0, 1, 0]
    printed = capsys.readouterr().out
    assert "gene overlap with common_gene_id.txt: 39 to 39 of 40 (at least 38)" in printed
    assert "1 values are beyond the normalisation" in printed
    assert "is not BulkRNABert's published list" in printed
    source = TokenSource(reader="h5", path="tokens", max_tokens=2048)
    rows = read_tokens(source, out, "rna")
    assert rows.attributes["trained_on"] == "TCGA"
    assert [(name, values.shape) for name, values in rows.patients] == [(p, (10, 16)) for p in PATIENTS]


def test_a_matrix_gives_the_same_and_any_number_of_workers_too(files: Path) -> None:
    matrix = files / "m.csv"
    made_tpm().drop(columns=GENES[1]).rename_axis("identifier").reset_index().to_csv(matrix, index=False)
    common = ("--weights", files / "weights", "--slice", "random", "--seed", 5, "--tokens", 7)
    assert encode(files / "raw", "--out", files / "a", *common) == 0
    assert encode(files / "raw", "--out", files / "b", "--jobs", 2, *common) == 0
    assert encode(matrix, "--out", files / "c", "--unit", "tpm", *common) == 0
    assert digests(files / "a" / "tokens") == digests(files / "b" / "tokens")
    for patient in PATIENTS:
        a, c = (tokens_of(files / name / "tokens" / f"{patient}.h5") for name in ("a", "c"))
        assert np.array_equal(a, c)
    kept = np.sort(np.random.default_rng(5).choice(40, 7, replace=False))
    found = tokens_of(files / "a" / "tokens" / f"{PATIENTS[1]}.h5")
    assert np.allclose(found, truth(files)[PATIENTS[1]][kept], rtol=2e-3, atol=2e-3)


def test_the_mean_of_all_genes_becomes_a_table(files: Path) -> None:
    out = files / "out"
    assert encode(files / "raw", "--weights", files / "weights", "--out", out, "--slice", "all_mean") == 0
    rows = read_vector(VectorSource(reader="vector", path="rna.parquet"), out, "rna")
    assert rows.feature_names is not None
    assert rows.feature_names[0] == "bulkrnabert_000"
    expected = truth(files)
    for patient, values in rows.patients:
        assert np.allclose(values[0], expected[patient].mean(axis=0), atol=1e-5)
    assert read_json(out / "rna.json")["weights"] == "weights"
    assert read_json(out / "rna.json")["genes"] == "40 of 40"


def test_log_tpm_without_a_network(files: Path) -> None:
    out = files / "out"
    assert encode(files / "raw", "--encoder", "log-tpm", "--out", out, "--log", 2) == 0
    table = pd.read_parquet(out / "rna.parquet")
    assert table["patient_id"].tolist() == PATIENTS
    expected = np.log2(1 + made_tpm().drop(columns=GENES[1]))
    assert table.columns[1:].tolist() == expected.columns.tolist()
    assert np.allclose(table.iloc[:, 1:], expected, rtol=1e-6)
    assert read_json(out / "rna.json")["encoder"] == "log2(1 + TPM)"
    listed = files / "genes.txt"
    listed.write_text("\n".join([*GENES[9::-1], *GENES[10:]]), encoding="utf-8")
    assert encode(files / "raw", "--encoder", "log-tpm", "--out", out, "--genes", listed) == 0
    table = pd.read_parquet(out / "rna.parquet")
    assert table.columns[1:4].tolist() == [GENES[9], GENES[8], GENES[7]]
    assert table[GENES[1]].isna().all()
    assert np.allclose(table[GENES[9]], np.log10(1 + made_tpm()[GENES[9]]), rtol=1e-6)


def test_variance_is_taken_over_training_patients_alone(files: Path) -> None:
    train = files / "train.txt"
    train.write_text("\n".join([*PATIENTS[:3], "TCGA-ZZ-9999"]), encoding="utf-8")
    out = files / "out"
    common = (files / "raw", "--encoder", "log-tpm", "--slice", "variance_topk", "--tokens", 5, "--out", out)
    with pytest.raises(InputError, match="variance_topk needs --train"):
        encode(*common)
    assert encode(*common, "--train", train) == 0
    logs = np.log10(1 + made_tpm().drop(columns=GENES[1]))
    expected = sorted(logs.iloc[:3].var().nlargest(5).index)
    assert expected != sorted(logs.var().nlargest(5).index)
    assert pd.read_parquet(out / "rna.parquet").columns[1:].tolist() == expected
    assert (out / "genes.txt").read_text().split() == expected
    train.write_text(PATIENTS[0], encoding="utf-8")
    with pytest.raises(InputError, match="1 of its 1 patients can be read; 2 are needed"):
        encode(*common, "--train", train)


def test_it_resumes_goes_on_past_a_broken_file_and_says_so(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = files / "out"
    common = (files / "raw", "--weights", files / "weights", "--out", out, "--tokens", 10)
    broken = files / "raw" / "2" / f"{PATIENTS[1]}-01A.tsv"
    whole = broken.read_text(encoding="utf-8")
    broken.write_text(whole[:-30], encoding="utf-8")
    assert encode(*common) == 1
    assert "the file is cut off" in " ".join(capsys.readouterr().out.split())
    failures = pd.read_csv(out / "failures.csv")
    assert failures["name"].tolist() == [PATIENTS[1]]
    assert f"{PATIENTS[1]}-01A.tsv: line 42 has" in failures["reason"][0]
    assert not (out / "tokens" / f"{PATIENTS[1]}.h5").exists()
    stamps = {p.name: p.stat().st_mtime_ns for p in (out / "tokens").iterdir()}
    assert len(stamps) == 3
    broken.write_text(whole, encoding="utf-8")
    assert encode(*common) == 0
    assert not (out / "failures.csv").exists()
    now = {p.name: p.stat().st_mtime_ns for p in (out / "tokens").iterdir()}
    assert len(now) == 4
    assert {name: now[name] for name in stamps} == stamps
    before = tokens_of(out / "tokens" / f"{PATIENTS[1]}.h5")
    write_weights(files / "weights", CONFIG, seed=9)
    assert encode(*common) == 0
    assert not np.array_equal(tokens_of(out / "tokens" / f"{PATIENTS[1]}.h5"), before)


def test_a_further_patient_of_a_matrix_leaves_the_others_alone(files: Path) -> None:
    out, matrix = files / "out", files / "m.csv"
    table = made_tpm().drop(columns=GENES[1]).rename_axis("identifier").reset_index()
    common = (matrix, "--weights", files / "weights", "--out", out, "--tokens", 10, "--unit", "tpm")
    table.iloc[:3].to_csv(matrix, index=False)
    assert encode(*common) == 0
    stamps = {p.name: p.stat().st_mtime_ns for p in (out / "tokens").iterdir()}
    table.to_csv(matrix, index=False)
    assert encode(*common) == 0
    now = {p.name: p.stat().st_mtime_ns for p in (out / "tokens").iterdir()}
    assert len(now) == 4
    assert {name: now[name] for name in stamps} == stamps


def test_what_does_not_go_together_is_refused(files: Path) -> None:
    raw, weights, out = files / "raw", files / "weights", files / "out"
    with pytest.raises(InputError, match="needs --weights"):
        encode(raw, "--out", out)
    with pytest.raises(InputError, match="--slice all_mean: with --encoder log-tpm it is one of all"):
        encode(raw, "--out", out, "--encoder", "log-tpm", "--slice", "all_mean")
    short = files / "short.txt"
    short.write_text("\n".join(GENES[:39]), encoding="utf-8")
    with pytest.raises(InputError, match=r"short\.txt: 39 genes, but the network has 40"):
        encode(raw, "--out", out, "--weights", weights, "--genes", short)
    (weights / "common_gene_id.txt").unlink()
    with pytest.raises(InputError, match="no list of genes there; give --genes"):
        encode(raw, "--out", out, "--weights", weights)
    with pytest.raises(InputError, match="no such folder of STAR-Counts files, nor a matrix"):
        encode(files / "none", "--out", out, "--encoder", "log-tpm")
    assert not out.exists()


def test_one_file_alone_is_a_patient(files: Path) -> None:
    one = files / "raw" / "3" / f"{PATIENTS[2]}-01A.tsv"
    assert encode(one, "--encoder", "log-tpm", "--out", files / "out") == 0
    assert pd.read_parquet(files / "out" / "rna.parquet")["patient_id"].tolist() == [PATIENTS[2]]


@pytest.mark.parametrize("position", [0, 2])
def test_an_incomplete_file_fails_and_does_not_decide_on_the_genes_of_all(files: Path, position: int) -> None:
    patient, out = PATIENTS[position], files / "out"
    write_star(files / "raw" / patient[-1] / f"{patient}-01A.tsv", made_tpm().loc[patient].iloc[:6])
    assert encode(files / "raw", "--encoder", "log-tpm", "--out", out) == 1
    table = pd.read_parquet(out / "rna.parquet")
    assert table["patient_id"].tolist() == [name for name in PATIENTS if name != patient]
    assert table.columns[1:].tolist() == [GENES[0], *GENES[2:]]
    assert "has 5 of the 39 genes" in pd.read_csv(out / "failures.csv")["reason"][0]


def test_files_without_expression_fail_and_are_listed(files: Path) -> None:
    zero = made_tpm().loc[PATIENTS[1]] * 0
    write_star(files / "raw" / "2" / f"{PATIENTS[1]}-01A.tsv", zero)
    assert encode(files / "raw", "--encoder", "log-tpm", "--out", files / "a") == 1
    matrix = files / "m.csv"
    table = made_tpm().drop(columns=GENES[1])
    table.loc[PATIENTS[1]] = 0.0
    table.rename_axis("identifier").reset_index().to_csv(matrix, index=False)
    assert encode(matrix, "--encoder", "log-tpm", "--out", files / "b", "--unit", "tpm") == 1
    for name in ("a", "b"):
        done = pd.read_parquet(files / name / "rna.parquet")["patient_id"].tolist()
        assert done == [PATIENTS[0], *PATIENTS[2:]]
        failures = pd.read_csv(files / name / "failures.csv")
        assert failures["name"].tolist() == [PATIENTS[1]]
        assert "no gene is expressed" in failures["reason"][0]


@pytest.mark.parametrize("kind", ["files", "mapping", "matrix"])
def test_the_tumour_stands_for_a_patient(files: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    tpm = made_tpm().drop(columns=GENES[1])
    rows = {f"{PATIENTS[0]}-{end}R-A12P-07": tpm.loc[PATIENTS[1]] for end in ("11A-11", "06A-11", "01B-11")}
    rows |= {f"{PATIENTS[0]}-01A-11R-A12P-07": tpm.loc[PATIENTS[0]]}
    rows |= {f"{PATIENTS[2]}-06A-11R-A12P-07": tpm.loc[PATIENTS[2]]}
    rows |= {f"{PATIENTS[3]}-11A-11R-A12P-07": tpm.loc[PATIENTS[3]]}
    common: tuple[str | Path, ...] = ("--encoder", "log-tpm", "--unit", "tpm")
    source = files / "mixed"
    names = {
        name: f"{number}.tsv" if kind == "mapping" else f"{name}.tsv" for number, name in enumerate(rows)
    }
    if kind == "matrix":
        source = files / "mixed.csv"
        pd.DataFrame(rows).T.rename_axis("identifier").reset_index().to_csv(source, index=False)
    else:
        for name, values in rows.items():
            write_star(source / names[name], values)
    if kind == "mapping":
        mapping = files / "map.csv"
        pd.DataFrame(
            {"patient_id": [n[:12] for n in rows], "path": list(names.values()), "sample": list(rows)}
        ).to_csv(mapping, index=False)
        common = (*common, "--mapping", mapping)
    assert encode(source, *common, "--out", files / "out") == 0
    table = pd.read_parquet(files / "out" / "rna.parquet")
    assert table["patient_id"].tolist() == [PATIENTS[0], PATIENTS[2]]
    expected = np.log10(1 + tpm.loc[[PATIENTS[0], PATIENTS[2]]])
    assert np.allclose(table.iloc[:, 1:], expected, rtol=1e-6)
    assert (
        "samples left out: 1 metastatic (06), 2 normal tissue (11), 1 primary (01)" in capsys.readouterr().out
    )
    assert encode(source, *common, "--samples", "11", "--out", files / "normal") == 0
    assert pd.read_parquet(files / "normal" / "rna.parquet")["patient_id"].tolist() == [
        PATIENTS[0],
        PATIENTS[3],
    ]
    with pytest.raises(InputError, match="has two samples"):
        encode(source, *common, "--samples", "all", "--out", files / "all")
    with pytest.raises(InputError, match=r"--samples: sample types are numbers of two digits"):
        encode(source, *common, "--samples", "normal", "--out", files / "all")


@pytest.mark.tcga
@pytest.mark.skipif(not TCGA.is_dir(), reason="no real TCGA evaluation set beside the checkout")
def test_the_real_sample_becomes_a_table_of_its_logarithms(tmp_path: Path) -> None:
    genes, sample = TCGA / "common_gene_id.txt", TCGA / "tcga_sample.csv"
    assert encode(sample, "--encoder", "log-tpm", "--genes", genes, "--out", tmp_path) == 0
    table = pd.read_parquet(tmp_path / "rna.parquet")
    raw = pd.read_csv(sample).sort_values("identifier")
    assert table["patient_id"].tolist() == raw["identifier"].str[:12].tolist()
    expected = np.log10(1 + raw.drop(columns="identifier"))
    assert table.columns[1:].tolist() == expected.columns.tolist()
    assert np.allclose(table.iloc[:, 1:], expected, rtol=1e-6)
    assert "at most 1,000,000" in read_json(tmp_path / "rna.json")["expression_unit_reason"]


def test_the_gdcs_own_names_need_a_mapping(files: Path) -> None:
    raw = files / "gdc"
    names = [
        f"0a1b2c3d-0000-1111-2222-33334444555{i}.rna_seq.augmented_star_gene_counts.tsv" for i in range(4)
    ]
    for name, (_, tpm) in zip(names, made_tpm().iterrows(), strict=True):
        write_star(raw / name, tpm)
    mapping = files / "rna.csv"
    table = pd.DataFrame({"patient_id": PATIENTS[:3], "path": [*names[:2], "gone.tsv"], "sample": "01A"})
    table.to_csv(mapping, index=False)
    common = (raw, "--encoder", "log-tpm", "--out", files / "out")
    with pytest.raises(InputError, match="has the GDC's number, not a patient's; give --mapping"):
        encode(*common)
    assert encode(*common, "--mapping", mapping) == 1
    assert pd.read_parquet(files / "out" / "rna.parquet")["patient_id"].tolist() == PATIENTS[:2]
    assert "gone.tsv" in pd.read_csv(files / "out" / "failures.csv")["reason"][0]


def test_bfloat16_is_near_and_says_so(files: Path) -> None:
    out = files / "out"
    assert encode(files / "raw", "--weights", files / "weights", "--out", out, "--precision", "bfloat16") == 0
    expected = truth(files)
    for patient in PATIENTS:
        path = out / "tokens" / f"{patient}.h5"
        assert 1e-3 < np.abs(tokens_of(path) - expected[patient]).max() < 0.2
        with h5py.File(path) as file:
            assert file["features"].attrs["precision"] == "bfloat16"


def test_an_absent_device_is_told(files: Path) -> None:
    common = (files / "raw", "--weights", files / "weights", "--out", files / "out")
    with pytest.raises(InputError, match="--device nowhere: "):
        encode(*common, "--device", "nowhere")
    assert encode(*common) == 0


def test_the_arguments_import_nothing_heavy() -> None:
    script = (
        "import sys, prime.encode.rna.command; "
        "print({'torch', 'pandas', 'numpy', 'h5py', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
