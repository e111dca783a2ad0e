"""The service: the same numbers as `prime predict`, a reason for every refusal, nobody in the log."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from prometheus_client.parser import text_string_to_metric_families
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from prime.cohort.config import load_cohort
from prime.errors import InputError
from prime.predict.asked import Asked
from prime.predict.model_folder import FittedModel, load_model
from prime.predict.predict import score_patients
from prime.serve import uploads as uploads_module
from prime.serve.app import Service, build_app
from prime.serve.guard import Guard
from prime.serve.limits import Desk, Limits
from prime.serve.trace import caching_nowhere
from prime.store.store import Store
from tests.small_model import SmallModel

HERE = "http://127.0.0.1"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def fitted(small_model: SmallModel) -> FittedModel:
    return load_model(small_model.model)


@pytest.fixture(scope="module")
def unseen(small_model: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return small_model.packed(small_model.unseen, tmp_path_factory.mktemp("unseen") / "store")


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return []


@pytest.fixture(scope="module")
def service(fitted: FittedModel, small_model: SmallModel, lines: list[str]) -> Service:
    template = load_cohort(small_model.cohort)
    return Service(fitted, torch.device("cpu"), Limits(), template, say=lines.append)


def ask(service: Service) -> TestClient:
    return TestClient(build_app(service), base_url=HERE)


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[TestClient]:
    with caching_nowhere(), ask(service) as found:
        yield found


def as_request(store: Store, rows: list[int]) -> dict[str, Any]:
    """Patients of a store as the service takes them; numbers that are missing are null."""
    patients: list[dict[str, Any]] = []
    for row in rows:
        about = store.patients.iloc[row]
        sources: dict[str, Any] = {}
        for name, source in store.sources.items():
            start, count = store.index(name)[row].tolist()
            if count:
                values = store.values(name)[start : start + count].astype(float).tolist()
                values = [[None if np.isnan(v) else v for v in line] for line in values]
                sources[name] = values if source.kind == "sequence" else values[0]
        age = about["x_age"]
        patients.append({
            "patient_id": about["patient_id"], "cancer_type": about["cohort"], "sources": sources,
            "covariates": {} if np.isnan(age) else {"age": age},
        })  # fmt: skip
    return {"patients": patients}


def assert_same(answered: list[dict[str, Any]], table: pd.DataFrame) -> None:
    """Whether the answer has every cell of a table; an empty cell is null."""
    assert [row["patient_id"] for row in answered] == table["patient_id"].tolist()
    for column in table.columns:
        wanted = [None if isinstance(v, float) and np.isnan(v) else v for v in table[column].tolist()]
        assert [row[column] for row in answered] == wanted, column


def test_features_give_the_numbers_of_predict(client: TestClient, fitted: FittedModel, unseen: Store) -> None:
    body = as_request(unseen, list(range(len(unseen.patients))))
    body |= {"months": [6, 24], "level": 0.8, "reasons": 4}
    answered = client.post("/predict", json=body)
    assert answered.status_code == 200, answered.text
    found = score_patients(fitted, unseen, asked=Asked((6.0, 24.0), 0.8), top=4)
    assert found.reasons is not None
    patients = answered.json()["patients"]
    assert_same(patients, found.patients)
    for key, table in (("tests", found.tests), ("reasons", found.reasons)):
        assert {len(row[key]) for row in patients} - {0}
        for row in patients:
            assert_same(
                [{"patient_id": row["patient_id"], **item} for item in row[key]],
                table[table["patient_id"] == row["patient_id"]],
            )


def test_the_answer_keeps_the_order_and_names_give_the_same(client: TestClient, unseen: Store) -> None:
    has = np.flatnonzero(unseen.index("genes")[:, 1] > 0)[:3].tolist()
    body = as_request(unseen, has[::-1])
    first = client.post("/predict", json=body).json()["patients"]
    assert [row["patient_id"] for row in first] == [p["patient_id"] for p in body["patients"]]
    names = unseen.sources["genes"].feature_names
    assert names is not None
    for patient in body["patients"]:
        genes = dict(zip(names, patient["sources"]["genes"], strict=True))
        patient["sources"]["genes"] = dict(sorted(genes.items(), reverse=True))
    assert client.post("/predict", json=body).json()["patients"] == first


def form_of(folder: Path, names: list[str]) -> list[tuple[str, tuple[str, bytes]]]:
    """The files of a simulated cohort as parts of a form."""
    places = {
        "clinical": "clinical.csv", "genes": "rna.parquet", "slide_stats": "slide_stats.csv",
        "reports": "reports.csv",
    }  # fmt: skip
    parts: list[tuple[str, tuple[str, bytes]]] = []
    for name in names:
        if name == "tiles":
            parts += [
                (name, (path.name, path.read_bytes())) for path in sorted((folder / "slides").iterdir())
            ]
        else:
            path = folder / places[name]
            parts.append((name, (path.name, path.read_bytes())))
    return parts


def test_files_give_the_numbers_of_predict(
    client: TestClient, fitted: FittedModel, unseen: Store, small_model: SmallModel
) -> None:
    parts = form_of(small_model.unseen.parent, ["clinical", "genes", "slide_stats", "tiles", "reports"])
    answered = client.post("/predict/files", files=parts, data={"reasons": "2", "months": ["12", "48.5"]})
    assert answered.status_code == 200, answered.text
    found = score_patients(fitted, unseen, asked=Asked((12.0, 48.5)), top=2)
    assert_same(answered.json()["patients"], found.patients)


def test_files_without_a_cohort_file(service: Service, unseen: Store, small_model: SmallModel) -> None:
    folder = small_model.unseen.parent
    with ask(replace(service, template=None)) as plain:
        answered = plain.post("/predict/files", files=form_of(folder, ["clinical", "genes"]))
        assert answered.status_code == 200, answered.text
        patients = answered.json()["patients"]
        assert {row["pattern"] for row in patients} == {"", "rna"}
        with_it = plain.post("/predict", json=as_request(unseen, [0]) | {"months": [1, 2]})
        assert with_it.status_code == 200
        reports = plain.post("/predict/files", files=form_of(folder, ["clinical", "reports"]))
        assert reports.status_code == 422


def test_a_report_may_be_a_text_file(client: TestClient, small_model: SmallModel) -> None:
    folder = small_model.unseen.parent
    clinical = form_of(folder, ["clinical"])
    reports = pd.read_csv(folder / "reports.csv")
    texts = [
        ("reports", (f"{name}.txt", text.encode()))
        for name, text in zip(reports["patient_filename"], reports["text"], strict=True)
    ]
    whole = client.post("/predict/files", files=clinical + form_of(folder, ["reports"])).json()
    assert client.post("/predict/files", files=clinical + texts).json() == whole
    for part, name in (("reports", "p.txt"), ("tiles", "p.h5")):
        both = [(part, (name, b"first")), (part, (name.upper(), b"second"))]
        twice = client.post("/predict/files", files=[*clinical, *both])
        assert twice.status_code == 422
        assert f"two files are named '{name.upper()}'" in twice.json()["reason"]
    rtf = client.post("/predict/files", files=[*clinical, ("reports", ("p.txt", b"{\\rtf1 tumour}"))])
    assert "is RTF, not plain text" in rtf.json()["reason"]
    bad = client.post("/predict/files", files=[*clinical, ("reports", ("p.txt", b"\xff\xfe\x00"))])
    assert bad.status_code == 422
    assert "not UTF-8" in bad.json()["reason"]


def test_nothing_of_an_upload_is_left(
    client: TestClient, small_model: SmallModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(uploads_module.tempfile, "tempdir", str(tmp_path))
    parts = form_of(small_model.unseen.parent, ["clinical", "genes", "reports"])
    assert client.post("/predict/files", files=parts).status_code == 200
    assert list(tmp_path.iterdir()) == []
    assert not (uploads_module.cache_folder() / "reports").exists()


BAD_BODIES: list[tuple[str, int, str]] = [
    ("", 422, "body"),
    ("{", 400, "no JSON"),
    ("\xff", 400, "parsing the body"),
    ("[]", 422, "body"),
    ("null", 422, "body"),
    ("[" * 5000, 400, "body"),
    ("{}", 422, "patients"),
    ('{"patients": []}', 422, "patients"),
    ('{"patients": [{}]}', 422, "patient_id"),
    ('{"patients": [{"patient_id": ""}]}', 422, "patient_id"),
    ('{"patients": [{"patient_id": 7}]}', 422, "patient_id"),
    ('{"patients": [{"patient_id": "a", "color": 1}]}', 422, "color"),
    ('{"patients": [{"patient_id": "a"}, {"patient_id": "a"}]}', 422, "twice"),
    ('{"patients": [{"patient_id": "a", "sources": {"x": [1]}}]}', 422, "no source 'x'"),
    ('{"patients": [{"patient_id": "a", "sources": {"genes": []}}]}', 422, "list of numbers"),
    ('{"patients": [{"patient_id": "a", "sources": {"genes": 3}}]}', 422, "list of numbers"),
    ('{"patients": [{"patient_id": "a", "sources": {"genes": [1, 2]}}]}', 422, "2 numbers"),
    ('{"patients": [{"patient_id": "a", "sources": {"genes": ["1"]}}]}', 422, "number 1"),
    ('{"patients": [{"patient_id": "a", "sources": {"genes": [true]}}]}', 422, "number 1"),
    ('{"patients": [{"patient_id": "a", "sources": {"genes": [NaN]}}]}', 422, "finite"),
    ('{"patients": [{"patient_id": "a", "sources": {"genes": {"G0001": 1e39}}}]}', 422, "too large"),
    ('{"patients": [{"patient_id": "a", "sources": {"genes": {"GX": 1}}}]}', 422, "no feature GX"),
    ('{"patients": [{"patient_id": "a", "sources": {"tiles": {"a": 1}}}]}', 422, "no names"),
    ('{"patients": [{"patient_id": "a", "sources": {"tiles": [[1, null]]}}]}', 422, "2 numbers"),
    ('{"patients": [{"patient_id": "a", "sources": {"tiles": [[1], 2]}}]}', 422, "row 2"),
    ('{"patients": [{"patient_id": "a", "covariates": {"size": 1}}]}', 422, "no covariate 'size'"),
    ('{"patients": [{"patient_id": "a"}], "months": []}', 422, "months"),
    ('{"patients": [{"patient_id": "a"}], "months": [5, 2]}', 422, "months 5 2"),
    ('{"patients": [{"patient_id": "a"}], "level": 1}', 422, "level"),
    ('{"patients": [{"patient_id": "a"}], "threshold": 2}', 422, "threshold"),
    ('{"patients": [{"patient_id": "a"}], "reasons": -1}', 422, "reasons"),
    ('{"patients": [{"patient_id": "a"}], "encoders": {"x": "y"}}', 422, "encoders"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "word"), BAD_BODIES)
def test_bad_features_are_refused_with_a_reason(
    client: TestClient, body: str, status: int, word: str
) -> None:
    answered = client.post("/predict", content=body.encode("latin-1"), headers=JSON)
    assert answered.status_code == status
    assert word in answered.json()["reason"]


def test_features_of_another_encoder_are_refused(client: TestClient) -> None:
    body = {"patients": [{"patient_id": "a", "sources": {"tiles": [[0.0] * 32]}}]}
    assert client.post("/predict", json=body | {"encoders": {"tiles": "simulated"}}).status_code == 200
    other = client.post("/predict", json=body | {"encoders": {"tiles": "other"}})
    assert other.status_code == 422
    assert "own encoder" in other.json()["reason"]


def test_bad_forms_are_refused_with_a_reason(client: TestClient, small_model: SmallModel) -> None:
    folder = small_model.unseen.parent
    clinical, genes = form_of(folder, ["clinical"]), form_of(folder, ["genes"])
    cases: list[tuple[Any, dict[str, str], str]] = [
        (genes, {}, "no part clinical"),
        (clinical, {}, "no file of a source"),
        ([*clinical, ("blood", ("b.csv", b"a"))], {}, "no such source"),
        ([*clinical, *genes, *genes], {}, "2 files"),
        ([*clinical, ("genes", ("g.csv", b"patient_id\n"))], {}, "no rows"),
        ([*clinical, ("genes", ("g.exe", b"x"))], {}, ".parquet"),
        ([*clinical, ("genes", ("g.parquet", b"PAR1 no"))], {}, "genes"),
        ([*clinical, ("tiles", ("../x.h5", b"x"))], {}, "tiles"),
        ([*clinical, ("tiles", ("SIM-0001.h5", b"no HDF5"))], {}, "SIM-0001.h5"),
        ([*clinical, ("genes", ("g.csv", b"patient_id,G0001\nA,red\n"))], {}, "not a number"),
        ([("clinical", ("c.csv", b"id\nA\n")), *genes], {}, "no column"),
        ([*clinical, *genes], {"months": "soon"}, "months"),
        ([*clinical, *genes], {"level": "7"}, "level"),
        ([*clinical, *genes], {"color": "1"}, "color"),
    ]
    for files, data, word in cases:
        answered = client.post("/predict/files", files=files, data=data)
        assert answered.status_code == 422, answered.text
        text = answered.json()["reason"]
        assert word in text
        assert "prime-serve-" not in text
    plain = client.post("/predict/files", content=b"x", headers={"content-type": "multipart/form-data"})
    assert plain.status_code == 400
    assert client.post("/predict/files", json={}).status_code == 415
    assert client.post("/predict", content=b"{}").status_code == 415
    assert client.get("/predict").status_code == 405
    assert client.get("/nothing").json()["reason"] == "no such path; GET / lists them"


def test_a_request_of_too_many_or_too_much(service: Service) -> None:
    few = replace(service, limits=Limits(body=2000, patients=2))
    with ask(few) as client:
        three = {"patients": [{"patient_id": str(i)} for i in range(3)]}
        assert client.post("/predict", json=three).status_code == 422
        long = {"patients": [{"patient_id": "a", "cancer_type": "b" * 3000}]}
        assert client.post("/predict", json=long).status_code == 413
        chunks = client.post("/predict", content=iter([b"{" + b" " * 1500] * 2), headers=JSON)
        assert chunks.status_code == 413
        assert "2,000 bytes" in chunks.json()["reason"]
        assert client.post("/predict", json={"patients": three["patients"][:2]}).status_code == 200


def test_a_body_that_comes_too_slowly() -> None:
    """The application waits for a body that never ends; the guard does not."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass

    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(0.03)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    lines: list[str] = []
    guard = Guard(app, Limits(seconds=0.2), lines.append, hosts=None)
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": []}
    asyncio.run(guard(scope, receive, send))
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["reason"]
    assert re.fullmatch(r"POST other 408 \d+ ms", lines[-1])


