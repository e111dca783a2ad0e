"""A loopback server that speaks the GDC's HTTP: /files, /cases, /data with ranges, and every sort of fault.

Written from the GDC's API guide; nothing of it is the client's. Filters are evaluated as the guide says,
unknown fields are refused as the GDC refuses them, and pages are 10 hits unless a size is asked for.
"""

import hashlib
import json
import random
import socket
import struct
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from prime.cli import run
from tests.local_server import LocalServer

Json = dict[str, Any]
CHUNK = 8192
SEND_BUFFER = 16384  # bytes that the system may hold of an answer, so that "sent" is close to "received"
FIELDS = frozenset(
    [
        "file_id",
        "file_name",
        "md5sum",
        "file_size",
        "state",
        "data_type",
        "data_category",
        "data_format",
        "access",
        "experimental_strategy",
        "analysis.workflow_type",
        "cases.submitter_id",
        "cases.project.project_id",
        "cases.project.program.name",
        "cases.samples.submitter_id",
        "cases.samples.sample_type",
        "cases.samples.tissue_type",
        "associated_entities.entity_submitter_id",
        "submitter_id",
        "project.project_id",
        "project.program.name",
    ]
)
KIND_FIELDS: dict[str, Json] = {
    "slides": {
        "data_type": "Slide Image", "experimental_strategy": "Diagnostic Slide", "data_format": "SVS",
        "data_category": "Biospecimen",
    },
    "frozen": {
        "data_type": "Slide Image", "experimental_strategy": "Tissue Slide", "data_format": "SVS",
        "data_category": "Biospecimen",
    },
    "rna": {
        "data_type": "Gene Expression Quantification", "experimental_strategy": "RNA-Seq",
        "data_format": "TSV", "data_category": "Transcriptome Profiling",
        "analysis": {"workflow_type": "STAR - Counts"},
    },
    "reports": {"data_type": "Pathology Report", "data_format": "PDF", "data_category": "Clinical"},
}  # fmt: skip
SAMPLE_WORDS = {"01": "Primary Tumor", "02": "Recurrent Tumor", "03": "Primary Blood Derived Cancer",
                "06": "Metastatic", "11": "Solid Tissue Normal"}  # fmt: skip


@dataclass
class Request:
    """One request for a file's bytes: from where, how many were sent, and what was done to it."""

    file_id: str
    start: int
    fault: str
    sent: int = 0
    whole: bool = False  # all bytes to the end went out, and they were the right ones


@dataclass
class Trouble:
    """Which requests go wrong: those of `script` (by file id or endpoint, in turn), and a share of all."""

    share: float = 0.0
    seed: int = 0
    kinds: tuple[str, ...] = ("503", "429", "truncate", "corrupt", "slow", "reset")
    script: dict[str, list[str]] = field(default_factory=dict)
    slow_s: float = 3.0
    retry_after: str = "0"
    drip_s: float = 0.1
    same_page: bool = False  # the first hits are served for ever

    def of(self, name: str, turn: int) -> str:
        """The fault of the `turn`-th request (from 0), empty for none; whatever the order of files."""
        scripted = self.script.get(name, [])
        if turn < len(scripted):
            return scripted[turn]
        chance = random.Random(f"{self.seed} {name} {turn}")
        return chance.choice(self.kinds) if chance.random() < self.share else ""


