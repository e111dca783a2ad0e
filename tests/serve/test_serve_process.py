"""`prime serve` as a process: it ends when told to, loses no request, and refuses what it can't do."""

import http.client
import importlib.util
import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from prime.cli import main
from prime.predict.model_folder import load_model
from prime.serve.app import Service, build_app
from prime.serve.limits import Limits
from tests.small_model import SmallModel

ROOT = Path(__file__).resolve().parents[2]


def benchmark() -> Any:
    """The module of benchmarks/serve.py, which makes requests."""
    spec = importlib.util.spec_from_file_location("serve_benchmark", ROOT / "benchmarks" / "serve.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def running(*words: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """The service as a process, and where it listens."""
    command = [sys.executable, "-m", "prime", "serve", "--port", "0", "--threads", "1", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        first = process.stderr.readline()
        found = re.search(r"http://(127\.0\.0\.1:\d+);", first)
        assert found is not None, first + process.stderr.read()
        yield process, found[1]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_hand_is_answered_before_the_end(small_model: SmallModel, ending: signal.Signals) -> None:
    """Eight clients wait for answers when the service is told to stop; each gets one."""
    patients = [{"patient_id": f"Secret-{i}", "sources": {"genes": [0.1] * 200}} for i in range(150)]
    body = json.dumps({"patients": patients, "reasons": 5})
    statuses: list[tuple[int, int]] = []
    sent = threading.Barrier(9)

    def client() -> None:
        link = http.client.HTTPConnection(place)
        link.request("POST", "/predict", body, {"Content-Type": "application/json"})
        sent.wait()
        answer = link.getresponse()
        statuses.append((answer.status, len(json.loads(answer.read())["patients"])))
        link.close()

    with running("--model", str(small_model.model)) as (process, place):
        threads = [threading.Thread(target=client) for _ in range(8)]
        for thread in threads:
            thread.start()
        sent.wait()
        while _in_hand(place) == 0:
            pass
        process.send_signal(ending)
        for thread in threads:
            thread.join()
        assert process.wait(60) == 0
        assert process.stderr is not None
        log = process.stderr.read()
        with pytest.raises(OSError):
            socket.create_connection((place.split(":")[0], int(place.split(":")[1])))
    assert statuses == [(200, 150)] * 8
    assert "Secret" not in log
    assert len(re.findall("^POST /predict 200", log, re.MULTILINE)) == 8
    assert log.endswith("stopped\n")


def test_many_at_once_get_what_each_gets_alone(small_model: SmallModel) -> None:
    """Twelve clients, three workers: every answer is that of the same request alone."""
    made, draw = benchmark(), random.Random(2)
    answers: dict[int, bytes] = {}
    with running("--model", str(small_model.model), "--workers", "3") as (_, place):
        card = json.loads(made.ask_once(place, "GET", "/model")[1])
        bodies = [
            json.dumps({"patients": [made.patient(card, i, draw, 4)], "reasons": 3}).encode()
            for i in range(12)
        ]

        def client(number: int) -> None:
            answers[number] = made.ask_once(place, "POST", "/predict", bodies[number])[1]

        made.at_once(12, client)
        assert len(set(answers.values())) == 12
        for number, body in enumerate(bodies):
            assert made.ask_once(place, "POST", "/predict", body) == (200, answers[number])


def test_who_sends_too_slowly_or_too_much_is_cut_off(small_model: SmallModel) -> None:
    """The answer says why, and the connection is closed, though the body never ends."""
    head = "POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with running("--model", str(small_model.model), "--seconds", "0.3", "--body", "0.001") as (_, place):
        for length, status in ((100, b"408"), (5000, b"413")):
            with socket.create_connection(("127.0.0.1", int(place.split(":")[1])), timeout=30) as link:
                link.sendall(f"{head}Content-Length: {length}\r\n\r\n{{".encode())
                answer = b""
                while more := link.recv(4096):
                    answer += more
            assert answer.split()[1] == status
            assert b'"reason"' in answer


def _in_hand(place: str) -> float:
    link = http.client.HTTPConnection(place)
    link.request("GET", "/metrics")
    text = link.getresponse().read().decode()
    link.close()
    found = re.search(r"^prime_requests_in_hand (\S+)", text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def test_malformed_requests_are_all_refused(small_model: SmallModel) -> None:
    """Three of each kind of the benchmark's, in one process."""
    made = benchmark()
    service = Service(load_model(small_model.model), torch.device("cpu"), Limits(), say=lambda _: None)
    draw = random.Random(1)
    with TestClient(build_app(service), base_url="http://127.0.0.1") as client:
        card = client.get("/model").json()
        for number in range(78):
            method, path, body, content = made.malformed(card, number, draw)
            answer = client.request(method, path, content=body, headers={"content-type": content})
            assert 400 <= answer.status_code < 500, (number, answer.text)
            assert answer.json()["reason"]
        good = {"patients": [made.patient(card, 0, draw, 2)]}
        assert client.post("/predict", json=good).status_code == 200


def test_what_the_command_refuses(
    small_model: SmallModel,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    model = str(small_model.model)
    monkeypatch.delenv("PRIME_TOKEN", raising=False)
    (tmp_path / "token").write_text("short\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        cases = [
            (["--model", model, "--host", "0.0.0.0"], "give a token"),
            (["--model", model, "--port", port], f"--port {port}"),
            (["--model", model, "--token-file", str(tmp_path / "token")], "16 letters"),
            (["--model", model, "--port", "70000"], "from 0 to 65535"),
            (["--model", str(tmp_path)], "no head.json"),
        ]
        for words, text in cases:
            assert main(["serve", *words]) == 2
            assert text in capsys.readouterr().err
    monkeypatch.setenv("PRIME_TOKEN", "no")
    assert main(["serve", "--model", model]) == 2
    assert "$PRIME_TOKEN" in capsys.readouterr().err
