"""What the explorer says of cohorts, selections and patients, against oracles and plain loops."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter
from sklearn.decomposition import PCA

from prime.cohort.config import load_cohort
from prime.errors import InputError
from prime.explore import prepare
from prime.explore.charts import LEFT, RIGHT, WIDTH, Line, survival_chart, ticks
from prime.explore.cohort import Explored, columns, explored
from prime.explore.patient import MONTHS, alike, report
from prime.explore.prepare import find, findings_folder, open_any, principal_map
from prime.explore.selection import select
from prime.explore.sentences import MOST, Reports, sentences, split_sentences
from prime.predict.asked import MONTH
from prime.predict.predict import score_patients
from prime.serve.memory_store import part_of
from prime.store.store import Store
from tests.small_model import SmallModel, fit_task

CPU = torch.device("cpu")


def with_report(shown: Explored) -> int:
    """A patient with a report and with RNA."""
    place = [list(shown.modalities).index(name) for name in ("rna", "report")]
    return int(np.flatnonzero(shown.observed[:, place].all(axis=1))[0])


def test_findings_are_those_of_predict_and_are_kept(shown: Explored, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown.model is not None
    assert shown.findings.predictions is not None
    assert shown.findings.tests is not None
    found = score_patients(shown.model, shown.store)
    assert MONTHS[len(MONTHS) // 2] == 36.0  # so that decisions count at the month of prime predict
    for column in found.patients.columns:
        left, right = shown.findings.predictions[column], found.patients[column]
        assert left.tolist() == right.tolist() or np.array_equal(left, right, equal_nan=True), column
    pd.testing.assert_frame_equal(shown.findings.tests, found.tests, check_dtype=False)

    def fails(*_: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(prepare, "score_patients", fails)
    monkeypatch.setattr(prepare, "pooled_embeddings", fails)
    again = find(shown.checkpoint, shown.model, shown.store, CPU)
    np.testing.assert_array_equal(again.pooled, shown.findings.pooled)
    path = findings_folder(shown.checkpoint, shown.store) / prepare.POOLED
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    with pytest.raises(InputError, match="damaged"):
        find(shown.checkpoint, shown.model, shown.store, CPU)
    path.write_bytes(whole)


def test_the_map_is_the_principal_components(shown: Explored) -> None:
    place, shares = shown.map
    known = shown.observed.any(axis=1)
    assert np.isnan(place[~known]).all()
    oracle = PCA(2).fit(shown.findings.pooled[known].astype(np.float64))
    np.testing.assert_allclose(shares, oracle.explained_variance_ratio_, rtol=1e-5)
    scores = oracle.transform(shown.findings.pooled[known].astype(np.float64))
    scores = scores / np.abs(scores).max()
    for column in range(2):
        sign = np.sign(scores[:, column] @ place[known, column])
        np.testing.assert_allclose(place[known, column], sign * scores[:, column], atol=1e-5)


def test_maps_of_few_patients() -> None:
    nothing, shares = principal_map(np.full((3, 4), np.nan, dtype=np.float32))
    assert np.isnan(nothing).all()
    assert shares.tolist() == [0.0, 0.0]
    same, _ = principal_map(np.ones((3, 4), dtype=np.float32))
    np.testing.assert_array_equal(same, np.zeros((3, 2)))


def test_columns_say_what_the_tables_say(shown: Explored) -> None:
    found = columns(shown)
    for name, wanted in (("type", shown.types), ("site", shown.sites), ("pattern", shown.patterns)):
        levels, codes = found[name]["levels"], found[name]["codes"]
        assert [levels[code] for code in codes] == wanted
        counts = [codes.count(code) for code in range(len(levels))]
        assert counts == sorted(counts, reverse=True)
    table = pd.read_csv(Path(shown.config.root) / "clinical.csv").set_index("patient_id")
    own = table.loc[found["id"]]
    for row, time in enumerate(found["time"]):
        if own["status"].iloc[row] == "redacted" or np.isnan(own["os_days"].iloc[row]):
            assert time is None
        else:
            assert time == round(own["os_days"].iloc[row] / MONTH, 1)
            assert found["event"][row] == own["os_event"].iloc[row]
    for row, has in enumerate(found["has"]):
        assert [bool(has >> m & 1) for m in range(3)] == shown.observed[row].tolist()


def test_a_selection_has_the_curves_of_lifelines(shown: Explored) -> None:
    rows = np.flatnonzero(np.array(shown.types) == "SIMA")
    found = select(shown, rows)
    time, event = shown.outcome
    chosen = np.isin(np.arange(len(time)), rows)
    assert [group.name for group in found.groups] == ["selected", "others"]
    for group, mask in zip(found.groups, (chosen, ~chosen), strict=True):
        own = mask & ~np.isnan(time)
        assert (group.patients, group.followed) == (mask.sum(), own.sum())
        assert group.events == int((event[own] == 1).sum())
        oracle = KaplanMeierFitter().fit(time[own], event[own])
        np.testing.assert_allclose(
            group.curve.survival, oracle.survival_function_at_times(group.curve.times).to_numpy()
        )
        assert group.at_risk == tuple(int((time[own] >= month).sum()) for month in found.months)
    for name, count, mine in found.patterns:
        having = np.array(shown.patterns) == name
        assert (count, mine) == (having.sum(), (having & chosen).sum())
    assert sum(count for _, count, _ in found.patterns) == len(shown.ids)


def test_splits_of_a_selection(shown: Explored) -> None:
    everybody = np.arange(len(shown.ids))
    assert [g.name for g in select(shown, everybody).groups] == ["everybody"]
    assert [g.name for g in select(shown, everybody[:0]).groups] == ["everybody"]
    by_type = select(shown, everybody, "type")
    assert {g.name: g.patients for g in by_type.groups} == {t: shown.types.count(t) for t in set(shown.types)}
    risk = shown.column("percentile")
    by_risk = select(shown, everybody, "risk")
    wanted = [(risk < 100 / 3).sum(), ((risk >= 100 / 3) & (risk < 200 / 3)).sum(), (risk >= 200 / 3).sum()]
    assert [g.patients for g in by_risk.groups] == wanted
    assert by_risk.left_out == int(np.isnan(risk).sum())
    patterns = select(shown, everybody, "pattern")
    assert sum(g.patients for g in patterns.groups) + patterns.left_out == len(shown.ids)


def test_a_selection_without_outcomes(shown: Explored) -> None:
    found = select(replace(shown, endpoint=""), np.array([0, 1]))
    assert found.chart is None
    assert [g.followed for g in found.groups] == [0, 0]


def test_those_who_are_alike(shown: Explored) -> None:
    row = with_report(shown)
    pooled = shown.findings.pooled.astype(np.float64)
    wanted: list[tuple[float, int]] = []
    for other in range(len(pooled)):
        if other != row and not np.isnan(pooled[other]).any():
            size = np.linalg.norm(pooled[row]) * np.linalg.norm(pooled[other])
            wanted.append((-float(pooled[row] @ pooled[other] / size), other))
    nearest = [other for _, other in sorted(wanted)[:8]]
    assert [item.row for item in alike(shown, row)] == nearest
    nobody = int(np.flatnonzero(~shown.observed.any(axis=1))[0])
    assert alike(shown, nobody) == []


def test_a_patient_reads_as_predicted(shown: Explored) -> None:
    row = with_report(shown)
    told = shown.prediction(row)
    assert told is not None
    it = report(shown, row)
    assert [c.value for c in it.chances] == [f"{100 * told[f'survival_{m}m']:.0f} %" for m in (12, 36, 60)]
    assert any("served the fit" in remark for remark in it.remarks)
    assert {s.name: s.contribution for s in it.modalities} == {
        str(c).removeprefix("why_"): told[c] for c in told.index if str(c).startswith("why_")
    }
    assert shown.model is not None
    alone = score_patients(shown.model, part_of(shown.store, np.array([row]))).patients["risk"].iloc[0]
    assert sum(s.contribution for s in it.features) == pytest.approx(alone, abs=1e-9)
    assert {s.name for s in it.sources if s.seen} == {
        name for name in shown.store.sources if shown.store.index(name)[row, 1] > 0
    }
    lacking = {m for m, has in zip(shown.modalities, shown.observed[row], strict=True) if not has}
    assert {t.name for t in it.tests} == lacking
    assert it.chart is not None


def test_a_patient_of_whom_nothing_is_known(shown: Explored) -> None:
    row = int(np.flatnonzero(~shown.observed.any(axis=1))[0])
    it = report(shown, row)
    assert it.status == "not scored"
    assert it.chart is None
    assert (it.chances, it.features, it.tests, it.similar) == ((), (), (), ())
    assert not any(source.seen or source.filled_in for source in it.sources)


def test_a_run_without_a_head(small_model: SmallModel, shown: Explored) -> None:
    checkpoint, model = open_any(small_model.run)
    assert model is None
    bare = explored(shown.config, shown.store, checkpoint, None, CPU)
    it = report(bare, with_report(bare))
    assert (it.status, it.chances) == ("", ())
    assert len(it.similar) == 8
    assert set(columns(bare)["risk"]) == {None}
    with pytest.raises(InputError, match="no such folder"):
        open_any(small_model.run / "nothing")


def test_a_label_at_a_horizon(shown: Explored, small_model: SmallModel, tmp_path: Path) -> None:
    """A model of a binary task gives a probability and its interval, and no curve."""
    fit_task(small_model, "dead_2y", tmp_path / "model")
    checkpoint, model = open_any(tmp_path / "model")
    binary = explored(shown.config, shown.store, checkpoint, model, CPU)
    row = with_report(binary)
    told = binary.prediction(row)
    assert told is not None
    it = report(binary, row)
    assert [c.value for c in it.chances] == [f"{100 * told['probability']:.0f} %"]
    low, high = (f"{100 * told[f'probability_{end}']:.0f}" for end in ("low", "high"))
    assert it.chances[0].interval == f"{low} to {high} %"
    assert (it.chart, it.median, it.outlives) == (None, "", "")
    assert columns(binary)["chance"][row] == round(told["probability"], 3)


def test_a_sentence_counts_what_a_report_without_it_changes(
    shown: Explored, small_model: SmallModel, tmp_path: Path
) -> None:
    """The oracle packs unseen patients again, with the sentence taken from one's report."""
    assert shown.model is not None
    shutil.copytree(small_model.unseen.parent, tmp_path / "cohort")
    path = tmp_path / "cohort" / "cohort.yaml"
    store = small_model.packed(path, tmp_path / "store")
    row = int(np.flatnonzero(store.index("reports")[:, 1] > 0)[0])
    found = sentences(shown.model, store, Reports(load_cohort(path)), row)
    assert len(found) > 1
    whole = score_patients(shown.model, store).patients["risk"].iloc[row]
    number = int(np.argmax([abs(s.contribution) for s in found]))
    table = pd.read_csv(tmp_path / "cohort" / "reports.csv")
    mine = table["patient_filename"].str.startswith(store.patients["patient_id"].iloc[row])
    table.loc[mine, "text"] = " ".join(s.text for i, s in enumerate(found) if i != number)
    table.to_csv(tmp_path / "cohort" / "reports.csv", index=False)
    changed = small_model.packed(path, tmp_path / "changed")
    without = score_patients(shown.model, changed).patients["risk"].iloc[row]
    assert abs(found[number].contribution) > 0.005
    assert found[number].contribution == pytest.approx(whole - without, rel=0.02)