class GdcServer(LocalServer):
    """The server: `files` by id (hit and bytes), `cases`, and a log of what was asked and sent."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.files: dict[str, tuple[Json, bytes]] = {}
        self.cases: list[Json] = []
        self.trouble = Trouble()
        self.pause_s = 0.0  # after each chunk
        self.log: list[Request] = []
        self.asked: list[tuple[str, Json]] = []  # endpoint and body of each search
        self.turns = Counter[str]()  # requests of each file
        self.busy = 0
        self.lock = threading.Condition()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news here."""

    def add(self, kind: str, sample: str, data: bytes, name: str = "", project: str = "TCGA-BRCA") -> str:
        """Add one file of a patient's sample, slide or aliquot (a barcode). Returns its id."""
        chance = random.Random(f"{kind} {sample} {name} {len(self.files)}")
        file_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        names = {
            "slides": f"{sample}.{file_id.upper()}.svs",
            "frozen": f"{sample}.{file_id.upper()}.svs",
            "rna": f"{file_id}.rna_seq.augmented_star_gene_counts.tsv",
            "reports": f"{sample[:12]}.{file_id.upper()}.PDF",
        }
        case: Json = {
            "submitter_id": sample[:12],
            "project": {"project_id": project, "program": {"name": "TCGA"}},
        }
        if kind != "reports":
            tissue = "Normal" if sample[13:15] >= "10" else "Tumor"
            words = SAMPLE_WORDS.get(sample[13:15], "Unknown")
            case["samples"] = [{"submitter_id": sample[:16], "sample_type": words, "tissue_type": tissue}]
        hit: Json = {
            "id": file_id,
            "file_id": file_id,
            "file_name": name or names[kind],
            "md5sum": hashlib.md5(data).hexdigest(),
            "file_size": len(data),
            "state": "released",
            "access": "open",
            "cases": [case],
            "associated_entities": [{"entity_submitter_id": sample}],
            **KIND_FIELDS[kind],
        }
        self.files[file_id] = (hit, data)
        return file_id

    def add_case(self, patient: str, project: str = "TCGA-BRCA", **rest: Any) -> None:
        """Add one case with its clinical nodes: demographic=..., diagnoses=..., follow_ups=..."""
        head = {"project_id": project, "program": {"name": "TCGA"}}
        self.cases.append({"id": f"case {patient}", "submitter_id": patient, "project": head, **rest})

    def wait_for(self, holds: Callable[[], bool]) -> None:
        """Return once `holds()`, which is asked whenever bytes went out or a request ended."""
        with self.lock:
            if not self.lock.wait_for(holds, timeout=300):
                raise AssertionError("the client asks for nothing more")

    def name_of(self, request: Request) -> str:
        """The name of the file that was asked for."""
        return str(self.files[request.file_id][0]["file_name"])

    def sent(self) -> int:
        """Bytes of files that went out, over all requests."""
        return sum(request.sent for request in self.log)


