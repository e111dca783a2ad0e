"""Latency, memory and refusals of `prime serve` with many clients at once.

    python benchmarks/serve.py --model FOLDER [--requests 1000] [--clients 20] [--malformed 500] [--workers 1]
        [--threads N] [--tokens 32]

Starts the service, reads its model card, and sends patients with random numbers: each lacks some sources, and
sequences have `--tokens` rows. Then malformed requests, each of which must be refused with a reason, and at
last SIGTERM while every client waits for an answer. Prints a line for each; exits with 1 where an answer was
not as it should be.
"""

import argparse
import http.client
import json
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

Body = dict[str, Any]
PATH, JSON = "/predict", "application/json"


def patient(card: dict[str, Any], number: int, draw: random.Random, tokens: int) -> Body:
    """A patient with random numbers, of whom each source is there with 70 %, and one at least."""
    names = list(card["sources"])
    kept = [name for name in names if draw.random() < 0.7] or [draw.choice(names)]
    sources: dict[str, Any] = {}
    for name in kept:
        facts = card["sources"][name]
        rows = tokens if facts["kind"] == "sequence" else 1
        values = [[round(draw.gauss(0, 1), 4) for _ in range(facts["features"])] for _ in range(rows)]
        sources[name] = values if facts["kind"] == "sequence" else values[0]
    kind = draw.choice(card["cancer_types"])
    return {"patient_id": f"P{number:05d}", "cancer_type": kind, "sources": sources}


def malformed(card: dict[str, Any], number: int, draw: random.Random) -> tuple[str, str, bytes, str]:
    """A request that must be refused: method, path, body and content type."""
    good: Body = {"patients": [patient(card, number, draw, 2)]}
    one = good["patients"][0]
    source = draw.choice(list(one["sources"]))
    text = json.dumps(good)

    def changed(change: Callable[[], Any]) -> bytes:
        change()
        return json.dumps(good).encode()

    cases: list[Callable[[], tuple[str, str, bytes, str]]] = [
        lambda: ("POST", PATH, text[: draw.randrange(1, len(text))].encode(), JSON),
        lambda: ("POST", PATH, bytes([0x80 | draw.randrange(128)]) + text.encode(), JSON),
        lambda: ("POST", PATH, b"", JSON),
        lambda: ("POST", PATH, text.encode(), draw.choice(["text/plain", "application/xml", ""])),
        lambda: (draw.choice(["GET", "PUT", "DELETE"]), PATH, text.encode(), JSON),
        lambda: ("POST", f"/{draw.randrange(10**6)}", text.encode(), JSON),
        lambda: ("POST", PATH, changed(lambda: one.pop("patient_id")), JSON),
        lambda: ("POST", PATH, changed(lambda: one.update(patient_id="x" * 201)), JSON),
        lambda: ("POST", PATH, changed(lambda: one.update({f"key{number}": 1})), JSON),
        lambda: ("POST", PATH, changed(lambda: one.update(sources=[1, 2])), JSON),
        lambda: ("POST", PATH, changed(lambda: one["sources"].update({f"s{number}": [1.0]})), JSON),
        lambda: ("POST", PATH, changed(lambda: one["sources"].update({source: [1.0, 2.0, 3.5]})), JSON),
        lambda: ("POST", PATH, changed(lambda: one["sources"].update({source: ["a"]})), JSON),
        lambda: ("POST", PATH, changed(lambda: one["sources"].update({source: float("nan")})), JSON),
        lambda: ("POST", PATH, changed(lambda: one["sources"].update({source: [float("inf")]})), JSON),
        lambda: ("POST", PATH, changed(lambda: one["sources"].update({source: [[[1.0]]]})), JSON),
        lambda: ("POST", PATH, changed(lambda: one["sources"].update({source: {f"G{number}!": 1.0}})), JSON),
        lambda: ("POST", PATH, changed(lambda: good["patients"].append(one)), JSON),
        lambda: ("POST", PATH, changed(lambda: good.update(patients=[])), JSON),
        lambda: ("POST", PATH, changed(lambda: good.update(patients={})), JSON),
        lambda: ("POST", PATH, changed(lambda: good.update(months=[12, draw.uniform(-9, 11)])), JSON),
        lambda: ("POST", PATH, changed(lambda: good.update(level=draw.choice([0, 1, 7, "x"]))), JSON),
        lambda: ("POST", PATH, changed(lambda: good.update(reasons=draw.choice([-1, 1.5, 10**9]))), JSON),
        lambda: ("POST", "/predict/files", text.encode(), "multipart/form-data"),
        lambda: ("POST", "/predict/files", b"--x\r\n\r\n", "multipart/form-data; boundary=x"),
        lambda: ("POST", PATH, b"[" * draw.randrange(2000, 9000), JSON),
    ]  # fmt: skip
    return cases[number % len(cases)]()


