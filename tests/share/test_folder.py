"""What leaves the machine holds no patient, says so, and predicts as before."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file

import prime
from prime.cli import main
from prime.errors import InputError
from prime.predict.model_folder import load_model
from prime.predict.predict import CPU, score_patients
from prime.sealed import read_sealed
from prime.share.card import cell
from prime.share.folder import write_folder
from prime.share.without_patients import known_ids, require_no_ids
from prime.validation.labelled import read_labelled
from prime.validation.recalibrate import recalibrate
from prime.validation.tripod import BLANK, ITEMS
from prime.validation.validate import _warnings
from tests.share.conftest import Work


@pytest.fixture(scope="module")
def sent(work: Work, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sent") / "model"
    prime.PrimeModel.from_pretrained(work.folder).save_pretrained(folder)
    return folder


def test_no_id_of_a_patient_is_in_any_byte(work: Work, sent: Path) -> None:
    held = read_sealed(work.folder / "manifest.json", "model", "")
    before = held["pretraining"]
    ids = {*held["fitted_patients"], *before["train_patients"], *before["validation_patients"]}
    assert ids == known_ids(work.model)
    assert len(ids) > 150
    own = b"".join(path.read_bytes() for path in sorted(work.folder.iterdir()))
    everything = b"".join(path.read_bytes() for path in sorted(sent.iterdir()))
    for name in ids:
        data = name.encode()
        assert data in own
        assert data not in everything
        for kind in (hashlib.sha256, hashlib.sha1, hashlib.md5):
            assert kind(data).digest() not in everything
            assert kind(data).hexdigest().encode() not in everything
    assert held["patients"].encode() not in everything  # the digest of the table of patients
    assert str(work.cohort.parent.parent).encode() not in everything  # where it was


def test_no_array_has_a_row_a_patient(work: Work, sent: Path) -> None:
    kept, arrays = (load_file(folder / "head.safetensors") for folder in (work.folder, sent))
    spaces = work.model.patients.spaces.values()
    counts = {work.model.checkpoint.manifest["patients_fitted"], *(len(space.points) for space in spaces)}
    assert any(values.ndim == 2 and len(values) in counts for values in kept.values())
    assert not any(values.ndim == 2 and set(values.shape) & counts for values in arrays.values())
    assert set(kept) - set(arrays) == {name for name in kept if name.startswith("patients.")}
    for name, values in arrays.items():
        np.testing.assert_array_equal(values, kept[name])
    assert (sent / "model.safetensors").read_bytes() == (work.folder / "model.safetensors").read_bytes()


def test_predictions_are_the_same_and_whom_it_saw_is_unknown(work: Work, sent: Path) -> None:
    mine, theirs = (score_patients(load_model(f), work.unseen, top=3) for f in (work.folder, sent))
    assert (theirs.patients["seen_in"] == "unknown").all()
    same = [found.patients.drop(columns="seen_in") for found in (mine, theirs)]
    pd.testing.assert_frame_equal(*same, check_exact=True)
    pd.testing.assert_frame_equal(mine.tests, theirs.tests, check_exact=True)
    pd.testing.assert_frame_equal(mine.reasons, theirs.reasons, check_exact=True)
    assert (score_patients(load_model(sent), work.own).patients["seen_in"] == "unknown").all()
    with pytest.raises(InputError, match="--similar: unknown: the model travels without its patients"):
        score_patients(load_model(sent), work.unseen, similar=2)


def test_a_validation_says_that_it_does_not_know(work: Work, sent: Path) -> None:
    for folder, said in (
        (work.folder, []),
        (sent, ["whether any of these patients served the fit is not known"]),
    ):
        model = load_model(folder)
        lines = _warnings(model, read_labelled(model, work.unseen, (), CPU))
        assert [line.partition(":")[0] for line in lines] == said


def test_a_recalibrated_model_travels_without_the_local_patients(
    work: Work, sent: Path, tmp_path: Path
) -> None:
    recalibrate(sent, work.own, tmp_path / "local", "intercept")
    local = load_model(tmp_path / "local")
    ids = known_ids(local)
    assert len(ids) > 100
    write_folder(local, tmp_path / "again")
    everything = b"".join(path.read_bytes() for path in (tmp_path / "again").iterdir())
    assert not any(name.encode() in everything for name in ids)
    again = load_model(tmp_path / "again").checkpoint.manifest
    assert again["recalibration"]["patients"] == local.checkpoint.manifest["recalibration"]["patients"]
    assert again["pretraining"]["patients"] == 152


def test_patients_stay_where_it_is_asked_for(work: Work, tmp_path: Path) -> None:
    model = prime.PrimeModel.from_pretrained(work.folder)
    model.save_pretrained(tmp_path / "mine", patients=True)
    found = load_model(tmp_path / "mine")
    assert known_ids(found) == known_ids(work.model)
    pd.testing.assert_frame_equal(
        score_patients(found, work.own, similar=2).similar,
        score_patients(work.model, work.own, similar=2).similar,
    )
    assert "hold ids, outcomes and rows of patients" in (tmp_path / "mine" / "README.md").read_text()
    with pytest.raises(InputError, match="mine: holds something; name a new folder"):
        model.save_pretrained(tmp_path / "mine")


def test_an_id_among_the_names_of_features_is_found(work: Work, tmp_path: Path) -> None:
    ids = known_ids(work.model)
    somebody = sorted(ids)[0]
    for text in (somebody, f"a note on {somebody}, that is all"):
        (tmp_path / "head.json").write_text(json.dumps({"features": [{"names": ["G1", text]}]}))
        with pytest.raises(
            InputError, match=rf"head\.json: '{somebody}' is the id of a patient .* fit again"
        ):
            require_no_ids(tmp_path, ids)
    (tmp_path / "head.json").write_text(json.dumps({"names": [f"{somebody}9", "of 12 patients"]}))
    require_no_ids(tmp_path, ids | {"12"})
    (tmp_path / "README.md").write_text(f"thanks to {somebody}")
    with pytest.raises(InputError, match="README"):
        require_no_ids(tmp_path, ids)


def test_the_card_says_what_the_manifest_knows(work: Work, sent: Path) -> None:
    text = (sent / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    facts = yaml.safe_load(front)
    assert facts["library_name"] == "prime-prognosis"
    assert facts["license"] == "unknown"
    assert "survival-analysis" in facts["tags"]
    held = work.model.checkpoint.manifest
    rows = [
        [part.strip() for part in line.strip("|").split("|")] for line in body.splitlines() if "|" in line
    ]
    score = held["cross_validation"]["all"]
    interval = f"{score['low']:.3f} to {score['high']:.3f}"
    expected = ["all", f"{score['c_index']:.3f}", interval, str(score["patients"]), str(score["events"])]
    assert expected in rows
    table = work.own.patients
    fitted = table["patient_id"].isin(held["fitted_patients"])
    for kind, mine in table[fitted].groupby("cohort"):
        observed = work.own.observed()[mine.index].sum(axis=0).tolist()
        assert [kind, str(len(mine)), str(int(mine["os_event"].sum())), *map(str, observed)] in rows
    reports = next(row for row in rows if row[0] == "reports" and row[1] == "report")
    assert reports[4] == "minilm"
    items = {row[0]: row[2] for row in rows if row[0] in ITEMS}
    assert set(items) == set(ITEMS)
    assert items["10"] == f"{held['patients_fitted']} patients with {held['events_fitted']} events"
    assert items["18a"] == BLANK
    assert BLANK in front


def test_names_make_no_columns_and_no_html_of_a_card() -> None:
    assert cell("a|b\nc <i>") == r"a\|b c &lt;i>"


def test_a_finished_card_goes_along(work: Work, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", str(work.folder), "--out", str(tmp_path / "one")]) == 0
    assert "holds no patient; finish" in capsys.readouterr().out
    (tmp_path / "one" / "README.md").write_text("mine")
    assert main(["push", str(tmp_path / "one"), "--out", str(tmp_path / "two")]) == 0
    assert (tmp_path / "two" / "README.md").read_text() == "mine"
    for words in (["--to", "a/b", "--out", str(tmp_path / "three")], []):
        assert main(["push", str(work.folder), *words]) == 2
        assert "give one of --to owner/name and --out DIR" in capsys.readouterr().err