def test_words_and_facts_are_read_as_their_readers_do(tmp_path: Path, small_model: SmallModel) -> None:
    """Rows of the whole text are those of the packed store, for every reader of reports."""
    from prime.explore.sentences import _reader  # pyright: ignore[reportPrivateUsage]

    shutil.copytree(small_model.cohort.parent, tmp_path / "cohort")
    path = tmp_path / "cohort" / "cohort.yaml"
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    reports = value["modalities"]["report"]
    reports["words"] = {"reader": "words", "path": "reports.csv", "max_words": 50, "max_length": 2}
    reports["facts"] = {"reader": "facts", "path": "reports.csv"}
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    store = small_model.packed(path, tmp_path / "store")
    held = Reports(load_cohort(path))
    ids = store.patients["patient_id"].tolist()
    some = [row for row in range(len(ids)) if held.text(ids[row])][:5]
    close = {"reports": 1e-2, "words": 0.0, "facts": 0.0}  # batches of an encoder differ in the last bits
    for name, options in held.readers.items():
        rows = _reader(options, store, name, held.root)([held.text(ids[row]) for row in some])
        for row, found in zip(some, rows, strict=True):
            start, count = store.index(name)[row].tolist()
            wanted = store.values(name)[start : start + count]
            np.testing.assert_allclose(found, wanted, rtol=close[name], atol=close[name])
    assert set(held.readers) == {"reports", "words", "facts"}