def ask(
    link: http.client.HTTPConnection, method: str, path: str, body: bytes = b"", content: str = JSON
) -> tuple[int, bytes]:
    """Status and body of an answer."""
    link.request(method, path, body, {"Content-Type": content})
    found = link.getresponse()
    return found.status, found.read()


def ask_once(place: str, *words: Any) -> tuple[int, bytes]:
    """As `ask`, over a connection of its own."""
    link = http.client.HTTPConnection(place)
    try:
        return ask(link, *words)
    finally:
        link.close()


def at_once(clients: int, work: Callable[[int], None]) -> None:
    """Run `work` of 0 to clients - 1, each in a thread."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def memory(place: str) -> float:
    """Resident megabytes of the service."""
    text = ask_once(place, "GET", "/metrics")[1].decode()
    found = re.search(r"^process_resident_memory_bytes (\S+)", text, re.MULTILINE)
    assert found is not None
    return float(found[1]) / 1e6


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", required=True)
    for name, value in (
        ("requests", 1000),
        ("clients", 20),
        ("malformed", 500),
        ("workers", 1),
        ("tokens", 32),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--threads", type=int, default=None)
    return parser.parse_args()


def started(options: argparse.Namespace) -> tuple[subprocess.Popen[str], str]:
    """The service, and where it listens."""
    words = [sys.executable, "-m", "prime", "serve", "--model", options.model, "--port", "0"]
    words += ["--workers", str(options.workers)]
    words += [] if options.threads is None else ["--threads", str(options.threads)]
    service = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert service.stderr is not None
    for line in service.stderr:
        if found := re.search(r"http://(\S+?);", line):
            threading.Thread(target=service.stderr.read, daemon=True).start()
            return service, found[1]
    raise SystemExit("the service did not start")


def main() -> int:
    """Measure, and say what was not as it should be."""
    options = read_options()
    service, place = started(options)
    try:
        return measured(options, service, place)
    finally:
        service.kill()


def measured(options: argparse.Namespace, service: subprocess.Popen[str], place: str) -> int:
    """Every measure in turn; 1 where there is a fault."""
    card = json.loads(ask_once(place, "GET", "/model")[1])
    draw = random.Random(0)
    bodies = [
        json.dumps({"patients": [patient(card, number, draw, options.tokens)]}).encode()
        for number in range(options.requests)
    ]
    seconds: list[float] = []
    faults: Counter[str] = Counter()

    def load(client: int) -> None:
        own = http.client.HTTPConnection(place)
        for body in bodies[client :: options.clients]:
            began = time.perf_counter()
            status, text = ask(own, "POST", PATH, body)
            seconds.append(time.perf_counter() - began)
            if status != 200 or len(json.loads(text)["patients"]) != 1:
                faults[f"{status} instead of 200"] += 1

    for _ in range(50):
        ask_once(place, "POST", PATH, bodies[0])
    before, began = memory(place), time.perf_counter()
    at_once(options.clients, load)
    whole, after = time.perf_counter() - began, memory(place)
    ordered = sorted(seconds)
    shown = ", ".join(f"{p} % {1000 * ordered[int(len(ordered) * p / 100) - 1]:.0f} ms" for p in (50, 95, 99))
    size = sum(map(len, bodies)) / len(bodies) / 1000
    print(
        f"{len(seconds)} requests of {size:.0f} kB, {options.clients} at once: {shown}; {whole:.1f} s in all"
    )
    print(f"memory: {before:.0f} MB before, {after:.0f} MB after")
    at_once(options.clients, load)
    print(f"memory: {memory(place):.0f} MB after as many again")

    statuses: Counter[int] = Counter()
    for number in range(options.malformed):
        method, path, body, content = malformed(card, number, draw)
        status, text = ask_once(place, method, path, body, content)
        statuses[status] += 1
        if not 400 <= status < 500 or not json.loads(text)["reason"]:
            faults[f"{status} for a malformed request"] += 1
    print(f"{options.malformed} malformed requests: {dict(sorted(statuses.items()))}")

    sent = threading.Barrier(options.clients + 1)
    kept: list[int] = []

    def last(client: int) -> None:
        own = http.client.HTTPConnection(place)
        own.request("POST", PATH, bodies[client], {"Content-Type": JSON})
        sent.wait()
        kept.append(own.getresponse().status)

    thread = threading.Thread(target=at_once, args=(options.clients, last))
    thread.start()
    sent.wait()
    time.sleep(0.05)
    service.send_signal(signal.SIGTERM)
    thread.join()
    print(f"SIGTERM with {options.clients} in hand: {Counter(kept)[200]} answered, exit {service.wait(60)}")
    if kept.count(200) != options.clients or service.returncode:
        faults["lost at SIGTERM"] += 1
    print(f"faults: {dict(faults)}" if faults else "no fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