def test_the_desk_refuses_what_would_wait_too_long() -> None:
    """One is computed, one waits, a third is told to come back; a fourth is served once there is room."""
    hold = threading.Event()

    async def story() -> tuple[list[bool], int]:
        desk = Desk(Limits(workers=1, waiting=1, seconds=30))
        first, second = (asyncio.create_task(desk.do(lambda: hold.wait(20))) for _ in range(2))
        await asyncio.sleep(0.05)
        with pytest.raises(HTTPException) as refused:
            await desk.do(lambda: True)
        hold.set()
        done = [await first, await second]
        await asyncio.sleep(0.05)
        assert await desk.do(lambda: True)
        desk.close()
        return done, refused.value.status_code

    assert asyncio.run(story()) == ([True, True], 503)


def test_the_desk_gives_up_and_counts_until_the_work_ends() -> None:
    hold = threading.Event()

    async def story() -> None:
        desk = Desk(Limits(workers=1, waiting=0, seconds=0.1))
        with pytest.raises(HTTPException, match="no answer within"):
            await desk.do(lambda: hold.wait(20))
        assert desk.in_hand == 1
        hold.set()
        while desk.in_hand:
            await asyncio.sleep(0.01)
        desk.close()

    asyncio.run(asyncio.wait_for(story(), 20))


