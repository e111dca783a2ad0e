"""The precision that networks compute in, by device."""

from pathlib import Path

import pytest
import torch

from prime import precision as precision_module
from prime.commands.shared import read_experiment
from prime.precision import fast_bfloat16, resolved


@pytest.mark.parametrize(
    ("found", "expected"),
    [({"amx_bf16": True}, True), ({"avx512_bf16": True}, True), ({"avx512_f": True}, False), ({}, False)],
)
def test_a_processor_is_asked_for_its_instructions(
    found: dict[str, bool], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert fast_bfloat16() is expected
    assert resolved("auto", "cpu") == ("bf16-mixed" if expected else "32-true")


@pytest.mark.parametrize("fast", [True, False])
def test_a_named_precision_stays(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_module, "fast_bfloat16", lambda device: fast)
    assert resolved("bf16-mixed", "cpu") == "bf16-mixed"
    assert resolved("32-true", "cuda") == "32-true"
    assert resolved("auto", "cuda") == ("bf16-mixed" if fast else "32-true")


def test_other_devices_take_float32() -> None:
    assert resolved("auto", "mps") == "32-true"


def test_one_option_is_for_all_that_comes_after_pretraining(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text("cohort: c.yaml\n", encoding="utf-8")
    plain, given = read_experiment(path), read_experiment(path, (), "bf16-mixed")
    assert plain.evaluate.probe.readout.precision == "32-true"
    assert given.pretrain == plain.pretrain
    assert given.evaluate.probe.readout.precision == "bf16-mixed"
    assert (given.evaluate.finetune.precision, given.comparison.precision) == ("bf16-mixed", "bf16-mixed")
    named = read_experiment(path, ("comparison.precision=32-true",), "bf16-mixed")
    assert named.comparison.precision == "32-true"
