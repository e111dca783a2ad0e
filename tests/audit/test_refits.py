"""Labels that are permuted before the fit: sound pipelines find nothing, a leak is found."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prime.audit import refits as refits_module
from prime.audit.refits import CHECK, experiment_of, permuted, refits
from prime.cli import main
from prime.downstream.grid import Evaluation
from prime.errors import InputError
from prime.settings.experiment import ExperimentConfig
from prime.store.store import Store
from tests.downstream.joint_cohort import OS, PFI, joint_experiment, write_joint_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_joint_store(tmp_path_factory.mktemp("joint"))


def experiment(store: Store, **evaluate: object) -> ExperimentConfig:
    return joint_experiment(store, ["shared_ridge"], None, **evaluate)


def test_outcomes_are_dealt_within_types_and_stay_whole(store: Store) -> None:
    dealt = permuted(store, 3)
    before, after = store.patients, dealt.patients
    columns = ["os_time_days", "os_event", "pfi_time_days", "pfi_event"]
    others = [name for name in before if name not in columns]
    assert before[others].equals(after[others])
    for cohort in ("A", "B", "C", "D"):
        rows = (before["cohort"] == cohort).to_numpy()
        assert sorted(map(tuple, before.loc[rows, columns].fillna(-1).to_numpy())) == sorted(
            map(tuple, after.loc[rows, columns].fillna(-1).to_numpy())
        )
    np.testing.assert_array_equal(before[columns].isna(), after[columns].isna())
    assert (before["os_time_days"] != after["os_time_days"]).mean() > 0.7
    assert not permuted(store, 4).patients.equals(after)


def test_a_sound_pipeline_finds_nothing_in_them(store: Store) -> None:
    (found,) = refits(store, experiment(store, tasks=[OS]), 12)
    assert (found.check, found.setting) == (CHECK, "shared_ridge os")
    assert found.verdict == "fine"
    assert found.numbers["refits"] == 12
    assert abs(found.numbers["null_mean"] - 0.5) < 0.03
    assert found.numbers["c_index"] > found.numbers["null_high"]
    assert found.numbers["p"] == pytest.approx(1 / 13)


def test_every_fit_is_made_again_with_its_own_labels(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[float]] = []
    plain = Evaluation.do

    def spy(self: Evaluation, fit: object) -> None:
        seen.append(self.outcomes["os"].time_days[:9].tolist())
        plain(self, fit)  # type: ignore[arg-type]

    monkeypatch.setattr(Evaluation, "do", spy)
    refits(store, experiment(store, tasks=[OS], only_folds=[0], cohorts=["A"]), 3)
    assert len({tuple(times) for times in seen}) == 4  # the real labels, and three deals


def test_noise_is_no_better_than_dealt_labels(store: Store) -> None:
    noise = permuted(store, 99)
    (found,) = refits(noise, experiment(noise, tasks=[OS]), 8)
    assert found.verdict == "look"


def test_a_leak_from_the_tested_patients_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features that are made from the outcomes themselves, whichever they are."""
    plain = refits_module.Evaluation

    class Leaking(plain):
        def predictions(
            self, task: str | None = None, pattern: str | None = None, curves: bool = True
        ) -> pd.DataFrame:
            table = super().predictions(task, pattern, curves)
            return table.assign(risk=table["risk"] - 0.002 * table["time_days"])

    monkeypatch.setattr(refits_module, "Evaluation", Leaking)
    (found,) = refits(store, experiment(store, tasks=[OS]), 4)
    assert found.verdict == "wrong"
    assert "leaks from the tested patients" in found.text


def test_the_command_reads_the_experiment_of_the_folder(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = experiment(store, tasks=[OS, PFI], cohorts=["A", "B"])
    Evaluation(store, config, None, tmp_path / "eval").run(progress=False)
    found = experiment_of(tmp_path / "eval")
    assert found.evaluate.methods == ("shared_ridge",)
    assert [task.name for task in found.evaluate.tasks] == ["os", "pfi"]
    monkeypatch.setattr("prime.commands.audit.open_experiment_store", lambda _: store)
    main(
        ["audit", str(tmp_path / "eval"), "--refits", "3", "--replicates", "20", "--out", str(tmp_path / "a")]
    )
    text = capsys.readouterr().out
    assert "permuted labels, fitted again (shared_ridge os): C-index" in text
    assert "permuted labels, fitted again" in (tmp_path / "a" / "audit.csv").read_text()


def test_what_cannot_be_fitted_again_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder of prime evaluate or prime study"):
        experiment_of(tmp_path)
    config = experiment(store, tasks=[OS], cohorts=["A"])
    Evaluation(store, config, None, tmp_path / "eval").run(progress=False)
    manifest = tmp_path / "eval" / "manifest.json"
    facts = json.loads(manifest.read_text())
    facts["config"]["evaluate"]["methods"] = ["late_ridge"]
    manifest.write_text(json.dumps(facts))
    with pytest.raises(InputError, match="none of the methods that are quick to fit again"):
        experiment_of(tmp_path / "eval")


def test_delayed_entry_is_known_to_the_other_checks(store: Store, tmp_path: Path) -> None:
    from prime.audit.predictions import read_predictions
    from prime.audit.signal import concordance_of
    from prime.evaluation.metrics import concordance_within

    frame = store.patients.copy()
    frame["os_entry_days"] = 0.5 * frame["os_time_days"]
    late = replace(store, patients=frame)
    Evaluation(late, experiment(late, tasks=[OS]), None, tmp_path).run(progress=False)
    (read,) = read_predictions(tmp_path)
    time, event = read.outcome
    expected = concordance_within(time, event, read.risk, read.strata("cohort", "fold"), entry=0.5 * time)
    found = concordance_of(read, ("cohort", "fold"))
    assert found.value == pytest.approx(expected.value)
    assert found.pairs == expected.pairs