@contextmanager
def serving() -> Generator[GdcServer]:
    """A running server on a free loopback port."""
    server = GdcServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits for 40 ms
    server: GdcServer

    def setup(self) -> None:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        super().setup()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._dispatch({})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        text = self.rfile.read(length)
        self._dispatch(json.loads(text) if text else {})

    def _dispatch(self, body: Json) -> None:
        server = self.server
        with server.lock:
            server.busy += 1
        try:
            parts = self.path.strip("/").split("/")
            if parts[0] == "data" and len(parts) == 2:
                self._send_file(parts[1])
            elif parts[0] in ("files", "cases") and len(parts) == 1:
                self._search(parts[0], body)
            else:
                self._json({"message": "no such endpoint"}, 404)
        except ConnectionError:
            self.close_connection = True
        finally:
            with server.lock:
                server.busy -= 1
                server.lock.notify_all()

    def _json(self, value: Json, status: int = 200, **headers: str) -> None:
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        for name, content in headers.items():
            self.send_header(name.replace("_", "-"), content)
        self.end_headers()
        self.wfile.write(text)

    # Searching

    def _search(self, endpoint: str, body: Json) -> None:
        server = self.server
        fault = server.trouble.of(endpoint, sum(name == endpoint for name, _ in server.asked))
        server.asked.append((endpoint, body))
        if self._refused(fault):
            return
        if fault == "html":
            text = b"<html>maintenance</html>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            return
        if fault in ("drip", "endless"):
            self._send_without_end(fault)
            return
        records = [hit for hit, _ in server.files.values()] if endpoint == "files" else server.cases
        try:
            found = [record for record in records if matches(record, body.get("filters"))]
        except KeyError as error:
            self._json({"message": f"invalid field {error}"}, 400)
            return
        order = body.get("sort", "").partition(":")[0]
        if order:
            found.sort(key=lambda record: values_of(record, order)[0])
        start, size = int(body.get("from", 0)), int(body.get("size", 10))
        if server.trouble.same_page:
            start = 0
        hits = [pruned(record, body.get("fields", "file_id").split(",")) for record in found[start:][:size]]
        page = {"count": len(hits), "total": len(found), "size": size, "from": start, "sort": order}
        self._json({"data": {"hits": hits, "pagination": page}, "warnings": {}})

    def _send_without_end(self, fault: str) -> None:
        """An answer without end: a byte now and then, or as fast as it goes."""
        self.close_connection = True
        self.send_response(200)
        self.end_headers()
        while not self.server.over.is_set():
            self.wfile.write(b" " if fault == "drip" else b" " * CHUNK)
            if fault == "drip":
                self.server.over.wait(self.server.trouble.drip_s)

    def _refused(self, fault: str) -> bool:
        """Answer with an error status where the fault is one."""
        if fault == "429":
            self._json({"message": "too many"}, 429, Retry_After=self.server.trouble.retry_after)
        elif fault.isdigit():
            self._json({"message": "trouble"}, int(fault))
        return fault.isdigit()

    # Sending files

    def _send_file(self, file_id: str) -> None:
        server = self.server
        if file_id not in server.files:
            self._json({"message": "file not found"}, 404)
            return
        data = server.files[file_id][1]
        with server.lock:
            fault = server.trouble.of(file_id, server.turns[file_id])
            server.turns[file_id] += 1
            asked = self.headers.get("Range")
            start = int(asked.split("=")[1].split("-")[0]) if asked and fault != "no_range" else 0
            request = Request(file_id, start, fault)
            server.log.append(request)
        if self._refused(fault):
            return
        if start >= len(data) > 0:
            self._json({"message": "range"}, 416)
            return
        body = data[start:]
        if fault == "corrupt":
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 0xFF]) + body[middle + 1 :]
        ranged = asked is not None and fault != "no_range"
        self.send_response(206 if ranged else 200)
        if ranged:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(body) + (10 if fault == "long" else 0)))
        self.end_headers()
        self._send_body(body + bytes(10 if fault == "long" else 0), fault, request)

    def _send_body(self, body: bytes, fault: str, request: Request) -> None:
        server = self.server
        middle = len(body) // 2
        for place in range(0, len(body), 1 if fault == "drip" and server.trouble.drip_s else CHUNK):
            chunk = body[place : place + CHUNK]
            if fault == "drip" and server.trouble.drip_s:
                chunk = chunk[:1]
                server.over.wait(server.trouble.drip_s)
            if fault in ("truncate", "reset", "slow") and place + len(chunk) > middle:
                self.wfile.write(chunk[: max(0, middle - place)])
                request.sent += max(0, middle - place)
                self._break(fault)
                return
            self.wfile.write(chunk)
            with server.lock:
                request.sent += len(chunk)
                server.lock.notify_all()
            if server.pause_s:
                server.over.wait(server.pause_s)
        request.whole = fault not in ("corrupt", "long")

    def _break(self, fault: str) -> None:
        """End in the middle of a body: by closing, by a reset, or by saying nothing for long."""
        self.close_connection = True
        if fault == "slow":
            self.server.over.wait(self.server.trouble.slow_s)
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)


def run_gdc(*arguments: object) -> int:
    """`prime gdc ARGUMENTS`, in this process. Returns the exit status."""
    return run(["gdc", *map(str, arguments)])


def values_of(record: Any, path: str) -> list[Any]:
    """All values at a dotted path, through lists."""
    if isinstance(record, list):
        return [value for item in record for value in values_of(item, path)]
    if not path:
        return [record]
    name, _, rest = path.partition(".")
    return values_of(record[name], rest) if isinstance(record, dict) and name in record else []


def matches(record: Json, condition: Json | None) -> bool:
    """Whether a record meets a filter of the GDC. Raises KeyError for a field that it does not know."""
    if condition is None:
        return True
    content = condition["content"]
    if condition["op"] in ("and", "or"):
        met = [matches(record, part) for part in content]
        return all(met) if condition["op"] == "and" else any(met)
    name = content["field"].removeprefix("files.")
    if name not in FIELDS:
        raise KeyError(content["field"])
    wanted = content["value"] if isinstance(content["value"], list) else [content["value"]]
    found = any(value in wanted for value in values_of(record, name))
    return found if condition["op"] in ("in", "=") else not found


def pruned(record: Any, paths: list[str]) -> Any:
    """The record with the asked-for fields only, and its id."""
    if isinstance(record, list):
        return [pruned(item, paths) for item in record]
    result: Json = {"id": record["id"]} if "id" in record else {}
    for name in record:
        inner = [path.partition(".")[2] for path in paths if path.partition(".")[0] == name]
        if inner:
            result[name] = record[name] if "" in inner else pruned(record[name], inner)
    return result
