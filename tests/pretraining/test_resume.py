"""A killed run resumes to the weights of an uninterrupted one; another run's folder is refused."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from prime.errors import InputError
from prime.files import sha256_file
from prime.model.checkpoint import load_checkpoint
from prime.pretraining.devices import Devices
from prime.pretraining.loop import Pretraining, pretrain
from prime.settings.experiment import ExperimentConfig
from prime.store.store import Store
from tests.made_up import experiment

CHECKOUT = Path(__file__).resolve().parents[2]


def test_kill_9_at_random_moments(made_up_store: Store, tmp_path: Path) -> None:
    config = experiment(epochs=4).model_dump(mode="json", exclude={"evaluate"}, exclude_none=True)
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    options = ["--kills", "3", "--seed", "5", "--store", str(made_up_store.path)]
    options += ["--config", str(tmp_path / "experiment.yaml")]
    result = subprocess.run(
        [sys.executable, "benchmarks/kill_resume.py", *options],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(set(re.findall(r"[0-9a-f]{64}", result.stdout))) == 1
    killed = re.findall(r"killed after epoch \d of 4", result.stdout)
    assert len(killed) == 3
    assert result.stdout.count("too late") < 3, result.stdout


def test_two_processes_cannot_train_in_one_folder(made_up_store: Store, tmp_path: Path) -> None:
    code = "import sys, pathlib; from prime.files import sole_process\n"
    code += "with sole_process(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another process is writing there"):
            pretrain(made_up_store, experiment(), tmp_path)
        assert not (tmp_path / "state.pt").exists()
        other.kill()
    pretrain(made_up_store, experiment(), tmp_path)
    assert (tmp_path / "state.pt").is_file()


class Interrupted(Exception):
    pass


def interrupt(monkeypatch: pytest.MonkeyPatch, method: str, call: int) -> None:
    """Make the given call of a method of Pretraining raise."""
    original, calls = getattr(Pretraining, method), iter(range(1000))

    def patched(self: Pretraining, *args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            raise Interrupted
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Pretraining, method, patched)


@pytest.fixture(scope="module")
def whole(made_up_store: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[ExperimentConfig, Path]:
    """An uninterrupted run with dropout, so that lost random numbers would show."""
    config, out = experiment({"dropout": 0.2}, epochs=3), tmp_path_factory.mktemp("whole")
    pretrain(made_up_store, config, out)
    return config, out


# forward is called 3 times an epoch for training and once for validation.
@pytest.mark.parametrize(
    ("method", "call"), [("train_epoch", 1), ("forward", 6), ("validate", 2), ("_save_state", 1)]
)
def test_stopped_between_any_two_writes(
    made_up_store: Store,
    whole: tuple[ExperimentConfig, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    call: int,
) -> None:
    config, reference = whole
    with monkeypatch.context() as patch:
        interrupt(patch, method, call)
        with pytest.raises(Interrupted):
            pretrain(made_up_store, config, tmp_path)
    pretrain(made_up_store, config, tmp_path)
    for name in ("model.safetensors", "config.json", "manifest.json"):
        assert sha256_file(tmp_path / name) == sha256_file(reference / name), name
    timeless = [
        [
            {k: v for k, v in json.loads(line).items() if k not in ("patients_per_second", "waiting_share")}
            for line in text
        ]
        for text in (
            (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
            for folder in (tmp_path, reference)
        )
    ]
    assert timeless[0] == timeless[1]


def test_a_finished_run_is_left_alone(
    made_up_store: Store, whole: tuple[ExperimentConfig, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out = whole
    before = sha256_file(out / "model.safetensors")
    interrupt(monkeypatch, "train_epoch", 0)
    pretrain(made_up_store, config, out)
    assert sha256_file(out / "model.safetensors") == before


@pytest.mark.parametrize("damage", ["shape", "moment", "nan", "no model", "no weights", "list", "epoch"])
def test_a_state_that_does_not_fit_is_one_clear_error(
    made_up_store: Store, whole: tuple[ExperimentConfig, Path], tmp_path: Path, damage: str
) -> None:
    config, out = whole
    folder = Path(shutil.copytree(out, tmp_path / "run"))
    state = torch.load(folder / "state.pt", weights_only=True)
    name = next(iter(state["model"]))
    if damage == "shape":
        state["model"][name] = state["model"][name].flatten()[:-1]
    elif damage == "moment":
        state["optimizer"]["state"][0]["exp_avg"] = torch.zeros(3)
    elif damage == "nan":
        state["model"][name] = state["model"][name] * float("nan")
    elif damage == "no model":
        del state["model"]
    elif damage == "no weights":
        del state["weights"]
    elif damage == "list":
        state["optimizer"]["state"] = [1]
    else:
        state["epoch"] = "two"
    torch.save(state, folder / "state.pt")
    with pytest.raises(InputError, match=r"state\.pt: damaged \(.*\); remove .* to start anew"):
        pretrain(made_up_store, config, folder)


def test_weights_that_were_changed_after_the_state_are_not_sealed_anew(
    made_up_store: Store, whole: tuple[ExperimentConfig, Path], tmp_path: Path
) -> None:
    config, out = whole
    folder = Path(shutil.copytree(out, tmp_path / "run"))
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(bytes(weights))
    pretrain(made_up_store, config, folder)
    with pytest.raises(InputError, match=r"damaged checkpoint: model\.safetensors: its checksum"):
        load_checkpoint(folder)


@pytest.mark.parametrize("change", ["settings", "model", "seed", "exclusions"])
def test_another_run_in_the_same_folder_is_refused(
    made_up_store: Store, whole: tuple[ExperimentConfig, Path], change: str
) -> None:
    config, out = whole
    excluded: frozenset[str] = frozenset()
    if change == "settings":
        config = experiment({"dropout": 0.2}, epochs=3, kappa=20.0)
    elif change == "model":
        config = experiment({"dropout": 0.2, "experts": 5}, epochs=3)
    elif change == "seed":
        config = config.model_copy(update={"seed": 9})
    else:
        excluded = frozenset({"p000"})
    before = sha256_file(out / "model.safetensors")
    with pytest.raises(InputError, match="other settings, data or exclusions"):
        pretrain(made_up_store, config, out, excluded)
    assert sha256_file(out / "model.safetensors") == before


def test_a_run_of_other_code_is_refused(
    made_up_store: Store,
    whole: tuple[ExperimentConfig, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    edit_code: Callable[[str], None],
) -> None:
    """Some of its epochs would come from each, and no code could make such weights again."""
    with monkeypatch.context() as patch:
        interrupt(patch, "train_epoch", 1)
        with pytest.raises(Interrupted):
            pretrain(made_up_store, whole[0], tmp_path)
    edit_code("prime.downstream.probe")  # pretraining does not need it
    edit_code("prime.pretraining.losses.retention")  # nor this run, where its weight is 0
    assert Pretraining(made_up_store, whole[0], tmp_path, frozenset(), Devices())._resume()[0] == 1
    edit_code("prime.pretraining.losses.alignment")
    with pytest.raises(InputError, match=r"a run of other code of PRIME .* go on with that code"):
        pretrain(made_up_store, whole[0], tmp_path)


@pytest.mark.parametrize("content", [b"", b"no archive at all", b"PK\x03\x04 cut short"])
def test_a_damaged_state_is_one_clear_error(made_up_store: Store, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"state\.pt: damaged"):
        pretrain(made_up_store, experiment(), tmp_path)
