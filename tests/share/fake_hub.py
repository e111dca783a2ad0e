"""A model hub on this machine: what huggingface_hub asks of the real one to push and to fetch a model."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.local_server import LocalServer

WRITES, READS = "hf_writes", "hf_reads"  # tokens
LFS = (".safetensors",)


@dataclass
class Repository:
    """One repository: its commits, the newest last, each a whole set of files."""

    private: bool
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)

    def files(self, revision: str) -> dict[str, bytes] | None:
        """The files of a branch or commit; None where there is none."""
        if revision == "main":
            return self.commits[-1][1] if self.commits else {}
        return dict(self.commits).get(revision)

    def sha(self, revision: str) -> str:
        return (self.commits[-1][0] if self.commits else "0" * 40) if revision == "main" else revision


class FakeHub(LocalServer):
    """Repositories by name, uploads that no commit names yet, and every request as `METHOD /path`."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.repositories: dict[str, Repository] = {}
        self.uploads: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.refuses: Callable[[str], int | None] = lambda request: None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def refuse(self, status: int, message: str, code: str = "") -> None:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.answer(status, {"error": message}, headers)

    def handle_request(self) -> None:
        path = self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = f"{self.command} {path}"
        self.server.asked.append(request)
        if (status := self.server.refuses(request)) is not None:
            return self.refuse(status, "refused by the test")
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token not in ("", WRITES, READS):
            return self.refuse(401, "Invalid credentials in Authorization header")
        for pattern, act in ROUTES:
            if found := re.fullmatch(pattern, request):
                return act(self, body, token, *found.groups())
        return self.refuse(404, f"the fake hub knows no {request}")

    do_GET = do_HEAD = do_POST = do_PUT = handle_request

    def repository(self, name: str, token: str, writes: bool = False) -> Repository | None:
        """A repository that the token may see (or write to); None after a refusal."""
        found = self.server.repositories.get(name)
        if found is None or (found.private and not token):
            self.refuse(404 if token else 401, "Repository Not Found", "RepoNotFound")
            return None
        if writes and token != WRITES:
            self.refuse(403, "you may not write here")
            return None
        return found


def create(at: Handler, body: bytes, token: str) -> None:
    asked = json.loads(body)
    name = f"{asked['organization']}/{asked['name']}"
    if token != WRITES:
        return at.refuse(401 if not token else 403, "You don't have the rights to create a model")
    if name in at.server.repositories:
        return at.answer(409, {"error": "exists", "url": f"{at.server.address}/{name}"})
    private = asked.get("visibility") == "private" or asked.get("private") is True
    at.server.repositories[name] = Repository(private)
    return at.answer(200, {"url": f"{at.server.address}/{name}", "name": name})


def validate(at: Handler, body: bytes, token: str) -> None:
    at.answer(200, {"errors": [], "warnings": []})


def info(at: Handler, body: bytes, token: str, name: str, revision: str | None = None) -> None:
    if (found := at.repository(name, token)) is None:
        return None
    files = found.files(revision or "main")
    if files is None:
        return at.refuse(404, "no such revision", "RevisionNotFound")
    siblings = [{"rfilename": path} for path in files]
    facts = {"id": name, "modelId": name, "private": found.private, "siblings": siblings}
    return at.answer(200, {**facts, "sha": found.sha(revision or "main"), "tags": [], "downloads": 0})


def preupload(at: Handler, body: bytes, token: str, name: str) -> None:
    if at.repository(name, token, writes=True) is None:
        return None
    files = [
        {
            "path": f["path"],
            "uploadMode": "lfs" if f["path"].endswith(LFS) else "regular",
            "shouldIgnore": False,
        }
        for f in json.loads(body)["files"]
    ]
    return at.answer(200, {"files": files})


def batch(at: Handler, body: bytes, token: str, name: str) -> None:
    if at.repository(name, token, writes=True) is None:
        return None
    objects = [
        {**asked, "actions": {"upload": {"href": f"{at.server.address}/lfs/{asked['oid']}"}}}
        for asked in json.loads(body)["objects"]
    ]
    answer = {"transfer": "basic", "objects": objects}
    return at.answer(200, answer, {"Content-Type": "application/vnd.git-lfs+json"})


def put(at: Handler, body: bytes, token: str, oid: str) -> None:
    assert hashlib.sha256(body).hexdigest() == oid
    at.server.uploads[oid] = body
    at.answer(200)


def commit(at: Handler, body: bytes, token: str, name: str) -> None:
    if (found := at.repository(name, token, writes=True)) is None:
        return None
    files = dict(found.files("main") or {})
    for line in map(json.loads, body.decode().splitlines()):
        value = line["value"]
        if line["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            files[value["path"]] = at.server.uploads[value["oid"]]
    sha = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
    found.commits.append((sha, files))
    url = f"{at.server.address}/{name}/commit/{sha}"
    return at.answer(200, {"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})


def tree(at: Handler, body: bytes, token: str, name: str, revision: str) -> None:
    if (found := at.repository(name, token)) is None:
        return None
    listed: list[dict[str, Any]] = []
    for path, data in (found.files(revision) or {}).items():
        listed.append(
            {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
        )
        if path.endswith(LFS):
            listed[-1]["lfs"] = {
                "oid": hashlib.sha256(data).hexdigest(),
                "size": len(data),
                "pointerSize": 130,
            }
    return at.answer(200, listed)


def resolve(at: Handler, body: bytes, token: str, name: str, revision: str, path: str) -> None:
    if (found := at.repository(name, token)) is None:
        return None
    data = (found.files(revision) or {}).get(path)
    if data is None:
        return at.refuse(404, "no such file", "EntryNotFound")
    digest = hashlib.sha256(data).hexdigest()
    headers = {"X-Repo-Commit": found.sha(revision), "ETag": f'"{digest}"', "X-Linked-Size": str(len(data))}
    return at.answer(200, data, headers)


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES: list[tuple[str, Callable[..., None]]] = [
    (r"POST /api/repos/create", create),
    (r"POST /api/validate-yaml", validate),
    (rf"GET /api/models/{NAME}", info),
    (rf"GET /api/models/{NAME}/revision/([\w.-]+)", info),
    (rf"GET /api/models/{NAME}/tree/([\w.-]+)", tree),
    (rf"POST /api/models/{NAME}/preupload/main", preupload),
    (rf"POST /{NAME}.git/info/lfs/objects/batch", batch),
    (r"PUT /lfs/(\w+)", put),
    (rf"POST /api/models/{NAME}/commit/main", commit),
    (rf"(?:HEAD|GET) /{NAME}/resolve/([\w.-]+)/([\w.-]+)", resolve),
]


@contextmanager
def serving() -> Iterator[FakeHub]:
    """A fake hub for the length of the block."""
    hub = FakeHub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
