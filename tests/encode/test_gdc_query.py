"""What `prime gdc query` asks, counts and keeps."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

import prime.encode.gdc.server as server_module
from prime.cli import build_app
from prime.encode.gdc.command import Connection
from prime.encode.gdc.kinds import FILE_FIELDS, kind_of
from prime.encode.gdc.manifest import GdcFile, read_manifest, refuse_clashes, write_manifest
from prime.encode.gdc.query import find_cases, find_files, with_metadata
from prime.encode.gdc.server import RetryPolicy, Server
from prime.errors import InputError
from tests.encode.gdc_server import GdcServer, run_gdc, serving

MD5 = "0" * 32
QUICK = RetryPolicy(retries=2, first_wait_s=0.01, read_timeout_s=0.5)


@pytest.fixture
def gdc():
    """Two projects: BRCA with 25 patients who have everything, LUAD with one; frozen and normal beside."""
    with serving() as server:
        for number in range(25):
            patient = f"TCGA-A1-{number:04d}"
            server.add("slides", f"{patient}-01Z-00-DX1", b"slide" * 100)
            server.add("frozen", f"{patient}-01A-01-TS1", b"frozen")
            server.add("rna", f"{patient}-01A-11R-A12P-07", b"rna" * 10)
            server.add("reports", patient, b"%PDF")
            server.add_case(patient, demographic={"vital_status": "Alive"})
        server.add("rna", "TCGA-A1-0000-11A-11R-A12P-07", b"normal")
        server.add("rna", "TCGA-05-0001-01A-11R-A12P-07", b"rna", project="TCGA-LUAD")
        server.add_case("TCGA-05-0001", "TCGA-LUAD")
        yield server


def test_the_request_is_the_one_of_the_api_guide(gdc: GdcServer) -> None:
    find_files(Server(gdc.url), ["TCGA-BRCA"], ["rna"])
    endpoint, body = gdc.asked[0]
    asked = {part["content"]["field"]: part["content"]["value"] for part in body["filters"]["content"]}
    assert endpoint == "files"
    assert body["filters"]["op"] == "and"
    assert {part["op"] for part in body["filters"]["content"]} == {"in"}
    assert asked == {  # by hand, from the GDC API User's Guide
        "cases.project.project_id": ["TCGA-BRCA"],
        "data_category": ["Transcriptome Profiling"],
        "data_type": ["Gene Expression Quantification"],
        "experimental_strategy": ["RNA-Seq"],
        "analysis.workflow_type": ["STAR - Counts"],
        "data_format": ["TSV"],
        "access": ["open"],
        "cases.samples.tissue_type": ["Tumor"],
    }
    assert body["fields"].split(",") == list(FILE_FIELDS)
    assert (body["from"], body["format"], body["sort"]) == (0, "JSON", "file_id:asc")


@pytest.mark.parametrize("page", [1, 7, 25, 1000])
def test_every_page_is_read(gdc: GdcServer, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HITS_PER_REQUEST", page)
    files = find_files(Server(gdc.url), [], ["slides", "rna", "reports"])
    wanted = {hit["file_id"] for hit, data in gdc.files.values() if data not in (b"frozen", b"normal")}
    assert len(files) == len(wanted) == 25 * 3 + 1
    assert {file.id for file in files} == wanted
    for file in files:
        hit, data = gdc.files[file.id]
        assert (file.filename, file.md5, file.size) == (hit["file_name"], hit["md5sum"], len(data))
        assert file.sample == hit["associated_entities"][0]["entity_submitter_id"]
        assert file.patient == file.sample[:12]
    assert len(find_cases(Server(gdc.url), ["TCGA-LUAD"])) == 1


def test_counts_and_size_are_printed_and_nothing_is_fetched(
    gdc: GdcServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_gdc("query", "--server", gdc.url, "--out", tmp_path / "manifest.tsv") == 0
    shown = capsys.readouterr().out
    rows = {line.split()[0]: re.split(r"  +", line) for line in shown.splitlines() if line[:1] in "Ta"}
    assert rows["TCGA-BRCA"] == ["TCGA-BRCA", "25 of 25", "25 of 25", "25 of 25", "25", "25", "13.3 kB"]
    assert rows["TCGA-LUAD"] == ["TCGA-LUAD", "0 of 0", "1 of 1", "0 of 0", "1", "0", "3 bytes"]
    assert rows["all"] == ["all", "25 of 25", "26 of 26", "25 of 25", "26", "25", "13.4 kB"]
    assert gdc.log == []
    table = pd.read_csv(tmp_path / "manifest.tsv", sep="\t")
    assert list(table.columns[:5]) == ["id", "filename", "md5", "size", "state"]
    assert len(table) == 76
    assert read_manifest(tmp_path / "manifest.tsv")[0].state == "released"


def test_the_official_manifest_is_filled_in(gdc: GdcServer, tmp_path: Path) -> None:
    listed = find_files(Server(gdc.url), [], ["slides", "rna", "reports"])
    rows = [f"{f.id}\t{f.filename}\t{f.md5}\t{f.size}\treleased" for f in listed]
    (tmp_path / "gdc.txt").write_text("\n".join(["id\tfilename\tmd5\tsize\tstate", *rows]), encoding="utf-8")
    bare = read_manifest(tmp_path / "gdc.txt")
    assert [file.data for file in bare] == [file.data for file in listed]
    assert {file.patient for file in bare} == {""}
    assert with_metadata(Server(gdc.url), bare) == listed
    asked = len(gdc.asked)
    assert with_metadata(Server(gdc.url), listed) == listed
    assert len(gdc.asked) == asked


@pytest.mark.parametrize("fault", ["500", "503", "429", "html"])
def test_a_search_is_tried_again(gdc: GdcServer, fault: str) -> None:
    gdc.trouble.script = {"files": [fault, fault]}
    assert len(find_files(Server(gdc.url, QUICK), [], ["reports"])) == 25
    gdc.asked.clear()
    gdc.trouble.script = {"files": [fault] * 3}
    with pytest.raises(InputError, match=r"3 attempts"):
        find_files(Server(gdc.url, QUICK), [], ["reports"])


def test_a_refused_search_is_not_tried_again(gdc: GdcServer) -> None:
    with pytest.raises(InputError, match=r"invalid field 'cases\.nonsense'"):
        list(Server(gdc.url, QUICK).hits("files", nonsense(), ["file_id"], "file_id"))
    assert len(gdc.asked) == 1


def nonsense() -> dict[str, object]:
    return {"op": "in", "content": {"field": "cases.nonsense", "value": ["x"]}}


def test_a_list_that_changes_while_it_is_read_is_refused(
    gdc: GdcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "HITS_PER_REQUEST", 10)
    hits = Server(gdc.url).hits("cases", {"op": "and", "content": []}, ["submitter_id"], "submitter_id")
    next(hits)
    gdc.cases.pop(0)
    with pytest.raises(InputError, match="changed while it was read"):
        list(hits)


@pytest.mark.parametrize(
    ("fault", "message"),
    [("drip", "too slow to go on"), ("endless", "an answer of more than 100,000 bytes")],
)
def test_answers_without_end_end(
    gdc: GdcServer, fault: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "ANSWER_BYTES", 100_000)
    gdc.trouble.script = {"files": [fault] * 9}
    with pytest.raises(InputError, match=message):
        find_files(Server(gdc.url, QUICK), [], ["slides"])
    assert len(gdc.asked) == (3 if fault == "drip" else 1)


def test_the_same_page_for_ever_is_noticed_at_once(gdc: GdcServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HITS_PER_REQUEST", 10)
    gdc.trouble.same_page = True
    with pytest.raises(InputError, match=r"20 hits, 10 different, of \[26\] stated"):
        find_files(Server(gdc.url, QUICK), [], ["rna"])
    assert len(gdc.asked) == 2


def test_what_is_not_there_is_said(gdc: GdcServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing found for TCGA-XXXX"):
        run_gdc("query", "--server", gdc.url, "--project", "TCGA-XXXX")
    with pytest.raises(InputError, match="begins with https"):
        run_gdc("query", "--server", "api.gdc.cancer.gov")
    with serving() as gone:
        address = gone.url
    with pytest.raises(InputError, match="not reached"):
        run_gdc("query", "--server", address, "--retries", 1, "--wait", 0.01)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("id", "../x", "id is '../x'"),
        ("filename", "../../etc/passwd", "filename is"),
        ("filename", ".gdc", "filename is"),
        ("filename", "a\\b.svs", "filename is"),
        ("md5", "abc", "md5 is 'abc'"),
        ("size", "-1", "size is '-1'"),
        ("size", "1.5", "size is '1.5'"),
        ("data", "../slides", "data is"),
    ],
)
def test_a_manifest_that_can_not_be_right_is_refused(
    tmp_path: Path, column: str, value: str, message: str
) -> None:
    row = {"id": "a-1", "filename": "a.svs", "md5": MD5, "size": "5", "state": "", "data": "slides"}
    path = tmp_path / "manifest.tsv"
    pd.DataFrame([row, row | {column: value}]).to_csv(path, sep="\t", index=False)
    with pytest.raises(InputError, match=r"row 2: " + re.escape(message)):
        read_manifest(path)


def test_two_files_of_one_name_are_refused() -> None:
    first = GdcFile("a-1", "x.svs", MD5, 5, data="slides")
    with pytest.raises(InputError, match="listed twice"):
        refuse_clashes([first, first], "here")
    with pytest.raises(InputError, match=r"both named X\.svs"):
        refuse_clashes([first, GdcFile("a-2", "X.svs", MD5, 5, data="slides")], "here")
    refuse_clashes([first, GdcFile("a-2", "x.svs", MD5, 5, data="rna")], "here")


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    files = [
        GdcFile(
            "a-1", "x, y.svs", MD5, 5, "released", "TCGA-BRCA", "TCGA-AA-0001", "s", "Primary Tumor", "slides"
        ),
        GdcFile("a-2", "z.pdf", MD5, 0, data="reports"),
    ]
    write_manifest(files, tmp_path / "m.tsv")
    assert sorted(read_manifest(tmp_path / "m.tsv"), key=lambda f: f.id) == files


def test_hits_that_lack_something_are_named(gdc: GdcServer) -> None:
    file_id = find_files(Server(gdc.url), [], ["reports"])[0].id
    del gdc.files[file_id][0]["md5sum"]
    with pytest.raises(InputError, match="md5sum"):
        find_files(Server(gdc.url), [], ["reports"])


def test_kinds_by_name() -> None:
    assert kind_of("", "TCGA-AA-0001.X.PDF") == "reports"
    assert kind_of("", "x.rna_seq.augmented_star_gene_counts.tsv") == "rna"
    assert kind_of("", "x.svs") == "slides"
    assert kind_of("", "x.bam") == kind_of("Aligned Reads", "x.svs") == "other"


def test_the_server_is_an_option_or_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def default() -> str:
        given = build_app().parse_args(["gdc", "query"])[1].arguments
        return given.get("connection", Connection()).open().url

    monkeypatch.delenv("PRIME_GDC", raising=False)
    assert default() == "https://api.gdc.cancer.gov"
    monkeypatch.setenv("PRIME_GDC", "http://mirror")
    assert default() == "http://mirror"
    monkeypatch.setenv("PRIME_GDC", "")
    assert default() == "https://api.gdc.cancer.gov"


def test_the_kept_cases_are_json(gdc: GdcServer, tmp_path: Path) -> None:
    assert run_gdc("fetch", "--server", gdc.url, "--data", "clinical", "--out", tmp_path) == 0
    kept = json.loads((tmp_path / "clinical" / "TCGA-BRCA.json").read_text(encoding="utf-8"))
    assert [case["submitter_id"] for case in kept] == [f"TCGA-A1-{number:04d}" for number in range(25)]
    assert (tmp_path / "clinical" / "TCGA-LUAD.json").is_file()
    asked = len(gdc.asked)
    run_gdc("fetch", "--server", gdc.url, "--data", "clinical", "--project", "TCGA-LUAD", "--out", tmp_path)
    assert len(gdc.asked) == asked
