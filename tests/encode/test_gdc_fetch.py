"""Each way in which a download can go wrong, against a server that makes it go wrong."""

import hashlib
import os
import random
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import prime.encode.gdc.download as download_module
from prime.encode.gdc.download import download, partial_path
from prime.encode.gdc.fetch import FetchResult, fetch, missing_bytes
from prime.encode.gdc.manifest import GdcFile, read_manifest
from prime.encode.gdc.query import find_files
from prime.encode.gdc.server import RetryPolicy, Server, Stopped, retry_after_s
from prime.encode.gdc.verified import PLACE, VerifiedFiles
from prime.errors import InputError
from tests.encode.gdc_server import GdcServer, run_gdc, serving

DATA = random.Random(3).randbytes(100_000)
QUICK = RetryPolicy(retries=2, first_wait_s=0.01, read_timeout_s=0.5)


@pytest.fixture
def gdc():
    with serving() as server:
        server.trouble.slow_s = 1.5
        yield server


class Place:
    """One file on the server, and where it is to lie."""

    def __init__(self, gdc: GdcServer, folder: Path, data: bytes = DATA) -> None:
        self.gdc = gdc
        self.id = gdc.add("slides", "TCGA-AA-0001-01Z-00-DX1", data)
        self.server = Server(gdc.url, QUICK)
        self.file = next(f for f in find_files(self.server, [], ["slides"]) if f.id == self.id)
        self.path = self.file.path(folder)
        self.moved: list[int] = []

    def fetch(self, *faults: str) -> list[tuple[int, int]]:
        """Download with these faults. Returns start and bytes sent of each request."""
        self.gdc.trouble.script = {self.id: [*[""] * self.gdc.turns[self.id], *faults]}
        before = len(self.gdc.log)
        download(self.server, self.file, self.path, self.moved.append)
        self.gdc.wait_for(lambda: self.gdc.busy == 0)
        return [(request.start, request.sent) for request in self.gdc.log[before:]]

    def partial(self, data: bytes) -> None:
        partial_path(self.path).parent.mkdir(parents=True, exist_ok=True)
        partial_path(self.path).write_bytes(data)

    def is_right(self) -> bool:
        return self.path.read_bytes() == DATA and not partial_path(self.path).exists()


@pytest.fixture
def place(gdc: GdcServer, tmp_path: Path) -> Place:
    return Place(gdc, tmp_path)


def test_a_file_comes_whole(place: Place) -> None:
    assert place.fetch() == [(0, 100_000)]
    assert place.is_right()
    assert sum(place.moved) == 100_000


@pytest.mark.parametrize("held", [1, 50_000, 99_999])
def test_a_partial_file_is_resumed_by_range(place: Place, held: int) -> None:
    place.partial(DATA[:held])
    assert place.fetch() == [(held, 100_000 - held)]
    assert place.is_right()
    assert sum(place.moved) == 100_000 - held


def test_a_whole_partial_file_is_only_renamed(place: Place) -> None:
    place.partial(DATA)
    assert place.fetch() == []
    assert place.is_right()


@pytest.mark.parametrize("fault", ["500", "502", "503", "504", "429"])
def test_a_passing_status_is_tried_again(place: Place, fault: str) -> None:
    assert [start for start, _ in place.fetch(fault, fault)] == [0, 0, 0]
    assert place.is_right()


def test_a_truncated_body_goes_on_where_it_stopped(place: Place) -> None:
    assert place.fetch("truncate", "truncate") == [(0, 50_000), (50_000, 25_000), (75_000, 25_000)]
    assert place.is_right()
    assert sum(place.moved) == 100_000


@pytest.mark.parametrize("fault", ["reset", "slow"])
def test_a_broken_or_silent_connection_goes_on_where_it_stopped(place: Place, fault: str) -> None:
    (first, sent), (second, rest) = place.fetch(fault)
    assert first == 0
    assert second <= sent == 50_000  # a reset may take back what the system had not handed over
    assert second + rest == 100_000
    assert place.is_right()


def test_transfers_that_bring_bytes_may_break_for_ever(place: Place) -> None:
    starts = [start for start, _ in place.fetch(*["truncate"] * 10)]
    assert len(starts) == 11 > QUICK.retries + 1
    assert starts == sorted(set(starts))
    assert place.is_right()


def test_transfers_that_bring_nothing_end(place: Place) -> None:
    place.partial(DATA[:40])
    with pytest.raises(InputError, match=r"status 503 .*3 attempts in vain"):
        place.fetch(*["503"] * 9)
    assert len(place.gdc.log) == 3
    assert partial_path(place.path).read_bytes() == DATA[:40]
    assert not place.path.exists()


def test_wrong_bytes_are_thrown_away_and_fetched_again(place: Place) -> None:
    place.partial(b"not its beginning")
    assert place.fetch("corrupt") == [(17, 99_983), (0, 100_000)]
    assert place.is_right()
    assert sum(place.moved) == 100_000 - 17