@given(st.lists(st.text("abc .\n!AB", max_size=40), max_size=60))
def test_sentences_keep_every_word(pieces: list[str]) -> None:
    text = ". ".join(pieces)
    found = split_sentences(text)
    assert " ".join(found).split() == text.split()
    assert len(found) <= MOST


def test_sentences_of_a_report() -> None:
    text = "Tumour is present at the margin. Grade 2.\nNo nodes were found here."
    assert split_sentences(text) == ["Tumour is present at the margin. Grade 2.", "No nodes were found here."]
    assert split_sentences("  ") == []


def test_a_chart_draws_steps_where_they_are() -> None:
    """A curve that falls to one half at month 6 of 12 turns there, and nowhere else."""
    line = Line("a <b>", np.array([0.0, 6.0, 12.0]), np.array([1.0, 0.5, 0.5]), "c0", steps=True)
    svg = ElementTree.fromstring(survival_chart([line], 12.0, "of <nobody>"))
    path = next(e for e in svg.iter("path") if e.get("class") == "line c0").get("d") or ""
    corners = [tuple(map(float, pair.split(","))) for pair in re.split("[ML]", path)[1:]]
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    assert [x for x, _ in corners] == [LEFT, middle, middle, WIDTH - RIGHT]
    assert corners[0][1] == corners[1][1] < corners[2][1] == corners[3][1]
    assert svg.findtext("title") == "of <nobody>"


