"""Which device a process computes on; no test here needs one."""

import pytest
import torch

from prime.devices import device_kind, device_of
from prime.errors import InputError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A machine with so many CUDA devices, and with or without MPS."""
    count, mps = request.param
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("machine", "accelerator", "kind"),
    [
        ((0, False), "auto", "cpu"),
        ((2, False), "auto", "cuda"),
        ((2, False), "gpu", "cuda"),
        ((2, False), "cpu", "cpu"),
        ((0, True), "auto", "mps"),
        ((0, True), "gpu", "mps"),
        ((1, True), "mps", "mps"),
    ],
    indirect=["machine"],
)
def test_what_an_accelerator_means(machine: None, accelerator: str, kind: str) -> None:
    assert device_kind(accelerator) == kind
    assert device_of(accelerator).type == kind


@pytest.mark.parametrize("machine", [(0, False)], indirect=True)
@pytest.mark.parametrize("accelerator", ["cuda", "gpu", "mps"])
def test_a_device_that_is_not_there_is_one_clear_error(machine: None, accelerator: str) -> None:
    with pytest.raises(InputError, match=f"--accelerator {accelerator}: this machine has no"):
        device_kind(accelerator)


@pytest.mark.parametrize("machine", [(3, False)], indirect=True)
def test_processes_take_the_devices_of_a_machine_in_turn(machine: None) -> None:
    assert [device_of("auto", number).index for number in range(5)] == [0, 1, 2, 0, 1]
    assert device_of("cpu", 4) == torch.device("cpu")
