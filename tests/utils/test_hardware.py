"""What a machine offers, and the device that is asked for."""

from __future__ import annotations

import pytest
import torch

from kineme.utils import hardware
from kineme.utils.errors import InputError


@pytest.mark.parametrize("name", ["gpu", "CPU", "", "cuda:", "cuda:-1", "cuda:x", "mps", "cpu:0", "cuda 0"])
def test_what_is_no_device_is_named_beside_those_that_are(name):
    with pytest.raises(InputError, match=r"device: .* which is none.*cpu, cuda, cuda:0"):
        hardware.device(name)


@pytest.mark.parametrize("gpus", [0, 2])
def test_a_device_is_one_that_is_there(gpus, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert hardware.device("cpu") == "cpu"
    assert hardware.device(torch.device("cpu")) == "cpu"
    if gpus:
        assert hardware.device() == "cuda:1"
        assert [hardware.device(name) for name in ("cuda", "cuda:0", "cuda:1")] == ["cuda", "cuda:0", "cuda:1"]
        with pytest.raises(InputError, match=r"cuda:2.*only cuda:0, cuda:1 here"):
            hardware.device("cuda:2")
    else:
        assert hardware.device() == "cpu"
        for name in ("cuda", "cuda:0"):
            with pytest.raises(InputError, match=r"no CUDA device here\. `kineme doctor` says what there is"):
                hardware.device(name)
