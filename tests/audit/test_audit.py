"""The audit finds each fault that was planted, and none where there is none."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prime.audit.audit import audit
from prime.audit.findings import Finding
from prime.audit.predictions import persons, read_predictions
from prime.audit.signal import rates
from prime.cli import main
from prime.errors import InputError
from prime.evaluation.metrics import concordance
from prime.store.store import Store
from tests.made_up import write_store


def table(seed: int = 0, n: int = 400, signal: float = 1.0) -> pd.DataFrame:
    """Five folds of two cancer types that fare alike, twenty sites that say nothing, a risk that knows."""
    rng = np.random.default_rng(seed)
    line = rng.normal(size=n)
    time = rng.exponential(np.exp(-signal * line))
    censored = rng.exponential(2, n)
    return pd.DataFrame(
        {
            "patient_id": [f"p{i:03d}" for i in range(n)],
            "cohort": np.array(["A", "B"])[rng.integers(0, 2, n)],
            "fold": rng.integers(0, 5, n),
            "site": [f"s{i:02d}" for i in rng.integers(0, 20, n)],
            "time": np.minimum(time, censored).round(6),
            "event": (time <= censored).astype(int),
            "risk": line,
        }
    )


def run(frame: pd.DataFrame, folder: Path, **more: object) -> dict[str, Finding]:
    frame.to_csv(folder / "predictions.csv", index=False)
    found = audit(read_predictions(folder / "predictions.csv"), replicates=60, **more)  # type: ignore[arg-type]
    return {finding.check: finding for finding in found}


def test_sound_predictions_have_nothing_wrong(tmp_path: Path) -> None:
    found = run(table(), tmp_path)
    verdicts = {name: finding.verdict for name, finding in found.items()}
    assert verdicts == {
        "tested twice": "fine",
        "one person under two ids": "fine",
        "permuted labels": "fine",
        "cancer type alone": "fine",
        "site": "fine",
        "patients in train and test": "not checked",
        "duplicated reports and samples": "not checked",
        "selection on the test fold": "not checked",
        "instability over seeds": "not checked",
    }
    numbers = found["permuted labels"].numbers
    assert numbers["low"] < 0.5 < numbers["high"] < numbers["c_index"]


@pytest.mark.parametrize(("sign", "verdict"), [(0.0, "look"), (-1.0, "wrong")])
def test_noise_and_a_risk_turned_around_are_found(tmp_path: Path, sign: float, verdict: str) -> None:
    frame = table()
    frame["risk"] = sign * frame["risk"] + (sign == 0) * np.random.default_rng(1).normal(size=len(frame))
    found = run(frame, tmp_path)["permuted labels"]
    assert found.verdict == verdict
    assert ("turned around" in found.text) == (sign < 0)


def test_a_patient_in_two_rows_or_two_folds_is_found(tmp_path: Path) -> None:
    frame = table()
    again = frame.iloc[[7]].assign(fold=(frame["fold"].iloc[7] + 1) % 5)
    assert run(pd.concat([frame, again]), tmp_path)["tested twice"].verdict == "look"
    found = run(pd.concat([frame, frame.iloc[[7]]]), tmp_path)["tested twice"]
    assert (found.verdict, found.numbers["in_one_fold"]) == ("wrong", 1)
    assert "p007" in found.text


def test_one_person_under_two_ids_is_found_where_the_folds_differ(tmp_path: Path) -> None:
    frame = table()
    frame.loc[[0, 1], "patient_id"] = ["TCGA-AA-0001-01A", "tcga-aa-0001-06A"]
    frame.loc[[0, 1], "cohort"] = "A"
    frame.loc[[0, 1], "fold"] = [0, 1]
    found = run(frame, tmp_path)["one person under two ids"]
    assert (found.verdict, found.numbers["in_different_folds"]) == ("wrong", 1)
    frame.loc[1, "fold"] = 0
    assert run(frame, tmp_path)["one person under two ids"].verdict == "look"
    assert persons(["TCGA-AA-0001-01A", " Ab "]) == ["TCGA-AA-0001", "AB"]


def test_training_patients_who_are_tested_are_found_by_part_and_by_splits(tmp_path: Path) -> None:
    frame = table()
    train = pd.concat([frame.assign(fold=(frame["fold"] + k) % 5, part="train") for k in range(1, 5)])
    whole = pd.concat([frame.assign(part="test"), train])
    sound = run(whole, tmp_path)
    assert sound["patients in train and test"].verdict == "fine"
    assert sound["permuted labels"].verdict == "fine"  # training rows are not scored
    leaked = pd.concat([whole, frame.iloc[[3]].assign(part="train", patient_id="P003 ")])
    found = run(leaked, tmp_path)["patients in train and test"]
    assert (found.verdict, found.numbers["persons"]) == ("wrong", 1)
    fold = {"cohort": "A", "fold": 0, "train": ["a", "b"], "validation": ["c"], "test": ["d", "b"]}
    path = tmp_path / "splits.json"
    path.write_text(json.dumps({"folds": [fold]}), encoding="utf-8")
    found = run(frame, tmp_path, splits=[path])["patients in train and test"]
    assert (found.verdict, found.numbers["persons"]) == ("wrong", 1)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match="not a splits file"):
        run(frame, tmp_path, splits=[path])


def test_a_risk_that_only_knows_the_type_is_found(tmp_path: Path) -> None:
    frame = table(signal=0.0)
    slow = (frame["cohort"] == "B").to_numpy()
    frame.loc[slow, "time"] *= 6
    frame["risk"] = np.where(slow, 0.0, 3.0) + frame["risk"]
    found = run(frame, tmp_path)["cancer type alone"]
    assert found.verdict == "look"
    assert found.numbers["type_alone"] > 0.65 > 0.55 > found.numbers["within_type"]
    assert run(frame.assign(cohort="A"), tmp_path)["cancer type alone"].verdict == "not checked"


def test_a_risk_that_only_knows_the_site_is_found(tmp_path: Path) -> None:
    frame = table(signal=0.0, n=1200)
    bad = (frame["site"] < "s10").to_numpy()
    frame.loc[~bad, "time"] *= 8
    frame["risk"] = np.where(bad, 3.0, 0.0) + frame["risk"]
    found = run(frame, tmp_path)["site"]
    assert found.verdict == "look"
    assert found.numbers["all_pairs"] - found.numbers["pairs_of_one_site"] > 0.1
    assert found.numbers["site_alone"] > 0.6
    assert found.numbers["share_trained_on_site"] == 1


def test_rates_of_other_folds_equal_a_plain_loop(tmp_path: Path) -> None:
    table().to_csv(tmp_path / "p.csv", index=False)
    one = read_predictions(tmp_path / "p.csv")[0]
    found, frame = rates(one, ["cohort", "site"]), one.frame
    total = frame["event"].sum() / frame["time"].sum()
    for i in range(0, 400, 37):
        me = frame.iloc[i]
        others = frame[
            (frame["fold"] != me["fold"]) & (frame["site"] == me["site"]) & (frame["cohort"] == me["cohort"])
        ]
        assert found[i] == pytest.approx((others["event"].sum() + 1) / (others["time"].sum() + 1 / total))


def test_the_gap_between_best_and_last_epoch_is_told(tmp_path: Path) -> None:
    frame, rng = table(), np.random.default_rng(0)
    epochs = [frame.assign(epoch=k, risk=frame["risk"] + rng.normal(0, 3, 400)) for k in range(8)]
    found = run(pd.concat(epochs), tmp_path)["selection on the test fold"]
    assert found.verdict == "look"
    gaps = []
    for _, fold in pd.concat(epochs).groupby(["cohort", "fold"]):
        values = [
            concordance(part["time"].to_numpy(), part["event"].to_numpy() == 1, part["risk"].to_numpy()).value
            for _, part in fold.groupby("epoch")
        ]
        gaps.append(max(values) - values[-1])
    assert found.numbers["gap"] == pytest.approx(np.mean(gaps))


@pytest.mark.parametrize(("noise", "verdict"), [(0.01, "fine"), (5.0, "look")])
def test_instability_over_seeds_is_told(tmp_path: Path, noise: float, verdict: str) -> None:
    frame, rng = table(), np.random.default_rng(0)
    parts = [frame.assign(seed=k, risk=frame["risk"] + rng.normal(0, noise, 400)) for k in range(3)]
    found = run(pd.concat(parts), tmp_path)["instability over seeds"]
    assert found.verdict == verdict
    assert (found.numbers["seeds"], found.numbers["patients"]) == (3, 400)


class Doubled(Store):
    """A store in which two patients have the same tiles."""

    def twins(self) -> tuple[int, int]:
        index = super().index("tiles")
        pairs = [(i, j) for i in range(30) for j in range(i) if index[i, 1] == index[j, 1] >= 3]
        return pairs[0]

    def values(self, source: str) -> np.ndarray:
        rows = np.array(super().values(source))
        if source == "tiles":
            (first, count), (second, _) = (super(Doubled, self).index(source)[i] for i in self.twins())
            rows[second : second + count] = rows[first : first + count]
        return rows


def test_rows_that_two_patients_share_are_found(tmp_path: Path) -> None:
    store = write_store(tmp_path / "cohort", 30, present=1.0)
    frame = table(n=30).assign(cohort="A", fold=range(30))
    frame["patient_id"] = [str(p) for p in store.patients["patient_id"]]
    assert run(frame, tmp_path, store=store)["duplicated: tiles"].verdict == "fine"
    doubled = Doubled(**{field.name: getattr(store, field.name) for field in fields(store)})
    found = run(frame, tmp_path, store=doubled)["duplicated: tiles"]
    assert (found.verdict, found.numbers["groups"]) == ("wrong", 1)
    assert run(frame.assign(fold=0), tmp_path, store=doubled)["duplicated: tiles"].verdict == "look"


def test_other_names_of_columns_and_labels_without_times(tmp_path: Path) -> None:
    frame = table().rename(columns={"patient_id": "who", "time": "months", "risk": "score"})
    frame.to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(InputError, match=r"no column patient_id or .*--column patient_id=COLUMN"):
        read_predictions(tmp_path / "p.csv")
    (found,) = read_predictions(tmp_path / "p.csv", {"patient_id": "who", "time": "months", "risk": "score"})
    assert found.frame["time"].tolist() == frame["months"].tolist()
    (labels,) = read_predictions(tmp_path / "p.csv", {"patient_id": "who", "risk": "score"})
    assert set(labels.frame.loc[labels.frame["event"], "time"]) == {1.0}
    assert set(labels.frame.loc[~labels.frame["event"], "time"]) == {2.0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"event": 2}, "event is '2', not 0 or 1"),
        ({"risk": "high"}, "risk is 'high', not a number"),
        ({"time": np.nan}, "time is '', not a number"),
    ],
)
def test_values_of_another_kind_are_refused_with_their_row(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    frame = table(n=5).astype(object)
    for name, value in change.items():
        frame.loc[3, name] = value
    frame.to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(InputError, match=f"row 5: {words}"):
        read_predictions(tmp_path / "p.csv")


def test_a_column_of_censorship_is_not_taken_for_the_event(tmp_path: Path) -> None:
    table().rename(columns={"event": "censorship"}).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(InputError, match="coded the other way round"):
        read_predictions(tmp_path / "p.csv")


def test_a_folder_of_prime_is_read_by_setting(tmp_path: Path) -> None:
    bins = {"edge_days_1": [500.0] * 400, "survival_1": 0.5}
    survival = {"edge_days_2": [np.inf] * 400, "survival_2": 0.4}
    base = table().rename(columns={"time": "time_days"}).assign(method="prime", seed=0, **bins)
    rows = [
        base.assign(task="os", pattern="all", **survival),
        base.assign(task="os", pattern="image", **survival),
        base.assign(task="year", pattern="all", edge_days_2=np.nan, survival_2=np.nan),
    ]
    pd.concat(rows).to_csv(tmp_path / "predictions.csv", index=False)
    survival_task, binary = read_predictions(tmp_path)
    assert (survival_task.setting, binary.setting) == ("os", "year")
    assert len(survival_task.frame) == 400
    assert set(binary.frame["time"]) == {1.0, 2.0}
    study = tmp_path / "study"
    (study / "cache" / "parts").mkdir(parents=True)
    pd.concat(rows).to_parquet(study / "cache" / "parts" / "x.parquet")
    pd.concat(rows).to_parquet(study / "cache" / "parts" / "x.scores.parquet")
    assert [len(each.frame) for each in read_predictions(study)] == [400, 400]
    with pytest.raises(InputError, match="neither"):
        read_predictions(tmp_path / "study" / "cache")


def test_the_command_prints_writes_and_tells_by_its_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.csv"
    table().rename(columns={"time": "months"}).to_csv(path, index=False)
    words = ["audit", str(path), "--column", "time=months", "--replicates", "20"]
    words += ["--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert "permuted labels: C-index" in capsys.readouterr().out
    written = pd.read_csv(tmp_path / "out" / "audit.csv")
    assert written["verdict"].iloc[0] == "fine"
    assert (tmp_path / "out" / "audit.md").is_file()
    pd.concat([table(), table()]).to_csv(path, index=False)
    assert main(["audit", str(path), "--replicates", "20"]) == 1
    assert main(["audit", str(path), "--column", "time"]) == 2
    assert main(["audit", str(tmp_path / "absent.csv")]) == 2