def test_a_curve_that_goes_on_is_drawn_to_the_end_of_the_axis() -> None:
    """Level from the last step before the end, whatever comes after it; so are the sides of its band."""
    x, y = np.array([0.0, 6.0, 20.0]), np.array([1.0, 0.5, 0.1])
    line = Line("a", x, y, "c0", low=y - 0.05, high=y + 0.05, steps=True)
    svg = ElementTree.fromstring(survival_chart([line], 12.0, "of a"))
    for look in ("line c0", "band c0"):
        path = next(e for e in svg.iter("path") if e.get("class") == look).get("d") or ""
        corners = [tuple(map(float, pair.split(","))) for pair in re.split("[MLZ]", path) if pair]
        right = [y for x, y in corners if x == WIDTH - RIGHT]
        middle = [y for x, y in corners if x == LEFT + (WIDTH - LEFT - RIGHT) / 2]
        assert len(right) == (1 if look == "line c0" else 2)
        assert set(right) <= set(middle)
        assert max(x for x, _ in corners) == WIDTH - RIGHT


@given(st.floats(1.0, 1500.0))
def test_ticks_are_few_and_within(end: float) -> None:
    found = ticks(end)
    assert 2 <= len(found) <= 8
    assert found[0] == 0
    assert found[-1] <= end


def test_an_open_store_is_asked_for_what_the_network_reads(shown: Explored, tmp_path: Path) -> None:
    """A cohort with a source of another modality is refused by name."""
    other = replace(shown.store, modalities={"blood": ["genes"]})
    with pytest.raises(InputError, match="is not the model's"):
        find(shown.checkpoint, None, Store(tmp_path, *_rest(other)), CPU)


def _rest(store: Store) -> tuple[Any, ...]:
    manifest = {**store.manifest, "seal": "other"}
    return manifest, store.patients, store.modalities, store.sources


def test_umap_keeps_neighbours_and_is_made_once(shown: Explored, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups that lie apart stay apart; the same again; and the second time from the cache."""
    pytest.importorskip("umap")
    rng = np.random.default_rng(0)
    centres = np.eye(8, dtype=np.float32)[[0, 3, 6]] * 10
    kinds = np.repeat([0, 1, 2], 25)
    pooled = centres[kinds] + rng.normal(0, 0.3, (75, 8)).astype(np.float32)
    pooled[[4, 40]] = np.nan
    found = prepare.umap_map(pooled)
    known = ~np.isnan(pooled).any(axis=1)
    assert np.isnan(found[~known]).all()
    assert np.abs(found[known]).max() == pytest.approx(1.0)
    far = np.linalg.norm(found[known, None] - found[None, known], axis=2)
    np.fill_diagonal(far, np.inf)
    assert (kinds[known][far.argmin(axis=1)] == kinds[known]).all()
    np.testing.assert_array_equal(prepare.umap_map(pooled), found)
    few, _ = principal_map(pooled[:4])
    np.testing.assert_array_equal(prepare.umap_map(pooled[:4]), few)

    first = find(shown.checkpoint, shown.model, shown.store, CPU, with_umap=True)
    assert first.umap is not None

    def fails(*_: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(prepare, "umap_map", fails)
    again = find(shown.checkpoint, shown.model, shown.store, CPU, with_umap=True)
    np.testing.assert_array_equal(again.umap, first.umap)
    assert find(shown.checkpoint, shown.model, shown.store, CPU).umap is None
    told = columns(replace(shown, findings=again))
    for name, axis in (("umap_x", 0), ("umap_y", 1)):
        values = np.array([np.nan if v is None else v for v in told[name]])
        np.testing.assert_allclose(values, first.umap[:, axis], atol=1e-4)
    assert "umap_x" not in columns(shown)