def test_wrong_bytes_three_times_are_a_failure(place: Place) -> None:
    with pytest.raises(InputError, match=f"md5 is not {place.file.md5} after 3 whole downloads"):
        place.fetch(*["corrupt"] * 5)
    assert len(place.gdc.log) == 3
    assert not place.path.exists()
    assert not partial_path(place.path).exists()
    assert sum(place.moved) == 0


def test_a_server_that_ignores_the_range_sends_all(place: Place) -> None:
    place.partial(b"x" * 30_000)
    assert place.fetch("no_range") == [(0, 100_000)]
    assert place.is_right()
    assert sum(place.moved) == 70_000


def test_a_range_that_does_not_exist_starts_over(place: Place) -> None:
    """The manifest says 200,000 bytes, the server has 100,000: status 416, then a body too short."""
    place.file = replace(place.file, size=200_000)
    place.partial(DATA)
    with pytest.raises(InputError, match="shorter than the 200000 bytes of the manifest"):
        place.fetch()
    assert [request.start for request in place.gdc.log] == [100_000, 0, 100_000, 0, 100_000]
    assert not partial_path(place.path).exists()


def test_more_bytes_than_stated_are_not_kept(place: Place) -> None:
    place.file = replace(place.file, size=60_000)
    with pytest.raises(InputError, match="more than the 60000 bytes of the manifest"):
        place.fetch()
    assert not partial_path(place.path).exists()
    assert sum(place.moved) == 0


