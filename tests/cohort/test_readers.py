"""Readers: every layout recognised, every fault one clear error, empties stated."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from prime.cohort.readers import READERS, read_source, report, source_files
from prime.cohort.readers.report import ReportSource
from prime.cohort.readers.thinning import thin
from prime.cohort.readers.tokens import TokenSource
from prime.cohort.readers.vector import VectorSource
from prime.cohort.source import SourceRows
from prime.errors import InputError

Rows = dict[str, NDArray[np.float32]]
NO_ENCODER = "the files state no encoder: whether all come from one cannot be known"


def rows_of(source: SourceRows) -> Rows:
    return dict(source.patients)


# ---- vector tables


def write_table(folder: Path, frame: pd.DataFrame, name: str = "t.parquet") -> None:
    if name.endswith(".parquet"):
        frame.to_parquet(folder / name, index=False)
    else:
        frame.to_csv(folder / name, index=False, sep="\t" if name.endswith(".tsv") else ",")


def vector(folder: Path, **options: Any) -> SourceRows:
    config = VectorSource.model_validate({"reader": "vector", "path": "t.parquet"} | options)
    return read_source("hif", config, folder)


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "slide": ["s1", "s2", "s3", "s4"],
            "patient_id": ["b", "a", "b", "c"],
            "f1": [1.0, 2.0, np.nan, np.nan],
            "f2": [10, 20, 30, None],
            "f3": [np.nan, 5.0, np.nan, np.nan],
        }
    )


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.tsv"])
def test_vector_mean(tmp_path: Path, table: pd.DataFrame, name: str) -> None:
    write_table(tmp_path, table, name)
    source = vector(tmp_path, path=name, ignore=["slide"], group_size=2)
    rows = rows_of(source)
    assert (source.kind, source.dim, source.feature_names) == ("vector", 3, ["f1", "f2", "f3"])
    assert source.groups is not None
    assert source.groups.tolist() == [0, 0, 1]
    assert list(rows) == ["a", "b"]
    np.testing.assert_array_equal(rows["a"], [[2, 20, 5]])
    np.testing.assert_array_equal(rows["b"], [[1, 20, np.nan]])
    assert rows["b"].dtype == np.float32
    assert source.notes == ["1 of 4 rows have no number at all: counted as missing"]


def test_vector_tokens_keep_rows_in_order(tmp_path: Path, table: pd.DataFrame) -> None:
    write_table(tmp_path, table)
    rows = rows_of(vector(tmp_path, ignore=["slide"], instances="tokens"))
    np.testing.assert_array_equal(rows["b"], [[1, 10, np.nan], [np.nan, 30, np.nan]])


def test_vector_numeric_patient_ids_become_text(tmp_path: Path) -> None:
    write_table(tmp_path, pd.DataFrame({"patient_id": [7.0, 12.0], "f": [True, False]}))
    assert {k: v.tolist() for k, v in rows_of(vector(tmp_path)).items()} == {"7": [[1.0]], "12": [[0.0]]}


def test_vector_named_groups(tmp_path: Path, table: pd.DataFrame) -> None:
    write_table(tmp_path, table)
    groups = "feature,group\nf3,late\nf1,early\nf2,late\nunused,late\n"
    (tmp_path / "g.csv").write_text(groups)
    source = vector(tmp_path, ignore=["slide"], groups="g.csv")
    assert source.groups is not None
    assert source.groups.tolist() == [0, 1, 1]
    assert source.notes[0] == "1 features of g.csv are not in the table"
    config = VectorSource(reader="vector", path="t.parquet", groups="g.csv")
    assert tmp_path / "g.csv" in source_files("hif", config, tmp_path)
    (tmp_path / "g.csv").write_text("feature,group\nf1,x\n")
    with pytest.raises(InputError, match="2 features have no group, first 'f2'"):
        vector(tmp_path, ignore=["slide"], groups="g.csv")
    (tmp_path / "g.csv").write_text(groups + "f1,late\n")
    with pytest.raises(InputError, match="feature 'f1' has two rows"):
        vector(tmp_path, ignore=["slide"], groups="g.csv")


def test_vector_gene_overlap(tmp_path: Path, table: pd.DataFrame) -> None:
    write_table(tmp_path, table)
    (tmp_path / "genes.txt").write_text("f1\nf2\n\nzzz\n")
    assert "gene overlap 2/3" in vector(tmp_path, ignore=["slide"], gene_list="genes.txt").notes
    (tmp_path / "genes.txt").write_text("f1\nENSG1\nENSG2\n")
    with pytest.raises(InputError, match=r"gene overlap 1/3 .* under 50%; first absent 'ENSG1'"):
        vector(tmp_path, ignore=["slide"], gene_list="genes.txt")
    (tmp_path / "genes.txt").write_text("")
    with pytest.raises(InputError, match="the file is empty"):
        vector(tmp_path, ignore=["slide"], gene_list="genes.txt")


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"slide": ["x", "y"], "f": [1, 2]}, {}, r"'slide', row 1 .* holds 'x', not a .* ignore"),
        ({"f": [1.0, np.inf]}, {}, r"column 'f', row 2 \(patient b\) is inf"),
        ({"f": [1.0, -np.inf]}, {}, r"column 'f', row 2 \(patient b\) is -inf"),
        ({"f": [1.0, 1e39]}, {}, r"column 'f', row 2 \(patient b\) is 1e\+39"),
        ({"f": [1, 2]}, {"patient_id": "case"}, r"no column 'case'; found 'patient_id', 'f'"),
        ({"f": [1, 2]}, {"ignore": ["slide_id"]}, r"no column 'slide_id'"),
        ({}, {}, "no feature column is left"),
        ({"f": [1, 2], "patient_id": ["a", None]}, {}, "row 2 has no patient_id"),
    ],
)
def test_vector_faults(
    tmp_path: Path, columns: dict[str, list[Any]], options: dict[str, Any], message: str
) -> None:
    write_table(tmp_path, pd.DataFrame({"patient_id": ["a", "b"]} | columns))
    with pytest.raises(InputError, match=message) as error:
        vector(tmp_path, **options)
    assert "source hif" in str(error.value)
    assert "t.parquet" in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"patient_id,f,f\na,1,2\n", "column 'f' occurs twice"),
        (b"patient_id,gr\xf6\xdfe\na,1\n", "not UTF-8"),
        (b"patient_id,f\n", "the table has no rows"),
        (b"", "the file is empty"),
    ],
)
def test_vector_bad_csv(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        vector(tmp_path, path="t.csv")


def test_vector_missing_and_truncated_file(tmp_path: Path, table: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"t\.parquet: no such file"):
        vector(tmp_path)
    write_table(tmp_path, table)
    whole = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a readable parquet file"):
        vector(tmp_path)


# ---- token files


def tokens(folder: Path, **options: Any) -> SourceRows:
    config = TokenSource.model_validate({"reader": "h5", "path": "."} | options)
    return read_source("tiles", config, folder)


def write_h5(
    path: Path, data: dict[str, Any], on_data: dict[str, Any] | None = None, **attributes: Any
) -> None:
    with h5py.File(path, "w") as file:
        for name, value in data.items():
            file[name] = value
        for name, value in (on_data or {}).items():
            file[next(iter(data))].attrs[name] = value
        file.attrs.update(attributes)


def numbers(n: int, d: int = 4, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


COORDS = np.zeros((3, 2), np.int64)


@pytest.mark.parametrize(
    ("data", "on_data", "attributes", "detected", "kept"),
    [
        (
            {"features": numbers(3), "coords": COORDS},
            {"encoder": "uni"},
            {},
            "TRIDENT h5: features, coords",
            "uni",
        ),
        ({"features": numbers(3)[None], "coords": COORDS}, {}, {}, "TRIDENT h5: features, coords", None),
        ({"features": numbers(3), "coords": COORDS}, {}, {}, "TRIDENT or CLAM h5: features, coords", None),
        ({"feats": numbers(3)}, {}, {"stamp_version": "2", "extractor": "ctp"}, "STAMP h5: feats", "ctp"),
        ({"patch_embeddings": numbers(3)}, {}, {}, "STAMP h5: patch_embeddings", None),
        ({"feats": numbers(3)}, {}, {}, "STAMP or marugoto h5: feats", None),
    ],
)
def test_layouts(
    tmp_path: Path,
    data: dict[str, Any],
    on_data: dict[str, Any],
    attributes: dict[str, Any],
    detected: str,
    kept: str | None,
) -> None:
    write_h5(tmp_path / "TCGA-AA-0001-01Z-00-DX1.h5", data, on_data, **attributes)
    source = tokens(tmp_path)
    assert (source.kind, source.dim, source.feature_names, source.groups) == ("sequence", 4, None, None)
    assert source.detected.startswith(detected + ";")
    assert source.attributes.get("encoder", source.attributes.get("extractor")) == kept
    np.testing.assert_array_equal(rows_of(source)["TCGA-AA-0001"], numbers(3))


def test_marugoto_augmented_rows_are_dropped(tmp_path: Path) -> None:
    flags = np.array([False, True, False])
    write_h5(tmp_path / "p.h5", {"feats": numbers(3), "augmented": flags})
    source = tokens(tmp_path)
    np.testing.assert_array_equal(rows_of(source)["p"], numbers(3)[~flags])
    assert source.detected.startswith("marugoto")
    write_h5(tmp_path / "p.h5", {"feats": numbers(3), "augmented": flags[:2]})
    with pytest.raises(InputError, match="augmented has 2 rows, feats has 3"):
        tokens(tmp_path)


def test_stated_dataset_and_slide_level(tmp_path: Path) -> None:
    write_h5(tmp_path / "p.hdf5", {"features": numbers(3), "embedding": numbers(1)[0]})
    np.testing.assert_array_equal(rows_of(tokens(tmp_path, dataset="embedding"))["p"], numbers(1))


def test_feature_names_go_to_attributes(tmp_path: Path) -> None:
    write_h5(tmp_path / "p.h5", {"features": numbers(3)}, feature_names="a,b,c,d")
    source = tokens(tmp_path)
    assert source.attributes["feature_names"] == "a,b,c,d"
    assert source.feature_names is None


def test_slides_of_a_patient_are_joined_and_thinned(tmp_path: Path) -> None:
    write_h5(tmp_path / "TCGA-AA-0001-01Z-00-DX2.h5", {"features": numbers(6, seed=2)})
    write_h5(tmp_path / "TCGA-AA-0001-01Z-00-DX1.h5", {"features": numbers(5, seed=1)})
    joined = np.concatenate([numbers(5, seed=1), numbers(6, seed=2)])
    np.testing.assert_array_equal(rows_of(tokens(tmp_path))["TCGA-AA-0001"], joined)
    source = tokens(tmp_path, max_tokens=3)
    np.testing.assert_array_equal(rows_of(source)["TCGA-AA-0001"], joined[[0, 5, 10]])
    assert source.notes[0] == "samples used: 2 primary (01)"
    assert source.notes[1].startswith("1 of 1 patients had more than 3 tokens (11 in the median): 3 of each")
    assert source.notes[2:] == [NO_ENCODER]
    assert len(thin(joined, 11)) == 11


@pytest.mark.parametrize("empty", [np.zeros((0, 4), np.float32), np.zeros(0, np.float32)])
def test_an_empty_slide_is_missing_not_a_crash(tmp_path: Path, empty: NDArray[np.float32]) -> None:
    write_h5(tmp_path / "a.h5", {"features": empty})
    write_h5(tmp_path / "b.h5", {"features": numbers(2)})
    source = tokens(tmp_path)
    assert list(rows_of(source)) == ["b"]
    assert source.notes == ["a.h5 is empty (no tokens): counted as missing", NO_ENCODER]


def test_only_empty_slides(tmp_path: Path) -> None:
    write_h5(tmp_path / "a.h5", {"features": np.zeros((0,), np.float32)})
    with pytest.raises(InputError, match="no file has a single token"):
        tokens(tmp_path)


@pytest.mark.parametrize(
    ("header", "suffix"),
    [("PATIENT,FILENAME", ".h5"), ("case_id,slide_id", ".svs"), ("case_id,slide_id", "")],
)
def test_slide_table(tmp_path: Path, header: str, suffix: str) -> None:
    for seed, name in enumerate(("x.1", "y.2", "z.3")):
        write_h5(tmp_path / f"{name}.h5", {"features": numbers(2, seed=seed)})
    (tmp_path / "s.csv").write_text(f"{header}\np,x.1{suffix}\np,y.2{suffix}\nq,none{suffix}\n")
    source = tokens(tmp_path, slide_table="s.csv")
    assert {k: len(v) for k, v in rows_of(source).items()} == {"p": 4}
    assert source.notes == [
        "1 slides of s.csv have no file",
        "1 files are not in s.csv: left out",
        NO_ENCODER,
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "patient,file\np,x\n",
            "expected columns PATIENT,FILENAME or case_id,slide_id; found 'patient', 'file'",
        ),
        ("PATIENT,FILENAME\np,x.h5\nq,x\n", "slide 'x' has two patients, p and q"),
        ("PATIENT,FILENAME\np,other\n", "no file in . is named in"),
    ],
)
def test_slide_table_faults(tmp_path: Path, content: str, message: str) -> None:
    write_h5(tmp_path / "x.h5", {"features": numbers(2)})
    (tmp_path / "s.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        tokens(tmp_path, slide_table="s.csv")


def test_slide_table_as_workbook(tmp_path: Path) -> None:
    write_h5(tmp_path / "x.h5", {"features": numbers(2)})
    pd.DataFrame({"PATIENT": ["p"], "FILENAME": ["x.h5"]}).to_excel(tmp_path / "s.xlsx", index=False)
    assert list(rows_of(tokens(tmp_path, slide_table="s.xlsx"))) == ["p"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"other": numbers(3)}, r"no dataset 'features' or .*; found 'other'; name the right one"),
        ({"features": np.zeros((2, 3, 4), np.float32)}, r"expected tokens \(n, d\), found shape \(2, 3, 4\)"),
        ({"features": np.array([["a"]], dtype="S1")}, "expected numbers"),
        ({"features": np.array([[1.0, np.nan]])}, "token 0 holds NaN"),
        ({"features": np.array([[1.0, 1.0], [np.inf, 1.0]])}, "token 1 holds NaN or an infinite"),
        ({"features": np.array([[1e300]])}, "token 0 holds NaN or an infinite"),
    ],
)
def test_token_faults_name_the_file(tmp_path: Path, data: dict[str, Any], message: str) -> None:
    write_h5(tmp_path / "bad.h5", data)
    with pytest.raises(InputError, match=message) as error:
        rows_of(tokens(tmp_path))
    assert "bad.h5" in str(error.value)


def test_truncated_h5(tmp_path: Path) -> None:
    write_h5(tmp_path / "a.h5", {"features": numbers(200)})
    whole = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a\.h5: not a whole HDF5 file"):
        tokens(tmp_path)


def test_two_encoders_in_a_source(tmp_path: Path) -> None:
    write_h5(tmp_path / "a.h5", {"features": numbers(2, 4)})
    write_h5(tmp_path / "b.h5", {"features": numbers(2, 5)})
    with pytest.raises(InputError, match=r"b\.h5 has 5 features a token but .*a\.h5 has 4"):
        rows_of(tokens(tmp_path))


def test_token_folder_and_name_faults(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        tokens(tmp_path, path="none")
    with pytest.raises(InputError, match=r"no \.h5 or \.hdf5 file matches"):
        tokens(tmp_path)
    write_h5(tmp_path / "slide7.h5", {"features": numbers(2)})
    with pytest.raises(InputError, match=r"slide7\.h5: patient_from .* finds no patient"):
        tokens(tmp_path, patient_from=r"^case-(\d+)")
    with pytest.raises(
        InputError, match=r"source tiles: .*h5: patient_from '\(' is not a regular expression"
    ):
        tokens(tmp_path, patient_from="(")
    assert list(rows_of(tokens(tmp_path, patient_from=r"(\d+)$"))) == ["7"]


def test_pt_tensor(tmp_path: Path) -> None:
    torch.save(torch.from_numpy(numbers(3)).half(), tmp_path / "TCGA-AA-0001-01Z-00-DX1.pt")
    source = tokens(tmp_path, reader="pt")
    np.testing.assert_array_equal(rows_of(source)["TCGA-AA-0001"], numbers(3).astype(np.float16))
    assert source.detected.startswith("CLAM pt")


class Trap:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (eval, ("(_ for _ in ()).throw(SystemExit('the pickle ran'))",))


@pytest.mark.parametrize("how", ["pickle", "torch", "dict", "integers", "text", "truncated"])
def test_pt_faults(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.pt"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Trap()))
    elif how == "torch":
        torch.save(Trap(), path)
    elif how == "dict":
        torch.save({"features": torch.zeros(2, 2)}, path)
    elif how == "integers":
        torch.save(torch.zeros(2, 2, dtype=torch.long), path)
    elif how == "text":
        path.write_text("not a tensor")
    else:
        torch.save(torch.zeros(100, 10), path)
        path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match=r"a\.pt: (not a plain tensor file|expected a tensor)"):
        tokens(tmp_path, reader="pt")


# ---- reports


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 8 features with random weights and a vocabulary of letters."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "tumour", "margin", "clear", "node", "grade"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    shape |= {"initializer_range": 1.0}
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=32, **shape)).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIME_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


REPORTS = "patient_filename,text\nb.tag,tumour node\na.x,tumour margin clear\nc.y,\na.z,grade\n"


def reports(folder: Path, encoder: Path | str, **options: Any) -> SourceRows:
    base: dict[str, Any] = {"reader": "report", "path": "r.csv", "encoder": str(encoder), "max_tokens": 16}
    return read_source("text", ReportSource.model_validate(base | options), folder)


def reference(encoder: Path, text: str, limit: int) -> NDArray[np.float32]:
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder).eval()
    with torch.no_grad():
        inputs = tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")
        return model(**inputs).last_hidden_state[0].numpy()


def test_reports_equal_the_encoder_run_alone(
    tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "fast_bfloat16", lambda: False)
    (tmp_path / "r.csv").write_text(REPORTS)
    source = reports(tmp_path, encoder, trained_on="nothing")
    rows = rows_of(source)
    assert (source.kind, source.dim) == ("sequence", 8)
    assert source.attributes["trained_on"] == "nothing"
    assert source.notes == [
        "1 patients have several reports: joined",
        "1 reports are empty (c): counted as missing",
    ]
    assert {k: v.shape for k, v in rows.items()} == {"a": (6, 8), "b": (4, 8)}
    np.testing.assert_allclose(rows["a"], reference(encoder, "tumour margin clear\ngrade", 16), atol=5e-3)
    np.testing.assert_allclose(rows["b"], reference(encoder, "tumour node", 16), atol=5e-3)


def test_reports_are_cut(tmp_path: Path, encoder: Path) -> None:
    (tmp_path / "r.csv").write_text(REPORTS)
    rows = rows_of(reports(tmp_path, encoder, max_tokens=4))
    assert rows["a"].shape == (4, 8)
    np.testing.assert_allclose(rows["a"], reference(encoder, "tumour margin", 4), atol=0.1)


def test_reports_are_encoded_once(tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = REPORTS.splitlines(keepends=True)
    (tmp_path / "r.csv").write_text("".join(line for line in lines if not line.startswith("b")))
    first = rows_of(reports(tmp_path, encoder))
    (tmp_path / "r.csv").write_text(REPORTS)
    encoded: list[str] = []
    real = report._encode_into  # pyright: ignore[reportPrivateUsage]

    def watch(texts: list[str], *rest: Any) -> None:
        encoded.extend(texts)
        real(texts, *rest)

    monkeypatch.setattr(report, "_encode_into", watch)
    again = rows_of(reports(tmp_path, encoder))
    assert encoded == ["tumour node"]
    np.testing.assert_array_equal(first["a"], again["a"])
    rows_of(reports(tmp_path, encoder, max_tokens=5))
    assert len(encoded) == 3


def test_other_weights_do_not_share_the_cache(tmp_path: Path, encoder: Path) -> None:
    from transformers import BertModel

    (tmp_path / "r.csv").write_text(REPORTS)
    before = rows_of(reports(tmp_path, encoder))
    other = tmp_path / "other"
    shutil.copytree(encoder, other)
    model = BertModel.from_pretrained(encoder)
    torch.nn.init.normal_(model.embeddings.word_embeddings.weight)
    model.save_pretrained(other)
    assert not np.allclose(before["a"], rows_of(reports(tmp_path, "other"))["a"])


@pytest.mark.parametrize("damage", ["emptied", "cut", "a bit turned", "of no array"])
def test_a_damaged_file_of_the_cache_is_made_again(tmp_path: Path, encoder: Path, damage: str) -> None:
    (tmp_path / "r.csv").write_text(REPORTS)
    before = rows_of(reports(tmp_path, encoder))
    files = list((tmp_path / "cache").rglob("*.safetensors"))
    assert len(files) >= 2
    whole = files[0].read_bytes()
    turned = bytes([*whole[:-5], whole[-5] ^ 64, *whole[-4:]])
    files[0].write_bytes({"emptied": b"", "cut": whole[:-2], "a bit turned": turned}.get(damage, b"no array"))
    after = rows_of(reports(tmp_path, encoder))
    assert after.keys() == before.keys()
    for patient, tokens in before.items():
        np.testing.assert_allclose(after[patient], tokens, rtol=1e-2, atol=1e-3)
    assert len(files[0].read_bytes()) == len(whole)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("patient,text\na,b\n", "no column 'patient_filename'"),
        ("patient_filename,text\na,\nb,  \n", "every report is empty"),
        ("patient_filename,text\n.x,b\n", "row 1 has no patient"),
    ],
)
def test_report_faults(tmp_path: Path, encoder: Path, content: str, message: str) -> None:
    (tmp_path / "r.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        reports(tmp_path, encoder)


def test_encoder_faults(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(REPORTS)
    with pytest.raises(InputError, match="neither a folder nor reachable on the hub"):
        reports(tmp_path, "no/such-encoder")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"expected config\.json and"):
        reports(tmp_path, "empty")
    (tmp_path / "empty" / "config.json").write_text('{"hidden_size": 8}')
    (tmp_path / "empty" / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(InputError, match="source text: encoder"):
        rows_of(reports(tmp_path, "empty"))


def test_packaged_encoder(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(REPORTS)
    source = reports(tmp_path, "minilm")
    assert source.dim == 384
    rows = rows_of(source)["b"]
    assert rows.shape[1] == 384
    assert 4 <= len(rows) <= 6
    assert np.isfinite(rows).all()


# ---- the registry


def test_registry_and_files(tmp_path: Path, table: pd.DataFrame) -> None:
    assert set(READERS) == {"vector", "h5", "pt", "report", "clinical", "words", "facts", "anndata", "mudata"}
    config = VectorSource(reader="vector", path="t.parquet", gene_list="genes.txt")
    write_table(tmp_path, table)
    with pytest.raises(InputError, match=r"genes\.txt: no such file"):
        source_files("hif", config, tmp_path)
    (tmp_path / "genes.txt").write_text("f1")
    assert source_files("hif", config, tmp_path) == [tmp_path / "t.parquet", tmp_path / "genes.txt"]


def test_rows_that_a_mask_calls_padding_are_left_out(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    with h5py.File(tmp_path / "p1.h5", "w") as file:
        file["features"], file["mask"] = values, np.array([True, True, False, False])
    assert np.array_equal(rows_of(tokens(tmp_path))["p1"], values[:2])
    with h5py.File(tmp_path / "p2.h5", "w") as file:
        file["features"], file["mask"] = values, np.array([True] * 3)
    with pytest.raises(InputError, match=r"p2\.h5: mask has 3 rows, features has 4"):
        rows_of(tokens(tmp_path))