def test_a_token_is_asked_for(service: Service) -> None:
    with ask(replace(service, token="a" * 20)) as client:
        assert client.get("/health").status_code == 200
        for headers in ({}, {"authorization": "Bearer b"}, {"authorization": "a" * 20}):
            refused = client.get("/model", headers=headers)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
            assert client.post("/predict", json={}, headers=headers).status_code == 401
        assert client.get("/model", headers={"authorization": "Bearer " + "a" * 20}).status_code == 200


def test_only_names_of_this_machine_are_answered(service: Service) -> None:
    with TestClient(build_app(service), base_url="http://evil.example") as client:
        assert client.get("/health").status_code == 421
    for name in ("localhost", "127.0.0.1:8000", "[::1]:9"):
        with TestClient(build_app(service), base_url=f"http://{name}") as client:
            assert client.get("/health").status_code == 200


def test_the_log_holds_nobody(
    client: TestClient, unseen: Store, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = as_request(unseen, [0, 1])
    lines.clear()
    assert client.post("/predict", json=body).status_code == 200
    body["patients"][0]["sources"]["Secret-Source"] = [1]
    assert client.post("/predict?name=Secret-Query", json=body).status_code == 422
    assert client.get("/Secret-Path").status_code == 404

    def fails(*_: object) -> None:
        raise ValueError("Secret-Value of SIM-0000")

    monkeypatch.setattr(Service, "score", fails)
    del body["patients"][0]["sources"]["Secret-Source"]
    broken = client.post("/predict", json=body)
    assert broken.status_code == 500
    assert "Secret" not in broken.text
    text = "\n".join(lines)
    assert "ValueError at fails" in text
    assert "Secret" not in text
    assert "SIM-" not in text
    assert len(re.findall(r"^POST /predict (200|422|500) \d+ ms$", text, re.MULTILINE)) == 3


def test_the_card_names_nobody(client: TestClient, small_model: SmallModel, fitted: FittedModel) -> None:
    text = client.get("/model").text
    facts = json.loads(text)
    assert "SIM-" not in text
    assert facts["fitted_on"]["patients"] == len(fitted.checkpoint.manifest["fitted_patients"])
    assert facts["sources"]["genes"]["features"] == len(facts["sources"]["genes"]["feature_names"])
    assert facts["covariates"] == ["age"]
    assert facts["checksum"] == json.loads((small_model.model / "manifest.json").read_text())["seal"]


def test_openapi_and_page_need_no_other_host(client: TestClient) -> None:
    spec = client.get("/openapi.json").json()
    assert set(spec["paths"]) == {"/health", "/model", "/metrics", "/predict", "/predict/files"}
    for found in re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(spec)):
        place: Any = spec
        for key in found.split("/"):
            place = place[key]
    page = client.get("/")
    assert not re.search(r"https?://|//\w", page.text)
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert client.get("/docs").status_code == 404


def test_metrics_count(service: Service, unseen: Store) -> None:
    with ask(service) as client:
        client.post("/predict", json=as_request(unseen, [0, 1, 2]))
        client.post("/predict", json={})
        families = {f.name: f for f in text_string_to_metric_families(client.get("/metrics").text)}
    counts = {tuple(s.labels.values()): s.value for s in families["prime_requests"].samples}
    assert counts == {("/predict", "200"): 1.0, ("/predict", "422"): 1.0}
    assert sum(s.value for s in families["prime_patients"].samples) == 3
    assert families["prime_requests_in_hand"].samples[0].value == 0
    assert "process_resident_memory_bytes" in families


def test_too_many_patients_of_files(service: Service, small_model: SmallModel) -> None:
    with ask(replace(service, limits=Limits(patients=5))) as client:
        parts = form_of(small_model.unseen.parent, ["clinical", "genes"])
        assert "send 5 at once" in client.post("/predict/files", files=parts).json()["reason"]


def test_input_errors_of_asked_speak_of_json() -> None:
    from prime.serve.requests import Question

    with pytest.raises(InputError, match=r"^months 3 1: "):
        Question(months=[3, 1]).asked()
