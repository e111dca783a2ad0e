"""`prime gdc fetch` killed in the middle, on a server that errs: every file is right, none comes twice.

Files in flight at a kill are the exception that no client can avoid: bytes that the server has sent and the
client has not yet written are sent again. The test counts them, and allows four files a kill.
"""

import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.encode.gdc_server import GdcServer, serving

FILES = 80
JOBS = 4
KILLS = 3


def fill(server: GdcServer) -> dict[str, bytes]:
    """Eighty files of 20 to 200 kB of three kinds. Returns their bytes by place in the folder."""
    chance = random.Random(5)
    kinds = ("slides", "rna", "reports")
    ends = {"slides": "-01Z-00-DX1", "rna": "-01A-11R-A12P-07", "reports": ""}
    expected: dict[str, bytes] = {}
    for number in range(FILES):
        kind = kinds[number % 3]
        data = chance.randbytes(chance.randrange(20_000, 200_000))
        file_id = server.add(kind, f"TCGA-A{number % 10}-{number // 3:04d}{ends[kind]}", data)
        expected[f"{kind}/{server.files[file_id][0]['file_name']}"] = data
    return expected


def start(server: GdcServer, out: Path) -> "subprocess.Popen[str]":
    options = f"fetch --server {server.url} --data slides rna reports --jobs {JOBS} --wait 0.05 --timeout 1"
    return subprocess.Popen(
        [sys.executable, "-m", "prime", "gdc", *options.split(), "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def partial(out: Path) -> dict[str, int]:
    """Size of each partial file, by the name that it will have."""
    return {path.name.removesuffix(".part"): path.stat().st_size for path in out.glob("*/.partial/*.part")}


def finished(out: Path) -> set[str]:
    return {path.name for path in out.glob("[!.]*/*") if path.is_file()}


def test_three_kills_and_faults_leave_every_file_right_and_none_fetched_twice(tmp_path: Path) -> None:
    out = tmp_path / "raw"
    chance = random.Random(11)
    with serving() as server:
        expected = fill(server)
        total = sum(map(len, expected.values()))
        server.trouble.share = 0.1
        server.trouble.slow_s = 1.5
        server.pause_s = 0.006
        in_flight: set[str] = set()
        for kill in range(KILLS):
            goal = total * (kill + chance.random()) / (KILLS + 1)
            done, parts, before = finished(out), partial(out), len(server.log)
            process = start(server, out)
            server.wait_for(lambda goal=goal: server.sent() >= goal)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert process.returncode == -signal.SIGKILL
            server.wait_for(lambda: server.busy == 0)
            check_what_was_asked(server, before, done, parts)
            in_flight |= {server.name_of(request) for request in server.log} - finished(out)
        assert 0 < len(in_flight) <= JOBS * KILLS
        done, parts, before = finished(out), partial(out), len(server.log)
        process = start(server, out)
        text, errors = process.communicate()
        assert process.returncode == 0, errors
        assert f"{FILES - len(done):,} files fetched, {len(done):,} were there" in text
        check_what_was_asked(server, before, done, parts)
        found = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.glob("[!.]*/*")}
        assert found == expected
        check_counts(server, in_flight)


def check_what_was_asked(server: GdcServer, before: int, done: set[str], parts: dict[str, int]) -> None:
    """In one run: no file that was there, and of partial files only what was still to come."""
    asked = server.log[before:]
    assert not done & {server.name_of(request) for request in asked}
    first = {server.name_of(request): request.start for request in reversed(asked)}
    size_of = {hit["file_name"]: len(data) for hit, data in server.files.values()}
    for name, size in parts.items():
        if name in first and size < size_of[name]:
            assert first[name] == size


def check_counts(server: GdcServer, in_flight: set[str]) -> None:
    """Over all runs: no file came whole twice; those that no fault or kill met came byte for byte once."""
    faults = Counter(request.fault for request in server.log if request.fault)
    assert sum(faults.values()) >= 5
    assert len(faults) >= 3
    whole = Counter(server.name_of(r) for r in server.log if r.whole and r.start == 0)
    assert {name for name, count in whole.items() if count > 1} <= in_flight
    troubled = in_flight | {server.name_of(request) for request in server.log if request.fault}
    sent = Counter[str]()
    for request in server.log:
        sent[server.name_of(request)] += request.sent
    sizes = {hit["file_name"]: len(data) for hit, data in server.files.values()}
    calm = sizes.keys() - troubled
    assert len(calm) > FILES // 2
    assert {name: sent[name] for name in calm} == {name: sizes[name] for name in calm}