@pytest.mark.parametrize(
    ("fault", "words"), [("404", "no such file"), ("403", "not open access"), ("400", "400")]
)
def test_a_final_status_is_not_tried_again(place: Place, fault: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        place.fetch(*[fault] * 5)
    assert len(place.gdc.log) == 1


@pytest.mark.parametrize("held", [0, 30_000])
def test_an_unusable_content_range_starts_over(
    place: Place, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.partial(DATA[:held])
    monkeypatch.setattr("tests.encode.gdc_server._Handler.send_header", shifted(place.gdc))
    if held:
        assert [start for start, _ in place.fetch()] == [30_000, 0]
    else:
        assert place.fetch() == [(0, 100_000)]
    assert place.is_right()


def shifted(gdc: GdcServer) -> Callable[..., None]:
    """send_header, but the range is said to begin one byte later."""
    from http.server import BaseHTTPRequestHandler

    def send_header(self: BaseHTTPRequestHandler, name: str, value: str) -> None:
        if name == "Content-Range":
            value = value.replace("bytes 30000-", "bytes 30001-")
        BaseHTTPRequestHandler.send_header(self, name, value)

    return send_header


def test_an_empty_file_comes(gdc: GdcServer, tmp_path: Path) -> None:
    place = Place(gdc, tmp_path, b"")
    place.fetch()
    assert place.path.read_bytes() == b""


# Waiting


class Recorder(threading.Event):
    """An event on which waiting takes no time; keeps the seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return self.is_set()


def waits_of(place: Place, policy: RetryPolicy, *faults: str) -> list[float]:
    place.server = Server(place.gdc.url, policy)
    place.server.stop = recorder = Recorder()
    place.fetch(*faults)
    return recorder.waits


def test_waits_double_up_to_two_minutes(place: Place) -> None:
    waits = waits_of(place, RetryPolicy(retries=12, first_wait_s=1), *["503"] * 10)
    bounds = [min(120, 2**n) for n in range(10)]
    assert len(waits) == 10
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))
    assert len({wait / bound for wait, bound in zip(waits, bounds, strict=True)}) == 10


def test_retry_after_is_kept_to(place: Place) -> None:
    place.gdc.trouble.retry_after = "17"
    assert waits_of(place, RetryPolicy(first_wait_s=1), "429", "429") == [17.0, 17.0]


def test_an_hours_wait_is_not_waited_but_said(place: Place) -> None:
    place.gdc.trouble.retry_after = "3600"
    with pytest.raises(InputError, match="asks to wait 3,600 s; run the same command again after that"):
        waits_of(place, RetryPolicy(first_wait_s=1), "429")
    assert not place.path.exists()


def test_transfers_of_a_byte_now_and_then_end(place: Place) -> None:
    place.gdc.trouble.drip_s = 0.1
    with pytest.raises(InputError, match=r"too slow to go on \(3 attempts in vain\)"):
        place.fetch(*["drip"] * 9)
    assert len(place.gdc.log) == 3
    place.gdc.trouble.drip_s = 0.0
    place.fetch()
    assert place.is_right()


def test_partial_files_never_collide_with_files(gdc: GdcServer, tmp_path: Path) -> None:
    """A file that is named like another one's partial file."""
    first = Place(gdc, tmp_path)
    second = Place(gdc, tmp_path)
    second.path = first.path.with_name(f"{first.path.name}.part")
    first.partial(DATA[:1000])
    second.fetch()
    assert second.is_right()
    assert partial_path(first.path).read_bytes() == DATA[:1000]
    assert first.fetch()[0][0] == 1000
    assert first.is_right()
    assert second.path.read_bytes() == DATA


def test_retry_after_may_be_a_date() -> None:
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert (retry_after_s("Wed, 21 Oct 2215 07:28:00 GMT") or 0.0) > 1e9
    assert retry_after_s("soon") is retry_after_s(None) is None
    assert retry_after_s(" 30 ") == 30.0


def test_an_end_during_a_wait_ends_it(place: Place) -> None:
    place.server.stop.set()
    with pytest.raises(Stopped):
        place.fetch("503")


# Many files


def fill(gdc: GdcServer, count: int) -> list[GdcFile]:
    for number in range(count):
        data = random.Random(number).randbytes(5_000 + number)
        gdc.add(("slides", "rna", "reports")[number % 3], f"TCGA-AA-{number:04d}-01A-11R-A12P-07", data)
    return sorted(find_files(Server(gdc.url), [], ["slides", "rna", "reports"]), key=lambda f: f.filename)


def fetch_all(gdc: GdcServer, files: list[GdcFile], folder: Path, jobs: int = 4) -> FetchResult:
    return fetch(Server(gdc.url, QUICK), files, folder, jobs)


def right(gdc: GdcServer, folder: Path) -> set[str]:
    """The ids of the files that lie in the folder with the server's bytes."""
    return {
        file.id
        for file in read_manifest(folder / "manifest.tsv")
        if file.path(folder).is_file() and file.path(folder).read_bytes() == gdc.files[file.id][1]
    }


@pytest.mark.parametrize("jobs", [1, 4])
def test_all_come_and_nothing_twice(gdc: GdcServer, tmp_path: Path, jobs: int) -> None:
    files = fill(gdc, 20)
    result = fetch_all(gdc, files, tmp_path, jobs)
    assert (result.fetched, result.already_there, result.failures) == (20, 0, [])
    assert right(gdc, tmp_path) == set(gdc.files)
    assert len(gdc.log) == 20
    again = fetch_all(gdc, files, tmp_path, jobs)
    assert (again.fetched, again.already_there) == (0, 20)
    assert len(gdc.log) == 20


def test_what_fails_is_told_and_the_rest_comes(
    gdc: GdcServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = fill(gdc, 12)
    gdc.trouble.script = {files[3].id: ["corrupt"] * 9, files[7].id: ["404"] * 9}
    options = ["--server", gdc.url, "--out", tmp_path, "--retries", 1, "--wait", 0.01, "--data", "slides"]
    assert run_gdc("fetch", *options, "rna", "reports") == 1
    assert right(gdc, tmp_path) == set(gdc.files) - {files[3].id, files[7].id}
    listed = (tmp_path / "failures.csv").read_text(encoding="utf-8").splitlines()
    assert listed[0] == "name,reason"
    assert [line.split(",")[0] for line in listed[1:]] == [files[3].filename, files[7].filename]
    shown = capsys.readouterr()
    assert "10 files fetched, 0 were there, 2 failed" in shown.out
    assert "md5 is not" in shown.err
    assert run_gdc("fetch", *options, "rna", "reports") == 1
    gdc.trouble.script = {}
    assert run_gdc("fetch", *options, "rna", "reports") == 0
    assert right(gdc, tmp_path) == set(gdc.files)
    assert not (tmp_path / "failures.csv").exists()


def test_a_good_file_is_never_touched_and_a_bad_one_replaced(gdc: GdcServer, tmp_path: Path) -> None:
    files = fill(gdc, 4)
    good, damaged, short = files[:3]
    for file in (good, damaged, short):
        file.path(tmp_path).parent.mkdir(parents=True, exist_ok=True)
    good.path(tmp_path).write_bytes(gdc.files[good.id][1])
    damaged.path(tmp_path).write_bytes(bytes(damaged.size))
    short.path(tmp_path).write_bytes(gdc.files[short.id][1][:100])
    os.utime(good.path(tmp_path), (1, 1))
    result = fetch_all(gdc, files, tmp_path)
    assert (result.fetched, result.already_there) == (3, 1)
    assert good.path(tmp_path).stat().st_mtime == 1
    assert right(gdc, tmp_path) == set(gdc.files)
    assert good.id not in {request.file_id for request in gdc.log}


def test_a_bad_file_stays_until_a_right_one_is_there(gdc: GdcServer, tmp_path: Path) -> None:
    (file,) = fill(gdc, 1)
    file.path(tmp_path).parent.mkdir(parents=True)
    file.path(tmp_path).write_bytes(b"of the user")
    gdc.trouble.script = {file.id: ["404"]}
    assert len(fetch_all(gdc, [file], tmp_path).failures) == 1
    assert file.path(tmp_path).read_bytes() == b"of the user"


def test_sums_are_computed_once(gdc: GdcServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = fill(gdc, 3)
    fetch_all(gdc, files, tmp_path)
    computed: list[str] = []

    def md5_of(path: Path) -> str:
        computed.append(path.name)
        return hashlib.md5(path.read_bytes()).hexdigest()

    monkeypatch.setattr("prime.encode.gdc.verified.md5_of", md5_of)
    monkeypatch.setattr(download_module, "md5_of", md5_of)
    fetch_all(gdc, files, tmp_path)
    assert computed == []
    files[0].path(tmp_path).touch()
    fetch_all(gdc, files, tmp_path)
    assert computed == [files[0].filename]
    half = (tmp_path / PLACE).read_text(encoding="utf-8")[:-20]
    (tmp_path / PLACE).write_text(half, encoding="utf-8")
    fetch_all(gdc, files, tmp_path)
    assert len(computed) == 2
    assert all(VerifiedFiles(tmp_path).has(file) for file in files)
    assert len(computed) == 2


def test_a_full_disk_is_seen_before_anything_is_fetched(
    gdc: GdcServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = fill(gdc, 3)
    half = files[0].path(tmp_path / "raw")
    partial_path(half).parent.mkdir(parents=True)
    partial_path(half).write_bytes(bytes(1_000))
    need = sum(file.size for file in files) - 1_000
    assert missing_bytes(files, tmp_path / "raw") == need
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=need - 1))
    with pytest.raises(InputError, match=r"14\.0 kB are still to be fetched, 14\.0 kB are free"):
        fetch_all(gdc, files, tmp_path / "raw")
    assert gdc.log == []
    assert not (tmp_path / "raw" / "manifest.tsv").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=need))
    assert fetch_all(gdc, files, tmp_path / "raw").fetched == 3


def test_a_disk_that_fills_up_ends_the_work(
    gdc: GdcServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = fill(gdc, 30)

    def full(server: Server, file: GdcFile, path: Path, count_bytes: Callable[[int], None]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("prime.encode.gdc.fetch.download", full)
    with pytest.raises(InputError, match="the disk is full; partial files stay"):
        fetch_all(gdc, files, tmp_path, jobs=2)


def test_an_interrupt_ends_the_threads_and_keeps_partial_files(
    gdc: GdcServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = fill(gdc, 30)
    gdc.pause_s = 0.01

    def interrupted(server: Server, file: GdcFile, path: Path, count_bytes: Callable[[int], None]) -> None:
        if file is files[5]:
            raise KeyboardInterrupt
        download(server, file, path, count_bytes)

    monkeypatch.setattr("prime.encode.gdc.fetch.download", interrupted)
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        fetch_all(gdc, files, tmp_path, jobs=2)
    gdc.wait_for(lambda: gdc.busy == 0)
    assert len(gdc.log) < 30
    assert threading.active_count() <= threads + 4  # the server's, for connections still open
    monkeypatch.setattr("prime.encode.gdc.fetch.download", download)
    assert fetch_all(gdc, files, tmp_path).failures == []
    assert right(gdc, tmp_path) == set(gdc.files)


def test_a_manifest_is_fetched_and_joined_with_the_folders_own(gdc: GdcServer, tmp_path: Path) -> None:
    files = fill(gdc, 6)
    run_gdc("query", "--server", gdc.url, "--data", "rna", "--out", tmp_path / "rna.tsv")
    lines = [f"{f.id}\t{f.filename}\t{f.md5}\t{f.size}\treleased" for f in files if f.data != "rna"]
    official = "\n".join(["id\tfilename\tmd5\tsize\tstate", *lines])
    (tmp_path / "rest.txt").write_text(official, encoding="utf-8")
    common = ["--server", gdc.url, "--out", tmp_path / "raw", "--data", "slides", "rna", "reports"]
    assert run_gdc("fetch", "--manifest", tmp_path / "rna.tsv", *common) == 0
    assert len(gdc.log) == 2
    assert run_gdc("fetch", "--manifest", tmp_path / "rest.txt", *common) == 0
    assert len(gdc.log) == 6
    assert right(gdc, tmp_path / "raw") == set(gdc.files)
    kept = read_manifest(tmp_path / "raw" / "manifest.tsv")
    assert {file.patient for file in kept} == {f"TCGA-AA-{number:04d}" for number in range(6)}
    run_gdc("query", "--server", gdc.url, "--out", tmp_path / "all.tsv")
    assert sorted(kept, key=lambda f: f.id) == sorted(read_manifest(tmp_path / "all.tsv"), key=lambda f: f.id)
