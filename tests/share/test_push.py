"""To the hub and back, over HTTP: the same predictions, one commit, and one line for what goes wrong.

The calls are those of docs/sharing.md.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import prime
from prime.cli import main
from prime.errors import InputError
from prime.predict.model_folder import FittedModel, load_model
from prime.predict.predict import score_patients
from prime.share.finding import find_model
from prime.share.push import push
from tests.share.conftest import Work
from tests.share.fake_hub import READS, FakeHub

TO = "ada/prognosis"
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the hub's client's own


def scores(model: FittedModel, work: Work) -> pd.DataFrame:
    return score_patients(model, work.unseen).patients.drop(columns="seen_in")


def test_a_pushed_model_gives_the_same_predictions(work: Work, hub: FakeHub) -> None:
    address = push(work.folder, TO)
    (sha, files), *others = hub.repositories[TO].commits
    assert address == f"{hub.address}/{TO}/commit/{sha}"
    assert not others
    assert hub.repositories[TO].private
    assert set(files) == {
        "model.safetensors", "head.safetensors", "head.json", "config.json", "manifest.json", "README.md",
    }  # fmt: skip
    model = prime.PrimeModel.from_pretrained(TO)
    pd.testing.assert_frame_equal(scores(model.fitted, work), scores(work.model, work), check_exact=True)
    hub.asked.clear()
    again = prime.PrimeModel.from_pretrained(TO, revision=sha)
    assert again.folder == model.folder
    assert hub.asked == []  # from the cache


def test_a_name_serves_wherever_a_folder_does(work: Work, hub: FakeHub, tmp_path: Path) -> None:
    push(work.folder, TO)
    sha = hub.repositories[TO].commits[0][0]
    store = ["--cohort", str(work.cohort), "--store", str(work.unseen.path)]
    ways = {TO: "name.csv", f"{TO}@{sha}": "revision.csv", str(work.folder): "folder.csv"}
    for model, file in ways.items():
        assert main(["predict", "--model", model, *store, "--out", str(tmp_path / file)]) == 0
    assert main(["embed", TO, *store, "--out", str(tmp_path / "embedded.csv")]) == 0
    tables = [pd.read_csv(tmp_path / file).drop(columns="seen_in") for file in ways.values()]
    for table in tables[:2]:
        pd.testing.assert_frame_equal(table, tables[2], check_exact=True)


def test_a_tampered_file_is_refused(work: Work, hub: FakeHub) -> None:
    push(work.folder, TO)
    _, files = hub.repositories[TO].commits[0]
    head = files["head.safetensors"]
    files["head.safetensors"] = head[:-1] + bytes([head[-1] ^ 1])
    with pytest.raises(InputError, match=r"damaged model folder: head\.safetensors: its checksum is not"):
        prime.PrimeModel.from_pretrained(TO)


def test_without_the_network_the_cache_serves(
    work: Work, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(work.folder, TO)
    expected = scores(prime.PrimeModel.from_pretrained(TO).fitted, work)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub.asked.clear()
    pd.testing.assert_frame_equal(scores(load_model(find_model(TO)), work), expected, check_exact=True)
    with pytest.raises(InputError, match=r"ada/other: neither .* not asked while HF_HUB_OFFLINE is set"):
        find_model("ada/other")
    with pytest.raises(InputError, match=f"--to {TO}: not pushed .*HF_HUB_OFFLINE"):
        push(work.folder, TO)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("token", "said"), [("hf_none", "refuses your token .401."), (READS, "may not do this")]
)
def test_a_refused_token_is_one_line(
    work: Work, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    token: str, said: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("HF_TOKEN", token)
    assert main(["push", str(work.folder), "--to", TO]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert re.match(rf"error: --to {TO}: not pushed \(.*{said}", line)
    assert TO not in hub.repositories


def test_what_is_not_there_is_one_line(
    work: Work, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    push(work.folder, TO)
    cases = {
        "ada/nothing": r"ada/nothing: neither a folder nor reachable .*no model of this name",
        f"{TO}@v9": rf"{TO}@v9: neither .*the model has no such revision",
        "nothing": r"nothing: no such folder; make a model folder with prime fit",
    }
    for name, said in cases.items():
        assert main(["predict", "--model", name, "--cohort", str(work.cohort), "--out", "x.csv"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert re.match(f"error: {said}", line)
    monkeypatch.setenv("HF_TOKEN", "")
    with pytest.raises(InputError, match=r"it shows you no model of this name"):
        find_model(TO)  # private, and nobody is logged in


def test_a_repository_without_a_model_is_named(hub: FakeHub, work: Work) -> None:
    push(work.folder, TO)
    del hub.repositories[TO].commits[0][1]["head.json"]
    with pytest.raises(InputError, match=rf"{TO}: no fitted model of PRIME on the hub: it has no head\.json"):
        find_model(TO)


def test_a_folder_comes_before_the_hub_and_has_no_revision(
    work: Work, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / TO).mkdir(parents=True)
    assert find_model(TO) == Path(TO)
    for name, revision in ((f"{TO}@v2", None), (TO, "v2")):
        with pytest.raises(InputError, match=f"{TO}: a folder of this machine has no revision 'v2'"):
            find_model(name, revision)
    for name in ("./ada/none", "/ada/none", "~/none", "none", "a/b/c"):
        assert not find_model(name).exists()
    assert hub.asked == []


def test_public_is_said_each_time(work: Work, hub: FakeHub) -> None:
    push(work.folder, TO, public=True)
    assert not hub.repositories[TO].private
    with pytest.raises(InputError, match=f"--to {TO}: is public on the hub; give --public, or name another"):
        push(work.folder, TO)
    push(work.folder, "ada/closed")
    with pytest.raises(InputError, match="ada/closed: is private on the hub; make it public there first"):
        push(work.folder, "ada/closed", public=True)
    with pytest.raises(InputError, match="--to ada: give owner/name"):
        push(work.folder, "ada")


@pytest.mark.parametrize("step", ["PUT /lfs", f"POST /api/models/{TO}/commit"])
def test_a_push_that_fails_leaves_no_half_of_a_model(work: Work, hub: FakeHub, step: str) -> None:
    hub.refuses = lambda request: 400 if request.startswith(step) else None
    with pytest.raises(InputError, match=rf"--to {TO}: not pushed"):
        push(work.folder, TO)
    assert any(request.startswith(step) for request in hub.asked)
    assert hub.repositories[TO].commits == []
    hub.refuses = lambda request: None
    push(work.folder, TO)
    assert len(hub.repositories[TO].commits) == 1


def test_a_killed_push_leaves_no_half_of_a_model(work: Work, hub: FakeHub, tmp_path: Path) -> None:
    """The process is killed while the hub takes the weights; its client knows the hub by variables."""
    waits = hub.refuses

    def hold(request: str) -> int | None:
        if request.startswith("PUT"):
            time.sleep(60)
        return waits(request)

    hub.refuses = hold
    variables = {
        "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_writes",
        "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": ":".join(sys.path), "PATH": "",
    }  # fmt: skip
    command = [sys.executable, "-m", "prime", "push", str(work.folder), "--to", TO]
    with subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True) as running:
        while running.poll() is None and not any(r.startswith("PUT") for r in hub.asked):
            time.sleep(0.05)
        running.kill()
        _, said = running.communicate()
    assert running.returncode == -9, said
    assert hub.repositories[TO].commits == []
    assert hub.repositories[TO].private
